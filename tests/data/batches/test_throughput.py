"""Throughput of batches."""

import numpy as np
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


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (torch.tensor([[1, 1, 0]]), r"torch.int64 \(1, 3\)"),
        (torch.tensor([[5, 7, 0]]), r"torch.int64 \(1, 3\)"),
        (torch.ones(2, 3), r"torch.float32 \(2, 3\)"),
        (torch.ones(2, 3, dtype=torch.uint8), r"torch.uint8 \(2, 3\)"),
        (torch.ones(3, dtype=torch.bool), r"torch.bool \(3,\)"),
        (torch.ones(1, 2, 3, dtype=torch.bool), r"torch.bool \(1, 2, 3\)"),
    ],
)
def test_a_mask_of_anything_but_bools_is_refused(mask: torch.Tensor, found: str) -> None:
    with pytest.raises(TypeError, match=rf"mask must be a tensor of bools of shape \(rows, tokens\), got {found}\."):
        throughput(mask, 1.0)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("mask", [np.ones((2, 3), dtype=np.bool_), [[True]], None])
def test_a_mask_that_is_no_tensor_is_refused(mask: object) -> None:
    with pytest.raises(TypeError, match="mask must be a tensor, got mask="):
        throughput(mask, 1.0)
