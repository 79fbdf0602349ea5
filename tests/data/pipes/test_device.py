"""Batches moved to a device; here the CPU, by the code that a GPU takes."""

from typing import NamedTuple

import pytest
import torch

from bionemo.core.padding import pad_token_ids
from bionemo.data import EpochOrder, Pipeline, batch_at, mask_tokens
from bionemo.data.pipes import loader
from bionemo.data.pipes.device import to_device

ROWS = [torch.full((number % 7 + 1,), number % 20 + 4, dtype=torch.uint8) for number in range(40)]


def hide(batch: tuple, *, seeds: torch.Tensor) -> tuple:
    return mask_tokens(*batch, seeds=seeds, mask_id=1, replacement_ids=range(4, 24))


def make(**fields) -> Pipeline:
    order = EpochOrder(length=40, seed=1, num_samples=100)
    given = {"order": order, "sources": ROWS, "batch_size": 8, "seed": 2, "collate": pad_token_ids}
    return Pipeline(**given | {"batch_transform": hide} | fields)


def as_lists(batch) -> list:
    return [part.tolist() for part in batch]


@pytest.mark.parametrize("transform_on", ["worker", "device"])
@pytest.mark.parametrize(
    "options", [{}, {"num_threads": 2}, {"num_workers": 2, "multiprocessing_context": "fork"}], ids=str
)
def test_the_batches_are_the_same_wherever_they_are_transformed(options: dict, transform_on: str) -> None:
    pipeline = make()
    for rank in range(2):
        expected = [as_lists(batch_at(pipeline, step, rank, 2)) for step in range(13)]
        batches = loader(pipeline, rank, 2, device="cpu", transform_on=transform_on, start=16, **options)
        assert [as_lists(batch) for batch in batches] == expected[2:]
        batches.close()


def test_stops_resumes_and_pauses_count_what_was_delivered() -> None:
    pipeline = make()
    expected = [as_lists(batch_at(pipeline, step)) for step in range(13)]
    first = loader(pipeline, device="cpu", transform_on="device", batches_per_epoch=4)
    found = [as_lists(batch) for batch in first]
    iterator = iter(first)
    found += [as_lists(next(iterator)), as_lists(next(iterator))]
    assert first.consumed_samples == 48
    second = loader(pipeline, device="cpu", batches_per_epoch=20)
    second.load_state_dict(first.state_dict())
    assert found + [as_lists(batch) for batch in second] == expected


def fail(batch: tuple) -> tuple:
    if any(11 in row.tolist() for row in batch[0]):
        raise ValueError("eleven")
    return batch


@pytest.mark.parametrize("transform_on", ["worker", "device"])
def test_an_error_is_raised_after_the_batch_before_it_was_delivered(transform_on: str) -> None:
    pipeline = make(batch_transform=fail)
    plain = make(batch_transform=None)
    step = next(step for step in range(13) if 11 in sum(as_lists(batch_at(plain, step))[0], []))
    batches = loader(pipeline, device="cpu", transform_on=transform_on)
    found = []
    with pytest.raises(ValueError, match="eleven"):
        found.extend(map(as_lists, batches))
    assert len(found) == step
    assert batches.consumed_samples == 8 * step


def noisy(batch: tuple) -> tuple:
    return (*batch, torch.rand(2))


def test_what_a_transform_on_the_device_draws_from_global_states_depends_on_the_position() -> None:
    pipeline = make(batch_transform=noisy)
    whole = [as_lists(batch) for batch in loader(pipeline, device="cpu", transform_on="device")]
    state = torch.get_rng_state()
    torch.rand(3)
    resumed = loader(pipeline, device="cpu", transform_on="device", start=40)
    assert [as_lists(batch) for batch in resumed] == whole[5:]
    torch.set_rng_state(state)
    assert len({tuple(batch[2]) for batch in whole}) == 13


class Pair(NamedTuple):
    ids: torch.Tensor
    name: str


class Own:
    def __init__(self, where: str) -> None:
        self.where = where

    def to(self, device) -> "Own":
        return Own(str(device))


def test_a_batch_keeps_its_structure() -> None:
    batch = {"pair": Pair(torch.arange(3), "a"), "list": [torch.arange(2), (1, None)], "own": Own("cpu")}
    moved = to_device(batch, "meta")
    assert type(moved["pair"]) is Pair
    assert moved["pair"].ids.is_meta
    assert moved["list"][0].is_meta
    assert moved["list"][1] == (1, None)
    assert moved["own"].where == "meta"
    assert batch["list"][0].device.type == "cpu"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "sofa"}, "device must be a device of torch, got device='sofa'"),
        ({"transform_on": "device"}, 'device must be given with transform_on="device"'),
        ({"transform_on": "gpu"}, 'transform_on must be "worker" or "device"|transform_on must be'),
        ({"compile_transform": True}, 'compile_transform must be False unless transform_on="device"'),
    ],
)
def test_options_that_make_no_sense_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loader(make(), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_available_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="device must be available, got device='cuda' without a CUDA device"):
        loader(make(), device="cuda")
