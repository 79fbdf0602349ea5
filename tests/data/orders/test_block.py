"""Tests of BlockShuffleOrder. The statistical tests are seeded; each would fail for one in a million seeds."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.data import BlockShuffleOrder, EpochOrder, SampleIndex, index_at, position_of


def indices_of_epoch(order: BlockShuffleOrder, epoch: int = 0) -> list[int]:
    return index_at(order, torch.arange(epoch * order.length, (epoch + 1) * order.length)).idx.tolist()


def test_known_values_do_not_change() -> None:
    order = BlockShuffleOrder(length=13, block_size=4, blocks_per_window=2, seed=42)
    assert [indices_of_epoch(order, epoch) for epoch in range(2)] == [
        [1, 2, 9, 3, 0, 11, 8, 10, 4, 12, 6, 5, 7],
        [10, 8, 12, 11, 9, 1, 6, 5, 4, 0, 3, 7, 2],
    ]
    order = BlockShuffleOrder(length=10**9 + 7, block_size=1000, blocks_per_window=64, seed=42)
    assert index_at(order, 10**12) == (0, 999, 302317862)


@pytest.mark.parametrize("blocks_per_window", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("block_size", [1, 2, 7, 39, 40, 41, 100])
@pytest.mark.parametrize("length", [1, 2, 39, 40, 41])
def test_each_epoch_is_a_bijection_even_if_no_size_divides_another(
    length: int, block_size: int, blocks_per_window: int
) -> None:
    order = BlockShuffleOrder(length=length, block_size=block_size, blocks_per_window=blocks_per_window, seed=1)
    for epoch in range(3):
        positions = torch.arange(epoch * length, (epoch + 1) * length)
        index = index_at(order, positions)
        assert sorted(index.idx.tolist()) == list(range(length))
        assert torch.equal(position_of(order, index), positions)
        assert index_at(order, int(positions[-1])).idx == index.idx[-1]


def test_a_window_is_read_from_its_own_blocks_only() -> None:
    order = BlockShuffleOrder(length=1000, block_size=10, blocks_per_window=5, seed=7)
    windows = np.array(indices_of_epoch(order)).reshape(20, 50)
    assert all(np.unique(window // 10, return_counts=True)[1].tolist() == [10] * 5 for window in windows)
    assert all((np.diff(window) != 1).mean() > 0.8 for window in windows)


def test_short_windows_of_many_blocks_are_permuted_with_the_rounds_of_a_short_range() -> None:
    """Windows of 2 of 10,000 blocks of 4 samples: the first three offsets in the blocks are as frequent as expected."""
    order = BlockShuffleOrder(length=40_000, block_size=4, blocks_per_window=2, seed=3)
    windows = index_at(order, torch.arange(40_000 * 20)).idx.reshape(-1, 8) % 4
    firsts = np.bincount((windows[:, :3].numpy() @ [1, 4, 16]), minlength=64)
    # A window holds each offset twice: the probability of three of them, drawn without replacement.
    probabilities = np.array(
        [
            np.prod([2 - list(code[:draw]).count(offset) for draw, offset in enumerate(code)]) / (8 * 7 * 6)
            for code in (np.unravel_index(number, (4, 4, 4), order="F") for number in range(64))
        ]
    )
    possible = probabilities > 0
    assert (firsts[~possible] == 0).all()
    assert stats.chisquare(firsts[possible], probabilities[possible] * len(windows)).pvalue > 1e-6
    assert order._rounds == 32


def test_the_whole_epoch_is_shuffled_if_one_window_holds_all_blocks() -> None:
    order = BlockShuffleOrder(length=1000, block_size=10, blocks_per_window=100, seed=7)
    found = np.array(indices_of_epoch(order))
    assert abs(np.corrcoef(found, np.arange(1000))[0, 1]) < 0.2
    assert len(set(found[:100] // 10)) > 50


def epochs(order: BlockShuffleOrder, num_epochs: int) -> np.ndarray:
    """Return the indices of many epochs, one per row."""
    return index_at(order, torch.arange(num_epochs * order.length)).idx.reshape(num_epochs, order.length).numpy()


def test_all_shuffles_of_blocks_and_of_samples_in_a_window_are_equally_frequent() -> None:
    """Three blocks of 2 samples, in a window of two blocks and a window of one, have 3 * 24 * 2 outcomes.

    There are 3 choices of the first window's blocks, whose own order can't be seen, 24 orders of its samples and 2
    orders of the second window's.
    """
    codes = epochs(BlockShuffleOrder(length=6, block_size=2, blocks_per_window=2, seed=1), 30_000) @ 6 ** np.arange(6)
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 3 * 24 * 2
    assert stats.chisquare(counts).pvalue > 1e-6


def test_the_short_block_comes_at_every_slot_equally_often() -> None:
    found = epochs(BlockShuffleOrder(length=9, block_size=2, blocks_per_window=1, seed=1), 20_000)
    assert stats.chisquare(np.bincount(np.argmax(found == 8, axis=1) // 2, minlength=5)).pvalue > 1e-6


@pytest.mark.parametrize("position", [0, 10**12, 2**63 - 1])
@pytest.mark.parametrize(
    ("length", "block_size", "blocks_per_window"),
    [
        (2**62, 1, 1),
        (2**62, 2**62, 2**62),
        (2**62 - 1, 2**31 + 1, 3),
        (10**9 + 7, 1000, 64),
        (2**40 + 15, 2**20, 2**19),
    ],
)
def test_position_of_inverts_index_at_up_to_the_largest_sizes_and_positions(
    length: int, block_size: int, blocks_per_window: int, position: int
) -> None:
    order = BlockShuffleOrder(length=length, block_size=block_size, blocks_per_window=blocks_per_window, seed=42)
    index = index_at(order, position)
    assert 0 <= index.idx < length
    assert index.epoch == position // length
    assert position_of(order, index) == position
    assert tuple(int(part) for part in index_at(order, torch.tensor([position]))) == tuple(index)
    assert position_of(order, SampleIndex(*(torch.tensor([part]) for part in index))).tolist() == [position]


def test_equality_hash_pickle_and_repr() -> None:
    order = BlockShuffleOrder(length=np.int64(9), block_size=2, blocks_per_window=3, seed=4, num_samples=5)
    assert pickle.loads(pickle.dumps(order)) == order
    assert len({order, BlockShuffleOrder(length=9, block_size=2, blocks_per_window=3, seed=4, num_samples=5)}) == 1
    assert repr(order) == "BlockShuffleOrder(length=9, block_size=2, blocks_per_window=3, seed=4, num_samples=5)"
    assert len(order) == 5
    assert order != EpochOrder(length=9, seed=4, num_samples=5)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"length": 0}, ValueError, "got length=0"),
        ({"block_size": 0}, ValueError, "block_size must be in .*got block_size=0"),
        ({"blocks_per_window": 0}, ValueError, "blocks_per_window must be in .*got blocks_per_window=0"),
        ({"seed": -1}, ValueError, "got seed=-1"),
        ({"block_size": 2.0}, TypeError, "block_size must be an integer, got block_size=2.0"),
    ],
)
def test_invalid_fields_are_named(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BlockShuffleOrder(**{"length": 9, "block_size": 2, "blocks_per_window": 3, "seed": 4} | fields)


def test_a_sample_the_order_never_reaches_is_refused() -> None:
    order = BlockShuffleOrder(length=9, block_size=2, blocks_per_window=3, seed=4, num_samples=12)
    with pytest.raises(IndexError, match=r"idx must be in 0\.\.8, got idx=9"):
        position_of(order, SampleIndex(0, 0, 9))
    with pytest.raises(IndexError, match=r"position must be in 0\.\.11, got position=1[2-7]"):
        [position_of(order, SampleIndex(0, 1, idx)) for idx in range(9)]
    with pytest.raises(IndexError, match="epoch must be in"):
        position_of(order, SampleIndex(0, 2**62, 0))
