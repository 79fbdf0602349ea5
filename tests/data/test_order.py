"""What all orders share."""

import subprocess
import sys

import attrs
import pytest
import torch

from bionemo.data import EpochOrder, MixtureOrder, Order, SampleIndex, index_at, indices_at, order_id, position_of


@attrs.frozen
class Alternating:
    """An order of a user's own: two data sets in turn. It has no inverse."""

    num_samples: int | None = None
    num_sources: int = 2

    def index_at(self, position, /):
        return SampleIndex(position % 2, position * 0, position // 2)


def test_a_users_own_record_is_an_order() -> None:
    order = Alternating()
    assert isinstance(order, Order)
    assert index_at(order, 5) == (1, 0, 2)
    assert indices_at(order, range(40)) == [index_at(order, position) for position in range(40)]
    assert len(order_id(order)) == 64


def test_an_order_without_inverse_says_so() -> None:
    with pytest.raises(TypeError, match="Alternating has no inverse"):
        position_of(Alternating(), SampleIndex(0, 0, 0))


@pytest.mark.parametrize("order", [Alternating(num_samples=4), EpochOrder(length=3, seed=1, num_samples=4)])
@pytest.mark.parametrize("position", [-1, 4, 10**30])
def test_a_position_out_of_range_is_named(order: Order, position: int) -> None:
    with pytest.raises(IndexError, match=f"position must be in 0..3, got position={position}"):
        index_at(order, position)


@pytest.mark.parametrize(
    "positions", [range(0, 300, 3), range(299, 0, -2), range(2**63 - 40, 2**63), list(range(50)), tuple(range(50))]
)
def test_many_positions_at_once_are_those_one_by_one(positions) -> None:
    order = EpochOrder(length=7, seed=1)
    assert indices_at(order, positions) == [index_at(order, position) for position in positions]


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("position", "error"), [(0.5, TypeError), (True, TypeError), (2**63, IndexError), (-1, IndexError)]
)
@pytest.mark.parametrize("number", [1, 40])
def test_many_positions_at_once_are_checked_as_one_is(position, error: type[Exception], number: int) -> None:
    with pytest.raises(error, match=f"position must be .*got position={position}"):
        indices_at(EpochOrder(length=7, seed=1), [position] * number)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("index", [(0, 0, 1), None, 3])
def test_what_is_no_index_is_refused(index: object) -> None:
    with pytest.raises(TypeError, match=r"index must be a SampleIndex\(source, epoch, idx\), got"):
        position_of(EpochOrder(length=7, seed=1), index)


def test_the_parts_of_an_index_broadcast() -> None:
    order = MixtureOrder(orders=(EpochOrder(length=5, seed=1), EpochOrder(length=5, seed=2)), weights=(2, 1))
    found = position_of(order, SampleIndex(torch.tensor([[0], [1]]), 3, torch.arange(5)))
    expected = [[position_of(order, SampleIndex(source, 3, idx)) for idx in range(5)] for source in range(2)]
    assert found.tolist() == expected
    mapped = torch.vmap(lambda idx: position_of(order, SampleIndex(torch.tensor(1), torch.tensor(3), idx)))
    assert mapped(torch.arange(5)).tolist() == expected[1]
    mapped = torch.vmap(lambda source, idx: position_of(order, SampleIndex(source, 3, idx)))
    assert mapped(torch.tensor([0, 1]), torch.tensor([4, 4])).tolist() == [expected[0][4], expected[1][4]]


def test_a_position_out_of_range_in_a_tensor_is_named() -> None:
    order = EpochOrder(length=3, seed=1, num_samples=4)
    with pytest.raises(IndexError, match="got position=4"):
        index_at(order, torch.tensor([0, 4, 1]))
    with pytest.raises(IndexError, match="got position=-2"):
        index_at(order, torch.tensor([0, -2]))


def test_an_empty_order_has_no_position() -> None:
    with pytest.raises(IndexError, match="position must be in an empty range, got position=0"):
        index_at(EpochOrder(length=3, seed=1, num_samples=0), 0)


def test_pinned_order_ids() -> None:
    assert (
        order_id(EpochOrder(length=10, seed=42)) == "ad2da9f4ba40e3bb9c1518335c3508e8b907048deaf1d68efb65e0d60e8bedd4"
    )
    cut = EpochOrder(length=10, seed=42, num_samples=25, shuffle=False)
    assert order_id(cut) == "b0692534969f31bf375b21470e9ed2ed6c1e71db93a782e9376fd62ee79583b2"


def test_the_order_id_is_the_same_in_another_process_and_differs_by_field() -> None:
    script = "from bionemo.data import *; print(order_id(EpochOrder(length=10, seed=42)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    orders = [
        EpochOrder(length=10, seed=42),
        EpochOrder(length=11, seed=42),
        EpochOrder(length=10, seed=43),
        EpochOrder(length=10, seed=42, num_samples=10),
        EpochOrder(length=10, seed=42, shuffle=False),
        Alternating(),
    ]
    assert run.stdout.strip() == order_id(orders[0])
    assert len({order_id(order) for order in orders}) == len(orders)
