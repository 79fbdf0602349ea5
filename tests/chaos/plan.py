"""What `make chaos` will do, as a pure function of a seed: histories of starts, and a fault for each."""

import random
from itertools import cycle, islice
from typing import Any, Final

import attrs

from tests.chaos.training import BATCH_SIZE, NUM_SAMPLES

LOOPS: Final = ("plain loop", "Lightning")

ENDING: Final = (
    "SIGKILL",
    "SIGTERM",
    "SIGINT",
    "SIGUSR1",
    "exception in a step",
    "data set raises",
    "worker killed",
    "full disk",
)
"""Faults that end a start."""

BETWEEN: Final = ("checkpoint truncated", "checkpoint zeroed", "checkpoint missing", "clock jumps")
"""Faults after the end of a start."""

JOINING: Final = ("two processes in one folder",)
"""Faults that a start survives."""

KINDS: Final = (*ENDING, *BETWEEN, *JOINING)

_SIGNALS: Final = ("SIGKILL", "SIGTERM", "SIGINT", "SIGUSR1")
_NUM_FAULTS: Final = 7
"""Faults of a history, about."""


@attrs.frozen(kw_only=True)
class Fault:
    """A fault and its moment: some seconds after the step at a position has begun, or after the program's start."""

    kind: str
    position: int | None = None
    seconds: float = 0.0
    draws: tuple[float, ...] = ()
    """Numbers in [0, 1) that decide about the rest: which rank, which file, how many bytes."""


@attrs.frozen(kw_only=True)
class Start:
    """One start of a run, and its faults; the last one of a history has no ending and trains to the end."""

    ranks: int
    num_workers: int = 0
    num_threads: int = 0
    is_other_batch_size: bool = False
    """Whether the batch size changes, if it may where the run resumes."""
    joining: Fault | None = None
    ending: Fault | None = None
    between: tuple[Fault, ...] = ()


@attrs.frozen(kw_only=True)
class History:
    """A run that is started several times."""

    number: int
    loop: str
    seed: int
    varies: str
    """What may change from start to start: "workers", also "ranks", or also "batch size"."""
    starts: tuple[Start, ...]

    @property
    def faults(self) -> list[Fault]:
        found = [fault for start in self.starts for fault in (start.joining, start.ending, *start.between)]
        return [fault for fault in found if fault is not None]


def plan(*, seed: int, count: int) -> list[History]:
    """Return histories with `count` faults together, all kinds in all loops equally often, as far as they go."""
    draw = random.Random(f"chaos {seed}")
    cells = [(loop, kind) for kind in KINDS for loop in LOOPS]
    draw.shuffle(cells)
    chosen = list(islice(cycle(cells), count))
    histories: list[History] = []
    for loop in LOOPS:
        kinds = [kind for other, kind in chosen if other == loop]
        draw.shuffle(kinds)
        for group in _groups(kinds):
            histories.append(_history(group, loop=loop, number=len(histories), draw=draw))
    return histories


def _groups(kinds: list[str]) -> list[list[str]]:
    """Return the kinds in groups, each of which has a fault that ends a start."""
    endings = [kind for kind in kinds if kind in ENDING]
    others = [kind for kind in kinds if kind not in ENDING]
    number = max(1, min(round(len(kinds) / _NUM_FAULTS), len(endings)))
    groups = [endings[index::number] + others[index::number] for index in range(number)]
    return [group for group in groups if group]


def _history(kinds: list[str], *, loop: str, number: int, draw: random.Random) -> History:
    varies = draw.choice(["workers", "ranks", "ranks", "batch size"])
    endings = [kind for kind in kinds if kind in ENDING]
    between: list[list[Fault]] = [[] for _ in endings]
    joining: list[Fault | None] = [None for _ in range(len(endings) + 1)]
    for kind in kinds:
        if kind in BETWEEN and endings:  # a checkpoint is there later rather than sooner
            between[max(draw.randrange(len(endings)), draw.randrange(len(endings)))].append(_fault(kind, draw))
    for kind in kinds:
        if kind in JOINING:
            index = draw.choice([index for index, fault in enumerate(joining) if fault is None])
            joining[index] = _fault(kind, draw, within=_window(index, len(endings) + 1))
    starts = []
    for index, kind in enumerate([*endings, None]):
        has_processes = kind == "worker killed" or (loop == "Lightning" and draw.random() < 0.4)
        start = Start(
            ranks=1 if varies == "workers" else draw.randint(1, 3 if loop == "plain loop" else 2),
            num_workers=draw.randint(1, 2) if has_processes else 0,
            num_threads=0 if has_processes else draw.choice([0, 0, 2]),
            is_other_batch_size=varies == "batch size",
            joining=joining[index],
            ending=None if kind is None else _fault(kind, draw, within=_window(index, len(endings) + 1)),
            between=() if kind is None else tuple(between[index]),
        )
        starts.append(start)
    return History(number=number, loop=loop, seed=draw.randrange(2**31), varies=varies, starts=tuple(starts))


def _window(index: int, num_starts: int) -> range:
    """Return the positions at which a start has its faults: they advance, so that each start gets there."""
    width = (NUM_SAMPLES - 8 * BATCH_SIZE) // num_starts
    return range(index * width, (index + 1) * width)


def _fault(kind: str, draw: random.Random, *, within: range | None = None) -> Fault:
    draws = tuple(draw.random() for _ in range(4))
    position: int | None = None if within is None else draw.choice(within)
    seconds = draw.random() * 0.02
    if kind in _SIGNALS and draw.random() < 0.1:
        position, seconds = None, draw.random() * 6  # while the program starts
    options: dict[str, Any] = {"kind": kind, "position": position, "seconds": seconds, "draws": draws}
    return Fault(**options)
