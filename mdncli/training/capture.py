"""Repetition of a training step: call by call, or captured once as a CUDA graph and replayed.

A CUDA graph replays kernels on the same memory and must not synchronise with the host. What changes
from step to step is therefore computed for many steps at once, ahead of time, and a step copies its
own share into static buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Step = Callable[[], None]

Capture = Callable[[Step], Step]
"""Wrapper of a step function that is called once per step; between calls only the values in the
buffers change that the step reads."""

_WARM_UP = 3
"""Steps before the capture: libraries set themselves up in the first ones."""


def eager(step: Step) -> Step:
    """Capture nothing, but use static buffers: for tests, and where phases of a step are timed."""
    return step


class CudaGraph:
    """Training step as a CUDA graph: a single call on the host starts all its kernels.

    The first steps are done call by call, on a stream of their own as a capture demands; then one
    is captured, which executes nothing yet, and from there on replayed. The step must read and
    write the same memory every time and must not wait for the device. (CUDA C++ Programming Guide,
    "CUDA Graphs"; https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.)

    Args:
        step: the step function.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._warm = 0
        self._side = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._graph is None and self._warm < _WARM_UP:
            self._warm += 1
            self._side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._side):
                self._step()
            torch.cuda.current_stream().wait_stream(self._side)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._step()
        self._graph.replay()


CAPTURES: dict[str, Capture | None] = {"cpu": None, "cuda": CudaGraph}
"""Capture by device; None where a step needs no static buffers."""


class Cursor:
    """Position in precomputed values, on the device, so that a captured step can advance it.

    Args:
        sources: the values of many steps, each (steps, ...).

    Attributes:
        now: static buffers of the values of one step, each (1, ...).
    """

    def __init__(self, sources: Sequence[Tensor]) -> None:
        self._sources = sources
        self._at = torch.zeros(1, dtype=torch.int64, device=sources[0].device)
        self.now = [torch.empty_like(source[:1]) for source in sources]

    def move(self, offset: int) -> None:
        """Set which step is read next."""
        self._at.fill_(offset)

    def read(self) -> None:
        """Copy the values of the next step into `now`, and advance."""
        for source, now in zip(self._sources, self.now, strict=True):
            torch.index_select(source, 0, self._at, out=now)
        self._at.add_(1)


class Prefetcher:
    """Small values that change from step to step, computed for many steps at once.

    Args:
        make: (first, count) -> the values of that many steps, each (count, ...).
        count: steps computed at once.
        static: whether the values of every step must lie in the same memory.

    >>> ahead = Prefetcher(lambda first, count: [torch.arange(first, first + count)], 4)
    >>> ahead.seek(6)
    >>> ahead.values()
    (tensor(6),)
    """

    def __init__(
        self, make: Callable[[int, int], Sequence[Tensor]], count: int, *, static: bool = False
    ) -> None:
        self._make, self._count, self._static = make, count, static
        self._window, self._offset = -1, 0
        self._rows: list[tuple[Tensor, ...]] = []
        self._sources: Sequence[Tensor] = ()
        self._cursor: Cursor | None = None

    def seek(self, step: int) -> None:
        """Make the values of a step the next ones; static ones then advance by themselves."""
        window, self._offset = divmod(step, self._count)
        if window != self._window:
            self._window = window
            self._fill(self._make(window * self._count, self._count))

    def values(self) -> tuple[Tensor, ...]:
        """Values of the step sought."""
        if self._cursor is None:
            return self._rows[self._offset]
        self._cursor.read()
        return self._rows[0]

    def _fill(self, made: Sequence[Tensor]) -> None:
        if not self._static:
            self._rows = list(zip(*(values.unbind() for values in made), strict=True))
            return
        if self._cursor is None:
            self._sources = [values.contiguous() for values in made]
            self._cursor = Cursor(self._sources)
            self._rows = [tuple(now[0] for now in self._cursor.now)]
        for source, values in zip(self._sources, made, strict=True):
            source.copy_(values)
        self._cursor.move(self._offset)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without waiting for its arrival; on the CPU return it."""
    return values if device.type == "cpu" else values.pin_memory().to(device, non_blocking=True)
