"""Throughput of batches."""

import pytest
import torch

from bionemo.data import throughput


def test_it_counts_real_tokens() -> None:
    mask = torch.arange(10) < torch.tensor([[10], [5], [0]])
    found = throughput(mask, 0.25)
    assert found == (15, 0.5, 12.0, 60.0)
    assert type(found.num_tokens) is int


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_an_empty_batch_has_no_padding(shape: tuple[int, int]) -> None:
    found = throughput(torch.zeros(shape, dtype=torch.bool), 1)
    assert found == (0, 0.0, shape[0], 0.0)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_seconds_must_be_positive(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"seconds must be above 0, got seconds={seconds}"):
        throughput(torch.ones(1, 1, dtype=torch.bool), seconds)
