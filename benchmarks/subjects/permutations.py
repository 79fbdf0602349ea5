"""Shuffling: an index map against a stored permutation and against other index maps."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, each_of, race
from benchmarks.record import Measurement
from bionemo.data.permute import permute

LENGTH = 10**9 + 7
LONG = 2**40 + 15
BULK = torch.arange(10**6) * 1000


def measure(effort: Effort) -> Iterator[Measurement]:
    """Compare with torch.randperm, bionemo-core 2.4.5 and grain."""
    compiled = torch.compile(permute, fullgraph=True, dynamic=True)
    number = effort.pick(10**8, 10**7)
    generator = torch.Generator()
    indices = [int(index) for index in np.random.default_rng(42).integers(LENGTH, size=1000)]
    torch_call = partial(
        Call,
        f"torch.randperm({number:,}), stored",
        lambda: torch.randperm(number, generator=generator.manual_seed(42)),
        per=number,
    )

    def upstream(least_ratio: float) -> Call:
        return call_of(
            peers.bionemo_permute(),
            lambda theirs: each_of(lambda index: theirs(index, LENGTH, 42), indices),
            "(index, length, seed), one by one",
            per=len(indices),
            least_ratio=least_ratio,
        )

    def grain(least_ratio: float | None) -> Call:
        return call_of(
            peers.grain_shuffle(),
            lambda theirs: each_of(lambda index: theirs(index, LENGTH - 1, 42, 4), indices),
            "in C++, one by one",
            per=len(indices),
            least_ratio=least_ratio,
        )

    def ours(form: str, length: int, *, is_ours: bool = True, least_ratio: float | None = None) -> Call:
        function = compiled if form == "compiled" else permute
        name = f"permute, length {length:,}, {len(BULK):,} at once, {form}"
        run = partial(function, BULK % min(length, 10**6) if length < LENGTH else BULK, length, 42)
        return Call(name, run, per=len(BULK), is_ours=is_ours, least_ratio=least_ratio)

    what = "time per shuffled index"
    alone = each_of(lambda index: permute(index, LENGTH, 42), indices)
    scalar = Call("permute(index, length, seed), one by one", alone, per=len(indices))
    yield from race(f"{what}, one Python int at a time", scalar, upstream(1 / 1.2), grain(None), effort=effort)
    for form, least_ratio in effort.pick((("eager", 1), ("compiled", 4)), (("eager", 1),)):
        theirs = (torch_call(least_ratio=least_ratio), upstream(50), grain(50))
        yield from race(f"{what}, {form}", ours(form, LENGTH), *theirs, effort=effort)
        short = ours(form, 10**6, least_ratio=1 / 1.3)
        yield from race(f"{what}, {form}, a long data set against a short one", ours(form, LONG), short, effort=effort)
