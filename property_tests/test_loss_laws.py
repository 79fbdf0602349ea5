"""Laws of losses."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.model.loss import add_losses, mean_loss, scale_for_ranks, token_cross_entropy


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 6),
    cuts=st.lists(st.integers(0, 6), max_size=5),
    padding=st.integers(0, 4),
)
def test_splitting_and_padding_change_neither_loss_nor_gradients(
    seed: int, rows: int, cuts: list[int], padding: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 5, 7, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.randint(7, (rows, 5), generator=generator)
    labels = labels.where(torch.rand(rows, 5, generator=generator) < 0.6, -100)
    whole = mean_loss([token_cross_entropy(logits, labels)])
    bounds = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    padded, blank = (
        torch.nn.functional.pad(part, pad, value=value)
        for part, pad, value in ((logits, (0, 0, 0, padding), 0.5), (labels, (0, padding), -100))
    )
    parts = mean_loss([token_cross_entropy(padded[a:b], blank[a:b]) for a, b in pairwise(bounds)])
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (parts, whole)))


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 8),
    world_size=st.integers(1, 4),
    accumulated=st.integers(1, 3),
    data=st.data(),
)
def test_the_mean_gradient_over_ranks_is_that_of_the_whole_batch(
    seed: int, rows: int, world_size: int, accumulated: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(4, 7, generator=generator, dtype=torch.float64).requires_grad_()
    inputs = torch.randn(rows, 5, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(7, (rows, 5), generator=generator)
    labels = labels.where(torch.rand(rows, 5, generator=generator) < 0.5, -100)
    number = world_size * accumulated
    cuts = data.draw(st.lists(st.integers(0, rows), min_size=number - 1, max_size=number - 1))
    parts = [token_cross_entropy(inputs[a:b] @ weights, labels[a:b]) for a, b in pairwise([0, *sorted(cuts), rows])]
    total = add_losses(parts)
    of_ranks = [
        sum(scale_for_ranks(part, total.num_tokens, world_size) for part in parts[rank::world_size])
        for rank in range(world_size)
    ]
    whole = mean_loss([token_cross_entropy(inputs @ weights, labels)])
    gradients = [torch.autograd.grad(loss, weights, retain_graph=True)[0] for loss in of_ranks]
    (expected,) = torch.autograd.grad(whole, weights)
    torch.testing.assert_close(torch.stack(gradients).mean(0), expected, rtol=1e-11, atol=1e-14)
    assert total.num_tokens == (labels != -100).sum()
