"""`mdn guide`: the manual in the terminal."""

from __future__ import annotations

from mdncli.errors import UsageError
from mdncli.guide import TOPICS, page
from mdncli.present.answer import Answer
from mdncli.present.table import TextTable


def topics() -> Answer:
    """All topics, each with a summary."""
    return Answer(
        document=TOPICS, tables=[TextTable("", ("topic", "what it tells"), list(TOPICS.items()))]
    )


def guide(topic: str | None) -> Answer:
    """The page of a topic, or the contents of the manual.

    Raises:
        UsageError: there is no such topic.
    """
    if topic is None:
        return Answer(page=_contents(), document=TOPICS)
    if topic not in TOPICS:
        from mdncli.config.scalars import nearest

        guess = nearest(topic.lower(), TOPICS)
        hint = f"did you mean {guess}?" if guess else f"choose from {', '.join(TOPICS)}"
        raise UsageError(f"no topic {topic!r} in the guide", hint=hint)
    text = page(topic)
    document = {"topic": topic, "summary": TOPICS[topic], "markdown": text}
    return Answer(page=text, document=document)


def _contents() -> str:
    listed = "".join(f"- **{topic}**: {about}\n" for topic, about in TOPICS.items())
    return (
        f"# The guide to mdn\n\n{listed}\n"
        "`mdn guide TOPIC` shows a page, such as `mdn guide first-steps`: begin there.\n"
        "`mdn COMMAND --help` lists the options of a command, with examples.\n"
    )
