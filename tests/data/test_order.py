"""What all orders share."""

import subprocess
import sys

import attrs
import pytest
import torch

from bionemo.data import EpochOrder, Order, SampleIndex, index_at, indices_at, order_id, position_of


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
