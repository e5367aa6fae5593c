"""Scripts that train a sweep: for GNU parallel, SLURM, or any shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mdncli.errors import UsageError
from mdncli.store import RunFolder
from mdncli.sweep.stacks import TrialStack


@dataclass(frozen=True)
class SweepShare:
    """Share of a sweep, trained by a command of its own.

    Args:
        number: from 1.
        shares: number of shares.
    """

    number: int
    shares: int

    @classmethod
    def of(cls, text: str) -> SweepShare:
        """Parse a share such as `3/8`.

        Raises:
            UsageError: it is invalid.

        >>> SweepShare.of("3/8")
        SweepShare(number=3, shares=8)
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--part {text}: is no share of a sweep", hint="write it like 3/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.shares}"

    def of_stacks(self, stacks: Sequence[TrialStack]) -> list[TrialStack]:
        """Stacks of this share: greedily, the largest first, each to the share with the least work.

        Args:
            stacks: all stacks of the sweep, whatever the statuses of their trials.
        """
        loads = [0.0] * self.shares
        mine = []
        for stack in sorted(stacks, key=lambda stack: -stack.cost):
            least = loads.index(min(loads))
            loads[least] += stack.cost
            if least == self.number - 1:
                mine.append(stack)
        return mine


def parallel(folder: RunFolder, parts: int) -> list[str]:
    """Lines of commands, for GNU parallel or any shell.

    >>> from pathlib import Path
    >>> parallel(RunFolder(Path("runs/a sweep")), 2)[1]
    "mdn sweep --resume 'runs/a sweep' --part 2/2 -q"
    """
    return [_command(folder, str(SweepShare(number, parts))) for number in range(1, parts + 1)]


def slurm(folder: RunFolder, parts: int) -> list[str]:
    """Lines of a SLURM job script: an array of tasks, each of which trains a share.

    >>> from pathlib import Path
    >>> slurm(RunFolder(Path("runs/x")), 8)[-1]
    'mdn sweep --resume runs/x --part "$SLURM_ARRAY_TASK_ID/8" -q'
    """
    log = folder.path / "slurm-%a.out"
    return [
        "#!/bin/bash",
        f"#SBATCH --job-name={folder.id[16:]}",
        f"#SBATCH --array=1-{parts}",
        "#SBATCH --cpus-per-task=1",
        f"#SBATCH --output={shlex.quote(str(log))}",
        "# Each task trains its share. Submit this again to go on with what was left undone.",
        _command(folder, f'"$SLURM_ARRAY_TASK_ID/{parts}"'),
    ]


def _command(folder: RunFolder, part: str) -> str:
    return f"mdn sweep --resume {shlex.quote(str(folder.path))} --part {part} -q"


SCRIPTS: dict[str, Callable[[RunFolder, int], list[str]]] = {"parallel": parallel, "slurm": slurm}
"""Name of an engine -> the lines of its script."""
