"""How the work of a step is run again and again: call by call, or captured once and replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Work = Callable[[], None]

Capture = Callable[[Work], Work]
"""Makes of the work of a step what does it; in between, only the values that it reads change."""

_WARM_UP = 3
"""Steps before the capture: libraries set themselves up in the first ones."""


def eager(work: Work) -> Work:
    """The twin of `Graph` that captures nothing: for tests, and where parts of a step are timed."""
    return work


class Graph:
    """A step as a CUDA graph: a single call on the host starts all kernels of a step.

    The first steps are done call by call, on a stream of their own as a capture demands; then one
    is captured, which does nothing yet, and from there on replayed. The work must read and write
    the same memory in every step and must not wait for the device. (CUDA C++ Programming Guide,
    "CUDA Graphs"; https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.)

    Args:
        work: of a step.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._warm = 0
        self._side = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._graph is None and self._warm < _WARM_UP:
            self._warm += 1
            self._side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._side):
                self._work()
            torch.cuda.current_stream().wait_stream(self._side)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._work()
        self._graph.replay()


CAPTURES: dict[str, Capture | None] = {"cpu": None, "cuda": Graph}
"""By device; None where a step may read its values wherever they lie."""


class Cursor:
    """Which of the steps that lie ready a captured step is to read: a number on the device.

    Args:
        sources: what lies ready, each (steps, ...).

    Attributes:
        now: the values of one step, each (1, ...), always in the same memory.
    """

    def __init__(self, sources: Sequence[Tensor]) -> None:
        self._sources = sources
        self._at = torch.zeros(1, dtype=torch.int64, device=sources[0].device)
        self.now = [torch.empty_like(source[:1]) for source in sources]

    def move(self, offset: int) -> None:
        """Makes a step the next to be read."""
        self._at.fill_(offset)

    def read(self) -> None:
        """Writes the values of the next step into `now`, and moves on."""
        for source, now in zip(self._sources, self.now, strict=True):
            torch.index_select(source, 0, self._at, out=now)
        self._at.add_(1)


class Ahead:
    """Small values that change from step to step, made for many steps at once.

    Args:
        make: (first, count) -> the values of so many steps, each (count, ...).
        count: steps to make at once.
        still: whether the values of a step must always lie in the same memory.

    >>> ahead = Ahead(lambda first, count: [torch.arange(first, first + count)], 4, still=False)
    >>> ahead.seek(6)
    >>> ahead.values()
    (tensor(6),)
    """

    def __init__(
        self, make: Callable[[int, int], Sequence[Tensor]], count: int, *, still: bool
    ) -> None:
        self._make, self._count, self._still = make, count, still
        self._window, self._offset = -1, 0
        self._rows: list[tuple[Tensor, ...]] = []
        self._sources: Sequence[Tensor] = ()
        self._cursor: Cursor | None = None

    def seek(self, step: int) -> None:
        """Makes the values of a step the next ones; the steps after it follow by themselves."""
        window, self._offset = divmod(step, self._count)
        if window != self._window:
            self._window = window
            self._fill(self._make(window * self._count, self._count))

    def values(self) -> tuple[Tensor, ...]:
        """The values of the step sought."""
        if self._cursor is None:
            return self._rows[self._offset]
        self._cursor.read()
        return self._rows[0]

    def _fill(self, made: Sequence[Tensor]) -> None:
        if not self._still:
            self._rows = list(zip(*(values.unbind() for values in made), strict=True))
            return
        if self._cursor is None:
            self._sources = [values.contiguous() for values in made]
            self._cursor = Cursor(self._sources)
            self._rows = [tuple(now[0] for now in self._cursor.now)]
        for source, values in zip(self._sources, made, strict=True):
            source.copy_(values)
        self._cursor.move(self._offset)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; the CPU does not wait for its arrival."""
    return values if device.type == "cpu" else values.pin_memory().to(device, non_blocking=True)
