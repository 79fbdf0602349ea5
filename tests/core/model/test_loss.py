"""Losses as sums over tokens."""

import pytest
import torch

from bionemo.core.model.loss import LossSum, TokenCrossEntropy, mean_loss, token_cross_entropy


def test_it_is_torchs_cross_entropy_over_the_labelled_tokens() -> None:
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([[1, -100, 3, 6, -100], [-100, -100, 0, 2, 2]])
    loss = token_cross_entropy(logits, labels)
    chosen = labels != -100
    assert loss.num_tokens == 6
    torch.testing.assert_close(mean_loss([loss]), torch.nn.functional.cross_entropy(logits[chosen], labels[chosen]))


def test_parts_add_up_to_the_whole() -> None:
    logits = torch.randn(6, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.randint(-1, 7, (6, 5), generator=torch.Generator().manual_seed(1)).where(
        torch.rand(6, 5) < 0.7, -100
    )
    labels = labels.where(labels >= 0, -100)
    parts = [token_cross_entropy(logits[a:b], labels[a:b]) for a, b in ((0, 1), (1, 1), (1, 5), (5, 6))]
    torch.testing.assert_close(mean_loss(parts), mean_loss([token_cross_entropy(logits, labels)]))


def test_no_labelled_token_is_no_loss() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    loss = mean_loss([token_cross_entropy(logits, torch.full((2, 3), -100))])
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_half_precision_is_summed_in_float32() -> None:
    assert (
        token_cross_entropy(torch.zeros(3, 4, dtype=torch.bfloat16), torch.tensor([0, 1, 2])).loss_sum.dtype
        == torch.float32
    )


def test_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match="losses must hold at least one part"):
        mean_loss([])


def test_the_class_serves_training_and_validation() -> None:
    batch = {"labels": torch.tensor([[1, -100]])}
    for loss in (TokenCrossEntropy(), TokenCrossEntropy(validation_step=True)):
        part = loss.forward(batch, torch.zeros(1, 2, 4))
        assert isinstance(part, LossSum)
        torch.testing.assert_close(loss.reduce([part, part]), torch.tensor(4.0).log())


def test_a_single_row_of_logits() -> None:
    torch.testing.assert_close(token_cross_entropy(torch.zeros(4), torch.tensor(2)).loss_sum, torch.tensor(4.0).log())
