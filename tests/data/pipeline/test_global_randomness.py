"""Third-party code that draws from global random states: its batches are reproducible, and the states are restored."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from bionemo.core.padding import pad_token_ids
from bionemo.core.random import random_global_context
from bionemo.data import EpochOrder, Pipeline, Source, batch_at, batch_from, random_crop
from bionemo.data.pipeline import assemble
from bionemo.data.pipes import loader

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.usefixtures("no_type_checks"),  # the type checker checks a random element of a list
]


def draws() -> list[float]:
    """Draw from each library, also normal numbers: some make them in pairs and keep the second for the next call."""
    numpy = float(np.random.rand()), float(np.random.randn())
    return [random.random(), random.gauss(0, 1), *numpy, float(torch.rand(()))]


class Noisy:
    """A data set that draws from the global states."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, idx: int) -> list[float]:
        return [idx, *draws()]


class NoisyAtOnce(Noisy):
    """A data set that draws for many samples at once."""

    def __getitems__(self, indices: list[int]) -> list[list[float]]:
        noise = np.random.rand(len(indices), 2).tolist()
        return [[idx, *part] for idx, part in zip(indices, noise, strict=True)]


def noisy_transform(sample: int, *, generator: torch.Generator) -> list[float]:
    return [sample, *draws()]


def noisy_collate(samples: list) -> tuple:
    return samples, draws()


def noisy_batch(batch: list, *, seeds: torch.Tensor) -> tuple:
    return batch, draws()


KINDS = {
    "data set": {"sources": Noisy()},
    "data set, at once": {"sources": NoisyAtOnce()},
    "transform": {"sources": Source(list(range(64)), transform=noisy_transform)},
    "collate": {"sources": range(64), "collate": noisy_collate},
    "batch transform": {"sources": torch.arange(64), "collate": list, "batch_transform": noisy_batch},
}


def make(kind: str, seed: int = 1) -> Pipeline:
    return Pipeline(**{"order": EpochOrder(length=64, seed=1), "batch_size": 8, "seed": seed} | KINDS[kind])


def states() -> tuple:
    numpy = np.random.get_state()
    return random.getstate(), numpy[1].tolist(), numpy[2:], torch.get_rng_state().tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("num_workers", "context"), [(0, None), (1, "fork"), (3, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)]
)
def test_batches_are_the_same_with_any_number_of_workers_and_after_any_resume(
    kind: str, num_workers: int, context: str
) -> None:
    if context == "spawn" and kind != "data set":
        return
    expected = {rank: [batch_at(make(kind), step, rank, 2) for step in range(4)] for rank in range(2)}
    for rank in range(2):
        random.seed(rank), np.random.seed(rank), torch.manual_seed(rank)
        np.random.randn()  # keeps the second number of a pair
        options = {"num_workers": num_workers, "multiprocessing_context": context}
        before = states()
        batches = loader(make(kind), rank, 2, **options)
        found = [batch for batch, _ in zip(batches, range(4), strict=False)]
        batches.close()
        assert repr(found) == repr(expected[rank])
        resumed = loader(make(kind), rank, 2, start=16, **options)
        assert repr(next(iter(resumed))) == repr(expected[rank][2])
        resumed.close()
        assert states() == before


@pytest.mark.parametrize("kind", KINDS)
def test_batches_differ_between_ranks_seeds_and_positions(kind: str) -> None:
    def noise(batch) -> str:
        """Return the numbers that were drawn, without the samples."""
        return repr(batch[1]) if isinstance(batch, tuple) else repr([sample[1:] for sample in batch])

    found = [
        batch_at(make(kind, seed), step, rank, 2) for seed in (1, 2) for step in (0, 1, 2, 10**6) for rank in range(2)
    ]
    assert len({noise(batch) for batch in found}) == len(found)
    if kind != "data set, at once":
        numbers = batch_at(make(kind), 0)[1] if isinstance(found[0], tuple) else batch_at(make(kind), 0)[0][1:]
        assert len({round(number, 6) for number in numbers}) == len(numbers), "two libraries draw the same stream"


def test_global_states_are_seeded_with_the_first_position_that_a_rank_reads() -> None:
    whole = batch_from(make("collate"), 8)
    assert repr(batch_from(make("collate"), 8, rank=0, world_size=1)) == repr(whole)
    assert repr(batch_from(make("collate"), 8, rank=0, world_size=2)[1]) == repr(whole[1])
    assert repr(batch_from(make("collate"), 8, rank=1, world_size=2)[1]) != repr(whole[1])


def fails(samples: list) -> None:
    draws()
    raise LookupError("no")


def test_global_states_are_restored_after_a_failing_collator_and_after_a_nested_context() -> None:
    before = states()
    pipeline = Pipeline(order=EpochOrder(length=8, seed=1), sources=range(8), batch_size=4, seed=1, collate=fails)
    with pytest.raises(LookupError):
        batch_at(pipeline, 0)
    assert states() == before
    with random_global_context(5):
        expected = draws(), draws()
    with random_global_context(5):
        first = draws()
        with random_global_context(6):
            draws()
        assert (first, draws()) == expected
    assert states() == before


def test_an_outer_context_continues_after_an_inner_one() -> None:
    with random_global_context(5):
        expected = np.random.rand(2).tolist()
    with random_global_context(5):
        first = float(np.random.rand())
        with random_global_context(6):
            np.random.rand()
        assert [first, float(np.random.rand())] == expected


def test_torch_and_numpy_do_not_draw_the_same_stream() -> None:
    """Both use the Mersenne Twister: from one seed, they would draw the same bits."""

    def in_common() -> set[int]:
        return {*torch.empty(4, dtype=torch.int64).random_(0, 2**31).tolist()} & {*np.random.randint(2**31, size=8)}

    np.random.seed(7), torch.manual_seed(7)
    assert len(in_common()) == 4
    for seed in (7, 2**40 + 7, 2**62):
        with random_global_context(seed):
            assert in_common() == set()


def test_small_seeds_differ_in_every_library() -> None:
    found = []
    for seed in range(5):
        with random_global_context(seed):
            found.append(draws())
    assert all(len(set(numbers)) == 5 for numbers in zip(*found, strict=True))


def test_the_second_normal_number_of_a_pair_is_restored() -> None:
    np.random.seed(3)
    expected = np.random.randn(4).tolist()
    np.random.seed(3)
    found = []
    for step in range(4):
        found.append(float(np.random.randn()))
        batch_at(make("collate"), step)
    assert found == expected


def test_the_global_states_are_left_alone_if_nothing_can_draw_from_them() -> None:
    order = EpochOrder(length=64, seed=1)
    for fields, is_known in (
        ({"sources": [[1]] * 64, "collate": partial(pad_token_ids, padding_value=0)}, True),
        ({"sources": torch.arange(64)}, True),
        ({"sources": range(64), "collate": list}, True),
        ({"sources": Source([[1, 2]] * 64, transform=partial(random_crop, length=1))}, True),
        ({"sources": range(64), "collate": noisy_collate}, False),
        ({"sources": range(64), "collate": partial(partial, noisy_collate)}, False),
        ({"sources": range(64), "collate": partial(assemble.no_stop_iteration, noisy_collate)}, False),
        ({"sources": Noisy(), "collate": list}, False),
        ({"sources": Source(range(64), transform=noisy_transform)}, False),
        ({"sources": range(64), "collate": torch.bernoulli}, False),
    ):
        assert Pipeline(order=order, batch_size=4, seed=1, **fields).draws_globally is not is_known, fields


def test_a_pipeline_that_seeds_no_global_state_leaves_them_alone() -> None:
    fields = {"order": EpochOrder(length=64, seed=1), "sources": Noisy(), "batch_size": 4, "seed": 1, "collate": list}
    unseeded = Pipeline(**fields, seed_global_states=False)
    with random_global_context(5):
        expected = [draws() for _ in range(4)]
    with random_global_context(5):
        assert [noise for _, *noise in batch_at(unseeded, 0)] == expected
        after = draws()
    with random_global_context(5):
        assert after == [draws() for _ in range(5)][-1]
    state = loader(unseeded).state_dict()
    with pytest.warns(UserWarning, match=r"other functions: seed_global_states \(was False, is True\)"):
        loader(Pipeline(**fields)).load_state_dict(state)
    del state["pipeline"]["seed_global_states"]  # of an earlier version
    loader(Pipeline(**fields)).load_state_dict(state)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(40)}, unk_token="w0"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w1", mask_token="w2", unk_token="w0")


@pytest.mark.parametrize("tensors", ["pt", "np"])
def test_masking_collators_of_transformers_are_reproducible(tensors: str, tokenizer) -> None:
    rows = [{"input_ids": list(range(3, 3 + length))} for length in range(10, 30)]
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.3)
    collate = partial(collator, return_tensors=tensors)
    pipeline = Pipeline(order=EpochOrder(length=20, seed=1), sources=rows, batch_size=4, seed=2, collate=collate)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    batches = loader(pipeline, num_workers=2, multiprocessing_context="fork")
    for step, batch in zip(range(6), batches, strict=False):
        torch.manual_seed(step), np.random.seed(step), random.seed(step)
        again = batch_at(pipeline, step)
        assert all((batch[name] == again[name]).all() for name in again)
        assert (np.asarray(batch["labels"]) != -100).any()
    batches.close()
