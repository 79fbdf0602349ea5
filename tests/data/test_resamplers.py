"""Tests of PRNGResampleDataset. What both 2.x data sets have in common is tested in test_multi_epoch_dataset.py."""

import numpy as np
import pytest

from bionemo.data import PRNGResampleDataset, ResampleOrder, index_at


def test_known_values_do_not_change() -> None:
    assert "".join(PRNGResampleDataset("abcde", num_samples=15)) == "eddaedbcaaabdce"


def test_the_samples_are_those_of_a_resample_order() -> None:
    dataset = PRNGResampleDataset("abcde", seed=3, num_samples=50)
    assert dataset.order == ResampleOrder(length=5, seed=3, num_samples=50)
    assert list(dataset) == ["abcde"[idx] for idx in index_at(dataset.order, np.arange(50)).idx]
    assert len(PRNGResampleDataset("abcde")) == 5


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dataset must hold at least one sample, got len\(dataset\)=0"):
        PRNGResampleDataset("")
