"""Tests of splits by hash."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from bionemo.data import split_indices, split_of

FRACTIONS = {"train": 0.8, "validation": 0.05, "test": 0.15}
KEYS = [f"cluster {number}" for number in range(20_000)]


def split(keys, fractions=FRACTIONS, seed: int = 7) -> dict[str, list[int]]:
    return {name: idx.tolist() for name, idx in split_indices(keys, seed=seed, fractions=fractions).items()}


def test_splits_have_their_fractions_and_seeds_are_independent() -> None:
    for keys in (KEYS, range(20_000)):
        counts = [len(idx) for idx in split(keys).values()]
        assert chisquare(counts, [16_000, 1000, 3000]).pvalue > 1e-4
    both = {*split(KEYS)["test"]} & {*split(KEYS, seed=8)["test"]}
    assert abs(len(both) - 20_000 * 0.15**2) < 100


def test_a_key_keeps_its_split_when_others_are_added_or_repeated() -> None:
    few = split(KEYS[:100])
    many = split(KEYS[:100] + KEYS[5000:9000] + KEYS[:100])
    assert {name: [idx for idx in idxs if idx < 100] for name, idxs in many.items()} == few
    assert {name: [idx - 4100 for idx in idxs if idx >= 4100] for name, idxs in many.items()} == few


def test_no_key_leaves_the_first_split_when_it_grows() -> None:
    assert {*split(KEYS)["train"]} <= {*split(KEYS, {"train": 0.9, "validation": 0.05, "test": 0.05})["train"]}


def test_many_keys_at_once_are_split_as_one_by_one() -> None:
    for keys in (KEYS[:300], list(range(300)), [2**63 - 1, 0], ["", "a", "Ü\0µ", "😀" * 40]):
        found = split(keys)
        for number, key in enumerate(keys):
            assert number in found[split_of(key, seed=7, fractions=FRACTIONS)]
    assert split(np.array(KEYS[:300])) == split(np.array(KEYS[:300], dtype=object)) == split(KEYS[:300])
    assert split(torch.arange(300)) == split(np.arange(300, dtype=np.uint16)) == split(range(300))


def test_splits_are_pinned_and_the_same_in_another_process() -> None:
    script = f"from bionemo.data import split_of; print(split_of('cluster 3', seed=7, fractions={FRACTIONS}))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.strip() == split_of("cluster 3", seed=7, fractions=FRACTIONS)
    assert split(KEYS[:12]) == {"train": [0, 1, 3, 4, 5, 8, 9, 10, 11], "validation": [2, 7], "test": [6]}


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fractions": {"train": 0.5}}, ValueError, "fractions must sum to 1, got {'train': 0.5}"),
        ({"fractions": {}}, ValueError, "fractions must sum to 1"),
        ({"fractions": {"train": 1.5, "test": -0.5}}, ValueError, r"numbers of 0 to 1, got fractions\['train'\]=1.5"),
        ({"fractions": {"train": float("nan")}}, ValueError, r"numbers of 0 to 1, got fractions\['train'\]=nan"),
        ({"fractions": {"train": "1"}}, ValueError, "numbers of 0 to 1"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"keys": [-1]}, ValueError, r"keys must be in 0\.\.2\*\*63-1"),
        ({"keys": [0.5]}, TypeError, "keys"),
        ({"keys": [[1]]}, ValueError, "keys must have one axis"),
        ({"keys": ["a", 1]}, TypeError, "keys"),
        ({"keys": np.array(["a", 1], dtype=object)}, TypeError, "keys"),
        ({"keys": ["a\0"]}, ValueError, "keys must not end with the character NUL"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, error: type[Exception], message: str) -> None:
    given = {"keys": [1], "seed": 7, "fractions": FRACTIONS} | arguments
    with pytest.raises(error, match=message):
        split_indices(given.pop("keys"), **given)
