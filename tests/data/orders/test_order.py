"""Tests of index_at, position_of and fingerprint for orders of any kind."""

import pydoc
import re
import subprocess
import sys

import attrs
import numpy as np
import pytest
import torch

from bionemo.data import (
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    Order,
    PackedOrder,
    Pipeline,
    PRNGResampleDataset,
    RaggedField,
    SampleIndex,
    Source,
    fingerprint,
    index_at,
    position_of,
)
from bionemo.data.pipes import PipelineLoader


def listed(index: SampleIndex) -> list[SampleIndex]:
    return [SampleIndex(*sample) for sample in zip(*(part.tolist() for part in index), strict=True)]


@attrs.frozen
class Alternating:
    """A user-defined order that alternates between two data sets. It has no inverse."""

    num_samples: int | None = None
    num_sources: int = 2

    def index_at(self, position, /):
        return SampleIndex(position % 2, 0, position // 2)


def test_a_user_defined_record_is_an_order() -> None:
    order = Alternating()
    assert isinstance(order, Order)
    assert index_at(order, 5) == (1, 0, 2)
    assert listed(index_at(order, range(40))) == [index_at(order, position) for position in range(40)]
    assert len(fingerprint(order)) == 64


def test_position_of_refuses_an_order_without_inverse() -> None:
    with pytest.raises(TypeError, match="Alternating has no inverse"):
        position_of(Alternating(), SampleIndex(0, 0, 0))


@pytest.mark.parametrize("order", [Alternating(num_samples=4), EpochOrder(length=3, seed=1, num_samples=4)])
@pytest.mark.parametrize("position", [-1, 4, 10**30])
def test_an_out_of_range_position_is_refused(order: Order, position: int) -> None:
    with pytest.raises(IndexError, match=f"position must be in 0..3, got position={position}"):
        index_at(order, position)


@pytest.mark.parametrize(
    "positions",
    [
        range(0, 300, 3),
        range(299, -1, -2),
        range(2**63 - 40, 2**63),
        range(5, 5),
        [],
        list(range(50)),
        tuple(range(50)),
        [np.int8(3), 2**62],
        np.arange(50, dtype=np.uint8),
        np.array([2**63 - 1], dtype=np.uint64),
        torch.arange(50),
    ],
    ids=repr,
)
def test_many_positions_at_once_give_the_same_as_one_by_one(positions) -> None:
    order = EpochOrder(length=7, seed=1)
    found = index_at(order, positions)
    assert listed(found) == [index_at(order, int(position)) for position in positions]
    kind = torch.Tensor if isinstance(positions, torch.Tensor) else np.ndarray
    assert all(type(part) is kind and str(part.dtype).endswith("int64") for part in found)


def test_the_result_has_the_shape_of_the_positions() -> None:
    order = EpochOrder(length=7, seed=1)
    for positions in ([[1, 2, 3], [4, 5, 6]], np.arange(1, 7).reshape(2, 3), torch.arange(1, 7).reshape(2, 3)):
        assert all(part.shape == (2, 3) for part in index_at(order, positions))
    assert all(part.shape == () for part in index_at(order, torch.tensor(3)))


def test_a_position_traced_by_vmap_is_refused() -> None:
    order = EpochOrder(length=7, seed=1)
    with pytest.raises(TypeError, match="position must not be traced: orders run outside of torch.compile and vmap"):
        torch.vmap(lambda row: index_at(order, row))(torch.zeros(2, 3, dtype=torch.int64))


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("position", "error"), [(0.5, TypeError), (True, TypeError), (2**63, IndexError), (-1, IndexError)]
)
@pytest.mark.parametrize("number", [1, 40])
def test_each_of_many_positions_is_checked(position, error: type[Exception], number: int) -> None:
    with pytest.raises(error, match=f"position must be .*got position={position}"):
        index_at(EpochOrder(length=7, seed=1), [position] * number)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    "positions",
    [np.array([0.0]), np.array([True]), torch.zeros(2), torch.zeros(2).int(), ["a"], "a", None],
)
def test_positions_that_are_no_integers_are_refused(positions) -> None:
    with pytest.raises(TypeError, match="position must be an int"):
        index_at(EpochOrder(length=7, seed=1), positions)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("index", [(0, 0, 1), None, 3])
def test_position_of_refuses_what_is_no_sample_index(index: object) -> None:
    with pytest.raises(TypeError, match=r"index must be a SampleIndex\(source, epoch, idx\), got"):
        position_of(EpochOrder(length=7, seed=1), index)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("order", "shown"),
    [
        (EpochOrder, "<class 'bionemo.data.orders.epoch.EpochOrder'>"),
        (Alternating, "<class .*Alternating'>"),
        (None, "None"),
        (list(range(10_000)), r"\[0, 1, 2, 3, 4, 5, ...\]"),
        (PRNGResampleDataset("abc"), "PRNGResampleDataset"),
        ({"length": 3, "seed": 1}, r"{'length': 3, 'seed': 1}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_order_is_named_by_every_lookup(order: object, shown: str) -> None:
    message = f"order must have num_samples, num_sources and index_at, got {shown}.*Make one, e.g. EpochOrder"
    for position in (0, [0, 1], torch.tensor(3)):
        with pytest.raises(TypeError, match=message):
            index_at(order, position)
    with pytest.raises(TypeError, match=message):
        position_of(order, SampleIndex(0, 0, 0))


def test_the_parts_of_an_index_broadcast() -> None:
    order = MixtureOrder(orders=(EpochOrder(length=5, seed=1), EpochOrder(length=5, seed=2)), weights=(2, 1))
    found = position_of(order, SampleIndex(torch.tensor([[0], [1]]), 3, torch.arange(5)))
    expected = [[position_of(order, SampleIndex(source, 3, idx)) for idx in range(5)] for source in range(2)]
    assert found.tolist() == expected
    found = position_of(order, SampleIndex([[0], [1]], 3, np.arange(5)))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == expected


def test_an_out_of_range_position_in_a_tensor_is_named() -> None:
    order = EpochOrder(length=3, seed=1, num_samples=4)
    with pytest.raises(IndexError, match="got position=4"):
        index_at(order, torch.tensor([0, 4, 1]))
    with pytest.raises(IndexError, match="got position=-2"):
        index_at(order, torch.tensor([0, -2]))


def test_an_empty_order_has_no_position() -> None:
    with pytest.raises(IndexError, match="position must be in an empty range, got position=0"):
        index_at(EpochOrder(length=3, seed=1, num_samples=0), 0)


def test_known_fingerprints_do_not_change() -> None:
    assert (
        fingerprint(EpochOrder(length=10, seed=42))
        == "60411784ea015f3c0f1babb2962b6179af34dff2b3a1e266415c6e6cdd12a51c"
    )
    cut = EpochOrder(length=10, seed=42, num_samples=25, shuffle=False)
    assert fingerprint(cut) == "83626be68454429defe95de57209edfa7f937673ef81f06e920ea81c98e55d5d"


def test_the_fingerprint_is_the_same_in_another_process_and_depends_on_every_field() -> None:
    script = "from bionemo.data import *; print(fingerprint(EpochOrder(length=10, seed=42)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    orders = [
        EpochOrder(length=10, seed=42),
        EpochOrder(length=11, seed=42),
        EpochOrder(length=10, seed=43),
        EpochOrder(length=10, seed=42, num_samples=10),
        EpochOrder(length=10, seed=42, shuffle=False),
        Alternating(),
    ]
    assert run.stdout.strip() == fingerprint(orders[0])
    assert len({fingerprint(order) for order in orders}) == len(orders)


@pytest.mark.parametrize(
    "kind", [EpochOrder, MixtureOrder, LengthGroupedOrder, PackedOrder, Pipeline, Source, RaggedField, PipelineLoader]
)
def test_help_lists_members_and_not_what_attrs_adds(kind: type) -> None:
    text = pydoc.render_doc(kind, renderer=pydoc.plaintext)
    assert not re.search(r"(?m)^ \|  _|attrs", text)
    assert len(text.splitlines()) < 160
