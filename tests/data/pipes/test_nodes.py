"""Chains of nodes composed by hand."""

import pytest
import torch
from torchdata.nodes import Loader

from bionemo.data import EpochOrder, Pipeline, Source, batch_at, index_at
from bionemo.data.pipes import loader
from bionemo.data.pipes.nodes import batch, collate, pin_memory, prefetch, read, sample_indices, transform


def with_number(sample, *, generator: torch.Generator):
    return sample, int(torch.randint(10**9, (), generator=generator))


def with_seeds(rows: list, *, seeds: torch.Tensor) -> list:
    return list(zip(rows, seeds.tolist(), strict=True))


def make_chain(order: EpochOrder, dataset: list, *, drop_last: bool = False, start: int = 0):
    node = sample_indices(order, start=start)
    node = read(node, dataset)
    node = transform(node, with_number, seed=7)
    node = batch(node, 4, drop_last=drop_last)
    return collate(node, list, batch_transform=with_seeds, seed=7)


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_chain_yields_the_batches_of_the_pipeline(drop_last: bool) -> None:
    order = EpochOrder(length=10, seed=42, num_samples=27)
    pipeline = Pipeline(
        order=order,
        sources=Source(list(range(10)), transform=with_number),
        batch_size=4,
        seed=7,
        collate=list,
        batch_transform=with_seeds,
        drop_last=drop_last,
    )
    batches = list(make_chain(order, list(range(10)), drop_last=drop_last))
    assert batches == [batch_at(pipeline, step) for step in range(len(batches))] == list(loader(pipeline))
    assert len(batches) == (6 if drop_last else 7)


@pytest.mark.parametrize("steps", range(8))
def test_a_chain_resumes_from_its_state(steps: int) -> None:
    order = EpochOrder(length=10, seed=42, num_samples=27)
    whole = list(make_chain(order, list(range(10))))
    first = Loader(make_chain(order, list(range(10))), restart_on_stop_iteration=False)
    iterator = iter(first)
    head = [next(iterator) for _ in range(min(steps, len(whole)))]
    second = Loader(make_chain(order, list(range(10))), restart_on_stop_iteration=False)
    second.load_state_dict(first.state_dict())
    assert head + list(second) == whole


def test_a_node_of_positions_starts_and_restarts_at_any_position() -> None:
    order = EpochOrder(length=10, seed=42)
    node = sample_indices(order, start=10**12)
    expected = [(10**12 + offset, index_at(order, 10**12 + offset)) for offset in range(5000)]
    assert [next(node) for _ in range(5000)] == expected
    assert node.state_dict() == {"position": 10**12 + 5000}
    node.reset()
    assert next(node) == expected[0]
    node.reset({"position": 10**12 + 3})
    assert next(node) == expected[3]


def test_a_finite_order_ends() -> None:
    assert list(sample_indices(EpochOrder(length=3, seed=1, num_samples=0))) == []
    assert len(list(sample_indices(EpochOrder(length=3, seed=1, num_samples=5)))) == 5
    for start in (5, 6):
        assert list(sample_indices(EpochOrder(length=3, seed=1, num_samples=5), start=start)) == []


def test_a_batch_size_of_zero_is_refused() -> None:
    node = read(sample_indices(EpochOrder(length=3, seed=1, num_samples=3)), "abc")
    with pytest.raises(ValueError, match="batch_size must be in 1.*got batch_size=0"):
        batch(node, 0)


@pytest.mark.parametrize("steps", range(8))
def test_a_prefetched_chain_resumes_after_the_delivered_batches(steps: int) -> None:
    order = EpochOrder(length=10, seed=42, num_samples=27)
    whole = list(make_chain(order, list(range(10))))
    first = Loader(prefetch(make_chain(order, list(range(10))), 3), restart_on_stop_iteration=False)
    iterator = iter(first)
    head = [next(iterator) for _ in range(min(steps, len(whole)))]
    second = Loader(prefetch(make_chain(order, list(range(10)))), restart_on_stop_iteration=False)
    second.load_state_dict(first.state_dict())
    assert head + list(second) == whole


def fail(sample, **_):
    raise LookupError("no such residue")


class Broken(list):
    def __getitem__(self, index: int):
        raise LookupError("disk on fire")


def test_an_error_in_a_chain_names_the_sample() -> None:
    order = EpochOrder(length=10, seed=42, num_samples=27)
    where = f"while reading position 0: {index_at(order, 0)}"
    chains = [
        (read(sample_indices(order), Broken(range(10))), where),
        (transform(read(sample_indices(order), list(range(10))), fail, seed=7), where),
        (collate(batch(read(sample_indices(order), list(range(10))), 1), fail), where.replace("reading", "collating")),
    ]
    for node, note in chains:
        with pytest.raises(LookupError, match="no such residue|disk on fire") as caught:
            next(node)
        assert caught.value.__notes__ == [note]


def stop(sample, **_):
    next(iter([]))


class Ended(list):
    def __getitem__(self, index: int):
        next(iter([]))


def test_a_stop_iteration_in_a_users_function_is_an_error() -> None:
    """Otherwise it would end the chain as if the order had ended."""
    samples = read(sample_indices(EpochOrder(length=10, seed=42)), list(range(10)))
    for node in (
        read(sample_indices(EpochOrder(length=10, seed=42)), Ended(range(10))),
        transform(samples, stop, seed=7),
        collate(batch(samples, 4), stop),
        collate(batch(samples, 4), list, batch_transform=stop, seed=7),
    ):
        with pytest.raises(RuntimeError, match="raised StopIteration: an iterator in it has ended"):
            next(node)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a CUDA device")
def test_memory_is_pinned() -> None:
    node = read(sample_indices(EpochOrder(length=10, seed=42)), torch.arange(10))
    assert next(pin_memory(collate(batch(node, 4), torch.stack))).is_pinned()


def test_prefetching_no_batches_is_refused() -> None:
    with pytest.raises(ValueError, match="num_batches must be in 1.*got num_batches=0"):
        prefetch(sample_indices(EpochOrder(length=10, seed=42)), 0)
