"""Seeds derived from seeds by hashing."""

import numpy as np
import pytest
import torch

from bionemo.core.random import fold_in
from bionemo.core.random.hashing import mix

EDGES = [0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**62, 2**63 - 1]


def test_hashes_have_pinned_values() -> None:
    assert [mix(word) for word in (0, 1, 2**63 - 1)] == [0, 2558316640067307269, 6514504133438201533]
    assert fold_in(0, 0) == 5418922008890712070
    assert fold_in(42, "epoch", 0) == 8227949730719107992
    assert fold_in(42, "epoch", 1) == 3357695411936279130
    assert fold_in(2**63 - 1, "", 2**63 - 1) == 5183472403529491055


@pytest.mark.parametrize("seed", EDGES)
def test_tensors_equal_ints(seed: int) -> None:
    expected = [fold_in(seed, "tag", datum) for datum in EDGES]
    assert fold_in(seed, "tag", torch.tensor(EDGES)).tolist() == expected
    assert fold_in(torch.tensor(seed), "tag", torch.tensor(EDGES)).tolist() == expected
    assert [fold_in(np.int64(seed), "tag", np.int64(datum)) for datum in EDGES] == expected
    assert type(fold_in(np.int64(seed), np.uint8(3))) is int


def test_seeds_and_data_broadcast() -> None:
    grid = fold_in(torch.tensor([[1], [2]]), torch.tensor([3, 4, 5]))
    assert grid.shape == (2, 3)
    assert grid[1, 2] == fold_in(2, 5)


def test_the_result_without_data_is_the_seed() -> None:
    assert fold_in(7) == 7


def test_neighboring_seeds_have_no_epoch_in_common() -> None:
    seeds = {fold_in(seed, "epoch", epoch) for seed in range(100) for epoch in range(100)}
    assert len(seeds) == 10_000


def test_the_type_number_and_order_of_data_matter() -> None:
    assert (
        len({fold_in(7), fold_in(7, 0), fold_in(7, ""), fold_in(7, 0, 0), fold_in(7, "a", 0), fold_in(7, 0, "a")}) == 6
    )


@pytest.mark.parametrize("bit", range(0, 63, 7))
@pytest.mark.parametrize("of_seed", [True, False])
def test_each_input_bit_flips_each_output_bit_half_of_the_time(bit: int, of_seed: bool) -> None:
    words = torch.arange(2**14)
    base, flipped = (fold_in(side, 7) if of_seed else fold_in(7, side) for side in (words, words ^ (1 << bit)))
    fractions = torch.stack([((base ^ flipped) >> out & 1).double().mean() for out in range(63)])
    # If `bit` is below 14, flipping it pairs up the words, and each pair is counted twice: sigma is at most
    # 0.5 / sqrt(2**13). The limit is 6 sigma.
    assert (fractions - 0.5).abs().max() < 6 * 0.5 / 2**6.5


def test_inputs_are_unchanged() -> None:
    seeds, data = torch.tensor([1, 2]), torch.tensor([3, 4])
    fold_in(seeds, data)
    assert seeds.tolist() == [1, 2]
    assert data.tolist() == [3, 4]


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1,), ValueError, r"seed must be in 0\.\.9223372036854775807, got seed=-1"),
        ((2**63,), ValueError, "got seed=9223372036854775808"),
        ((1, -5), ValueError, "got data=-5"),
        ((1.5,), TypeError, "seed must be an integer, got seed=1.5 of type float"),
        ((True,), TypeError, "got seed=True of type bool"),
        ((1, None), TypeError, "data must be an integer, got data=None"),
        ((torch.tensor([3, -4]),), ValueError, "seed must not be negative, got -4"),
        ((1, torch.tensor([0.5])), TypeError, "data must be an int64 tensor, got dtype=torch.float32"),
        ((1, torch.tensor([True])), TypeError, "got dtype=torch.bool"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fold_in(*arguments)


def test_different_texts_give_different_seeds() -> None:
    texts = ["", "a", "b", "aa", "ab", "ba", "a\0", "\0a", "epoch", "hcope", "ä", "\U0001f9ec"]
    assert (
        len({fold_in(7, text) for text in texts} | {fold_in(7, ord(text[0])) for text in texts if text})
        > len(texts) + 3
    )
