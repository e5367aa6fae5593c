"""The manual: one Markdown page per topic, in the order in which a reader needs them.

A page is `TOPIC.md` in this folder. Add one with a line in `TOPICS`; `mdn guide`, its list and the
tests of its links and examples follow. This room imports nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

TOPICS = {
    "first-steps": "install, train a first model, look at it; what to read next",
    "table": "learn from a table of your own, and predict new rows of it",
    "model": "mixtures, families, several targets, and simpler models",
    "defaults": "the settings you get if you change nothing, and why these",
    "classes": "predict which class a row belongs to",
    "numbers": "read NLL, CRPS, coverage and PIT; calibrate a model",
    "figures": "all figures, and a gallery of problems with a known answer",
    "shell": "loops, sweeps over settings, and many machines",
    "runs": "run folders: find, compare, continue, check and remove them",
    "python": "use a trained run from Python, without torch",
    "benchmarks": "accuracy and speed as measured, and the scripts for it",
    "limits": "what mdn cannot do, and what of it you can rely on",
    "exit-codes": "the exit codes and streams that a script can rely on",
}
"""Topic -> summary; the page is `TOPIC.md` beside this file."""

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


def page(topic: str) -> str:
    """The Markdown of a topic's page, without the comments that are meant for tests.

    >>> page("exit-codes").splitlines()[0]
    '# Exit codes'
    """
    path = Path(__file__).with_name(f"{topic}.md")
    return _COMMENT.sub("", path.read_text(encoding="utf-8"))
