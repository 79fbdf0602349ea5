"""The laws of loaders find one fault each, name it, and hold for sound loaders."""

import re
from functools import partial
from itertools import count
from typing import Any

import pytest
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, DistributedSampler

from bionemo.data import EpochOrder, Pipeline
from bionemo.data.pipes import loader
from bionemo.data.testing import (
    adapt,
    assert_epochs_differ,
    assert_exact_coverage,
    assert_ranks_draw_differently,
    assert_resumes_exactly,
    assert_resumes_on_other_ranks,
    replayed,
)
from tests.data.testing import loaders_of_others as others


def of_ranks(kind: type, **options: Any) -> Any:
    return lambda rank, world_size: kind(rank=rank, world_size=world_size, **options)


# Exact coverage -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_sound_loaders_cover_exactly(world_size: int) -> None:
    assert_exact_coverage(of_ranks(others.Batches), list, 50, world_size, num_epochs=3)
    assert_exact_coverage(partial(others.plain, 50, 5), list, 50, world_size)
    names = [f"protein {idx}" for idx in range(50)]
    pipeline = Pipeline(order=EpochOrder(length=50, seed=7), sources=names, batch_size=6, seed=1)
    whole = Pipeline(order=EpochOrder(length=50, seed=7, num_samples=50), sources=names, batch_size=10, seed=1)
    assert_exact_coverage(partial(loader, whole), list, names, world_size)
    assert_exact_coverage(lambda rank, size: loader(pipeline, rank, size, batches_per_epoch=25), list, names * 3)


@pytest.mark.parametrize(
    ("make_loader", "num_samples", "world_size", "message"),
    [
        (of_ranks(others.DroppingTheLast), 50, 1, "1 rank must read .* once in pass 0, but 2 samples are lost: "),
        (of_ranks(others.Overlapping), 50, [1, 2], "2 ranks must read .*, but 1 sample is repeated: "),
        (of_ranks(others.Resampling), 50, 1, "samples are lost: .*; .* samples are repeated: "),
        (of_ranks(others.Batches), 49, 1, r"1 sample is unknown: \[49\]"),
        (lambda rank, size: DataLoader(range(5), sampler=DistributedSampler(range(5), size, rank)), 5, 2,
         r"1 sample is repeated: \[\d\]"),
        (lambda rank, size: DataLoader(range(8), batch_sampler=others.ByTokens([9, 1] * 4, 10, rank, size)), 8, 2,
         r"all ranks must read equally many batches in pass 0, .* but 2 ranks read \[4, 1\]"),
    ],
    ids=["dropped", "overlapping", "resampled", "unknown", "filled", "unequal"],
)  # fmt: skip
def test_what_is_not_covered_exactly_is_found(
    make_loader: Any, num_samples: int, world_size: Any, message: str
) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        assert_exact_coverage(make_loader, list, num_samples, world_size)
    line = str(caught.value).partition("Reproduce: ")[2]
    with pytest.raises(AssertionError, match=re.escape(str(caught.value))):
        eval(line, {"assert_exact_coverage": assert_exact_coverage, "make_loader": make_loader, "ids_of": list})


def test_drops_and_repeats_may_be_allowed() -> None:
    assert_exact_coverage(of_ranks(others.DroppingTheLast), list, 50, max_dropped=2)
    with pytest.raises(AssertionError, match="2 samples are lost"):
        assert_exact_coverage(of_ranks(others.DroppingTheLast), list, 50, max_dropped=1)
    assert_exact_coverage(
        lambda rank, size: DataLoader(range(5), sampler=DistributedSampler(range(5), size, rank)),
        list,
        5,
        2,
        max_repeated=1,
    )


def test_ids_must_be_comparable() -> None:
    with pytest.raises(TypeError, match="ids_of must return hashable values, .* got one of type list"):
        assert_exact_coverage(lambda rank, size: [[0]], lambda batch: [batch], 1)


# Epochs ---------------------------------------------------------------------------------------------------------------
def test_passes_in_the_same_order_are_found() -> None:
    assert_epochs_differ(others.Batches, list)
    with pytest.raises(AssertionError, match=r"passes 0 and 1 both read \[.*num_epochs=2\)"):
        assert_epochs_differ(others.SameEveryEpoch, list)
    sampler = DistributedSampler(range(20), num_replicas=2, rank=0)
    with pytest.raises(AssertionError, match="passes 0 and 1"):
        assert_epochs_differ(lambda: DataLoader(range(20), sampler=sampler), list)
    assert_epochs_differ(
        lambda: replayed(DataLoader(range(20), sampler=sampler), set_epoch=sampler.set_epoch), lambda batch: batch
    )
    with pytest.raises(ValueError, match="at least 10 samples to tell orders apart, got 9"):
        assert_epochs_differ(lambda: [[1, 2, 3], [4, 5, 6, 7, 8, 9]], list)


# Draws ----------------------------------------------------------------------------------------------------------------
def masked(*, seed_of_rank: bool, seed_of_epoch: bool) -> Any:
    return lambda rank, world_size: others.Masked(rank, seed_of_rank=seed_of_rank, seed_of_epoch=seed_of_epoch)


def of_workers(dataset: Any) -> Any:
    options = {"batch_size": 5, "num_workers": 2, "multiprocessing_context": "fork"}
    return lambda rank, size: DataLoader(dataset, sampler=range(rank, 100, size), **options)


def test_ranks_workers_and_passes_that_draw_alike_are_found() -> None:
    assert_ranks_draw_differently(masked(seed_of_rank=True, seed_of_epoch=True), lambda batch: batch["mask"], 3)
    with pytest.raises(AssertionError, match="batch 0 of rank 0 in pass 0 and batch 0 of rank 1 in pass 0"):
        assert_ranks_draw_differently(masked(seed_of_rank=False, seed_of_epoch=True), lambda batch: batch["mask"])
    with pytest.raises(AssertionError, match="batch 0 of rank 0 in pass 0 and batch 0 of rank 0 in pass 1"):
        assert_ranks_draw_differently(masked(seed_of_rank=True, seed_of_epoch=False), lambda batch: batch["mask"])
    check = partial(assert_ranks_draw_differently, world_size=1, num_epochs=1)
    check(of_workers(others.SoundlyNoisy()), lambda batch: batch[1])
    with pytest.raises(AssertionError, match=r"batch 0 of rank 0 in pass 0 and batch 1 .*num_batches=2\)"):
        check(of_workers(others.Noisy()), lambda batch: batch[1])
    with pytest.raises(ValueError, match="at least two batches to compare, got 1"):
        assert_ranks_draw_differently(lambda rank, size: [1], lambda batch: batch, 1, num_epochs=1)


# Resume ---------------------------------------------------------------------------------------------------------------
RESUME_FAULTS = {
    others.LosingABatch: r"stopped after 1 batch and resumed .* batch 0 must be .*Reproduce: .*stops=\[1\]",
    others.RepeatingABatch: r"stopped after 1 batch and .* samples are repeated: .*stops=\[1\]",
    others.CountingFromTheResume: r"after 1 batch, resumed, stopped after 0 batches more and .*stops=\[\(1, 0\)\]",
    others.ForgettingTheEpoch: r"stopped after 13 batches and .*stops=\[13\]",
    others.EmptyAfterTheEnd: r"stopped after 13 batches and .* batch 0 must be .*, got no batch.*stops=\[13\]",
    others.Unseeded: "make_loader must return equal loaders, but of two new ones batch 0 must be",
}


@pytest.mark.parametrize("kind", RESUME_FAULTS, ids=lambda kind: kind.__name__)
def test_a_loader_that_resumes_elsewhere_is_found(kind: type) -> None:
    with pytest.raises(AssertionError, match=RESUME_FAULTS[kind]) as caught:
        assert_resumes_exactly(kind, list)
    if line := str(caught.value).partition("Reproduce: ")[2]:
        with pytest.raises(AssertionError, match=re.escape(str(caught.value))):
            eval(line, {"assert_resumes_exactly": assert_resumes_exactly, "make_loader": kind, "ids_of": list})


def test_sound_loaders_resume_exactly() -> None:
    for length in (1, 3, 4, 5, 50):
        assert_resumes_exactly(partial(others.Batches, length), list, num_epochs=3)
    assert_resumes_exactly(others.Batches, list, stops=[0, 5, 13, 14, 25, (13, 0, 1), (0, 0), (5, 8, 13)], num_epochs=4)
    pipeline = Pipeline(order=EpochOrder(length=20, seed=7), sources=range(20), batch_size=3, seed=1)
    assert_resumes_exactly(partial(loader, pipeline, batches_per_epoch=5), list, num_epochs=3)
    assert_resumes_exactly(partial(loader, pipeline), list, num_epochs=1, max_batches=30)
    with_workers = partial(loader, pipeline, batches_per_epoch=5, num_workers=2, multiprocessing_context="fork")
    assert_resumes_exactly(
        partial(loader, pipeline, batches_per_epoch=5), list, others=[with_workers], stops=[3, (5, 1)]
    )


def test_loaders_of_other_seeds_or_lengths_do_not_resume_each_other() -> None:
    with pytest.raises(AssertionError, match=r"stops=\[0\], num_epochs=2, others=others\)"):
        assert_resumes_exactly(others.Batches, list, others=[partial(others.Batches, seed=2)])
    with pytest.raises(ValueError, match="stops must be before the end of the uninterrupted run of 26 batches, got 26"):
        assert_resumes_exactly(others.Batches, list, stops=[26])
    with pytest.raises(AssertionError, match=r"state_dict\(\) must return plain values, .* cannot pickle"):
        assert_resumes_exactly(others.SharingItsState, list)


def test_misused_laws_say_what_to_do() -> None:
    one = others.Batches()
    for check, error, message in (
        (lambda: assert_resumes_exactly(lambda: one, list), ValueError, "must return a new loader each time"),
        (lambda: assert_resumes_exactly(lambda: [[1]], list), TypeError, r"got a list\. Return replayed\(loader\)"),
        (lambda: assert_resumes_exactly(others.plain, list), TypeError, "make_loader must be a function of no arg"),
        (lambda: assert_exact_coverage(lambda: [[1]], list, 1), TypeError, r"a function of \(rank, world_size\), got"),
        (lambda: assert_epochs_differ(lambda rank: [[1]], list), TypeError, "a function of no arguments, got one of"),
        (lambda: assert_resumes_exactly(partial(others.Batches, 0), list), ValueError, "with batches, got one without"),
        (lambda: assert_resumes_exactly(others.Batches, list, stops=[]), ValueError, "stops must hold at least one"),
        (
            lambda: assert_resumes_on_other_ranks(of_ranks(others.Batches), list, world_sizes=[2]),
            ValueError,
            "world_sizes must hold the numbers of ranks of at least two runs",
        ),
        (lambda: assert_resumes_exactly(others.Batches, str), TypeError, "ids_of must return the ids .* type str"),
        (lambda: assert_resumes_exactly(others.Batches, lambda batch: None), TypeError, "got None of type NoneType"),
        (lambda: assert_epochs_differ(lambda: [{"idx": [1]}], list), TypeError, r"field names \['idx'\]"),
    ):
        with pytest.raises(error, match=message):
            check()
    with pytest.raises(KeyError) as caught:
        assert_epochs_differ(lambda: [{"idx": [1]}], lambda batch: batch["ids"])
    assert caught.value.__notes__ == ["in ids_of, called with a batch of type dict"]


def test_samples_read_again_after_a_resume_are_repeated_not_unknown() -> None:
    with pytest.raises(AssertionError, match=r"4 samples are repeated: "):
        assert_resumes_exactly(others.RepeatingABatch, list, stops=[3], num_epochs=1)


def test_a_plain_loader_is_replayed() -> None:
    def shuffled() -> Any:
        generator = torch.Generator().manual_seed(3)
        return replayed(DataLoader(range(20), batch_size=3, shuffle=True, generator=generator))

    assert_resumes_exactly(shuffled, list, num_epochs=3)
    numbers = count()
    with pytest.raises(AssertionError, match="must return equal loaders"):
        assert_resumes_exactly(lambda: replayed([[next(numbers)]]), list)


def test_names_of_states_are_adapted() -> None:
    def adapted() -> Any:
        return adapt(
            others.Batches(),
            iterate=iter,
            save=lambda held: (held.epoch, held.num_batches),
            load=lambda held, state: held.__dict__.update(epoch=state[0], num_batches=state[1]),
        )

    assert_resumes_exactly(adapted, list)


class Module(LightningDataModule):
    """A data module that keeps the position itself."""

    def __init__(self, kind: type = others.Batches) -> None:
        super().__init__()
        self.batches = kind()

    def train_dataloader(self) -> Any:
        return self.batches

    def state_dict(self) -> dict[str, Any]:
        return self.batches.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.batches.load_state_dict(state_dict)


def test_data_modules_are_adapted() -> None:
    def iterate(module: Module) -> Any:
        return iter(module.train_dataloader())

    assert_resumes_exactly(lambda: adapt(Module(), iterate=iterate), list)
    with pytest.raises(AssertionError, match="stopped after 1 batch and resumed"):
        assert_resumes_exactly(lambda: adapt(Module(others.LosingABatch), iterate=iterate), list)


# Other ranks ----------------------------------------------------------------------------------------------------------
def test_runs_resume_on_other_ranks_or_are_found() -> None:
    pipeline = Pipeline(order=EpochOrder(length=50, seed=7, num_samples=50), sources=range(50), batch_size=10, seed=1)
    assert_resumes_on_other_ranks(partial(loader, pipeline), list, world_sizes=(1, 4, 2, 3), stops=[0, 1, 9])
    # A step of this loader has `batch_size` samples per rank: its state doesn't fit another number of ranks.
    message = r"runs on 2 then 3 then 1 ranks, .* after 1 batch, must .*, but .* samples are repeated: .*stops=\[1\]\)"
    with pytest.raises(AssertionError, match=message):
        assert_resumes_on_other_ranks(of_ranks(others.Batches), list)
    with pytest.raises(AssertionError, match=r"run 0 on 2 ranks read \[4, 1\]"):
        assert_resumes_on_other_ranks(
            lambda rank, size: replayed(
                DataLoader(range(8), batch_sampler=others.ByTokens([9, 1] * 4, 10, rank, size))
            ),
            list,
            stops=[4],
        )
