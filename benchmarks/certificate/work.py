"""The work of a certificate in pieces, which run in several processes: each returns the results of one family."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import attrs
import numpy as np

from benchmarks.certificate.draws import clusters, masks, uniform, weighted
from benchmarks.certificate.installed import reason
from benchmarks.certificate.p_values import Results
from benchmarks.certificate.permutations.battery import battery, random_permutations
from benchmarks.certificate.permutations.counts import lost, missing_bytes, reached
from benchmarks.certificate.permutations.families import Shuffle, shuffles
from benchmarks.certificate.permutations.layout import LENGTHS

PERMUTATIONS: Final = "Permutations"
CLUSTERS: Final = "Members of clusters"
COUNTS: Final = "Counts"
FALSE_ALARMS: Final = "False alarms"
DRAWS: Final[dict[str, tuple[Callable[[], Iterator[uniform.Sampler]], Callable[..., Results], dict[str, int]]]] = {
    "Draws with replacement": (uniform.samplers, uniform.battery, {"num": 2**14, "num_seeds": 2**9}),
    "Weighted draws": (weighted.samplers, weighted.battery, {"num": 2**15, "num_seeds": 2**9}),
    "Weighted draws without replacement": (weighted.epoch_samplers, weighted.epoch_battery, {"num": 2000}),
    CLUSTERS: (clusters.samplers, clusters.battery, {"num_rounds": 2000}),
    "Masks": (masks.samplers, masks.battery, {}),
}
"""Of each subject: the samplers, their tests, and the options of a quick run."""
ALARM_LENGTHS: Final = (5, 32, 2**20 + 7)
ALARM_SIZE: Final = 3 * 2**15
LOW_BYTES: Final = "low bytes"
LONG_LENGTHS: Final = (2**32, 2**32 + 1, 2**40 + 15, 2**62)
RUNS_PER_PIECE: Final = 10
ONE_PERCENT: Final = 0.01
SEEDS_OF_COUNT: Final = 100_000
SEEDS_OF_QUICK_COUNT: Final = 10_000


@attrs.frozen(kw_only=True)
class Extent:
    """How much is tested."""

    lengths: tuple[int, ...] = LENGTHS
    size: int = 3 * 2**17
    runs: int = 1000
    is_quick: bool = False


QUICK: Final = Extent(lengths=(4, 100, 2**16 + 1), size=3 * 2**15, runs=20, is_quick=True)


@attrs.frozen
class Finding:
    """What one piece of work found."""

    subject: str
    """One of the subjects of p-values, or the name of a count."""
    family: str
    values: dict[str, Any]
    again: float | None = None
    """Of members of clusters: the fraction that is read again before all were read."""
    seconds: float = 0.0


def pieces(extent: Extent) -> Iterator[Callable[[], Finding]]:
    """Yield everything to do. What takes long comes first; the families of a length follow one another."""
    for subject, (samplers, _, _) in DRAWS.items():
        for sampler in samplers():
            if not reason(sampler.peer):
                yield partial(judge_draws, subject, sampler.name, is_quick=extent.is_quick)
    available = [shuffle for shuffle in shuffles() if not reason(shuffle.peer)]
    for shuffle in available:
        yield partial(count, shuffle.name, is_quick=extent.is_quick)
    for length in sorted(extent.lengths, reverse=True):
        for shuffle in available:
            if length in shuffle.lengths:
                yield partial(judge_shuffle, shuffle.name, length, extent.size)
    for first in range(0, extent.runs, RUNS_PER_PIECE):
        yield partial(false_alarms, first, min(RUNS_PER_PIECE, extent.runs - first))


def missing() -> dict[str, str]:
    """Return why some families can't be tested here: an empty mapping if all can."""
    samplers = [sampler for make_samplers, _, _ in DRAWS.values() for sampler in make_samplers()]
    return {family.name: why for family in (*shuffles(), *samplers) if (why := reason(family.peer))}


def run(piece: Callable[[], Finding]) -> Finding:
    """Return what a piece of work found, and how long it took."""
    start = time.perf_counter()
    found = piece()
    return attrs.evolve(found, seconds=time.perf_counter() - start)


def shuffle_of(name: str) -> Shuffle:
    """Return the family of a name."""
    return next(shuffle for shuffle in shuffles() if shuffle.name == name)


def judge_shuffle(name: str, length: int, size: int) -> Finding:
    """Return the p-values of a family of permutations at one length."""
    shuffle = shuffle_of(name)
    options = {"seeds_of": shuffle.seeds_of, "seed_bits": shuffle.seed_bits}
    found = battery(shuffle.family, [length], size=size // shuffle.part, **options)
    return Finding(PERMUTATIONS, name, found)


def judge_draws(subject: str, name: str, *, is_quick: bool) -> Finding:
    """Return the p-values of draws."""
    samplers, judge, quick = DRAWS[subject]
    sampler = next(sampler for sampler in samplers() if sampler.name == name)
    found = judge(sampler.draws, **quick if is_quick else {})
    if subject == CLUSTERS:
        return Finding(subject, name, found, again=clusters.repeated(sampler.draws))
    return Finding(subject, name, found)


def count(name: str, *, is_quick: bool) -> Finding:
    """Return how many samples a family of permutations loses, by length, and how many orders it reaches."""
    shuffle = shuffle_of(name)
    values: dict[str, Any] = {}
    for length in shuffle.counted:
        values[str(length)] = lost(shuffle.family, length)
    longest = max(shuffle.counted, default=0)
    for length in [length for length in LONG_LENGTHS if length <= longest]:
        values[f"{length}: {LOW_BYTES}"] = missing_bytes(shuffle.family, length)
    if name != "grain":  # 10 ms per index
        values["reached"] = reached(shuffle.family, num_seeds=SEEDS_OF_QUICK_COUNT if is_quick else SEEDS_OF_COUNT)
    return Finding(COUNTS, name, values)


def false_alarms(first: int, num: int) -> Finding:
    """Return, for some runs of the control, the smallest p-value times the number of them, and counts of small ones."""
    values = {}
    for number in range(first, first + num):
        found = battery(random_permutations, ALARM_LENGTHS, size=ALARM_SIZE, first_seed=(number + 1) << 20)
        p = np.array(list(found.values()))
        values[str(number)] = [float(p.min() * len(p)), int((p < ONE_PERCENT).sum()), len(p)]
    return Finding(FALSE_ALARMS, "NumPy", values)
