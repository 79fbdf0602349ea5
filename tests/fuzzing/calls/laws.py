"""Valid calls of the laws for loaders, data sets and collators."""

from collections.abc import Iterator
from typing import Any

import torch

from bionemo import data
from bionemo.data import pipes, testing
from tests.fuzzing.calls.parts import SHORT, Call, call, make_pipeline


def law_calls() -> Iterator[Call]:
    def make_loader(rank: int = 0, world_size: int = 1) -> Any:
        return pipes.loader(make_pipeline(), rank, world_size)

    passes = {"make_loader": make_loader, "ids_of": list}
    whole = {"make_loader": lambda rank, world_size: [[0, 1], [2]], "ids_of": list, "num_samples": 3}
    yield call(testing.adapt, loader=[[1], [2]], iterate=iter, save=len, load=max)
    yield call(testing.replayed, loader=[[1], [2]], set_epoch=str, skip=max)
    yield call(testing.assert_megatron_compatible, dataset=[{"a": torch.ones(2)}, {"a": torch.ones(2)}], indices=[0, 1])
    yield call(testing.assert_pure, fn=torch.add, args=(torch.ones(2), 1))
    yield call(testing.assert_bijection, fn=int, length=5, inverse=int, max_indices=9)
    yield call(testing.assert_exact_coverage, **whole, world_size=1, num_epochs=1, max_dropped=0, max_repeated=0)
    yield call(
        testing.assert_resumes_exactly, **passes, stops=[1], num_epochs=1, max_batches=None, others=[make_loader]
    )
    yield call(testing.assert_resumes_on_other_ranks, **passes, world_sizes=[1, 2], stops=[1])
    yield call(testing.assert_epochs_differ, make_loader=EpochsOf, ids_of=list, num_epochs=2)
    draws = {"draws_of": lambda batch: [*batch], "world_size": 1, "num_epochs": 1, "num_batches": 2}
    yield call(testing.assert_ranks_draw_differently, make_loader=make_loader, **draws)
    yield call(testing.assert_order, order=SHORT, shuffles_epochs=False, num_positions=3)
    yield call(testing.assert_collate_accepts_empty, collate=list, samples=[1])
    yield call(testing.assert_batch_invariant, loss_of=sum, samples=[1, 2], collate=list, rtol=0.1)
    yield call(data.log_line, step=3, rank=0, ids=[1, 2], world_size=2)
    log = [data.LoggedBatch(0, 0, [row.idx for row in data.describe_batch(make_pipeline(), 0)])]
    yield call(data.verify_run, log=log, pipeline=make_pipeline())


class EpochsOf:
    """A loader with another order in each pass."""

    epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        self.epoch += 1
        yield [self.epoch, *range(20)]
