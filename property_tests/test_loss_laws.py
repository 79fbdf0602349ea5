"""Laws of losses."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.model.cross_entropy import token_cross_entropy
from bionemo.core.model.loss import add_losses, mean_loss, scale_for_ranks

WEIGHTS = st.sampled_from([None, (1, 2, 10), (0, 1, 3), (0.0, 0.1, 1.0), (0.5, 1e-6, 1e3), (0.0,)])
"""Weights that tokens may have; None for no weights."""


def draw_weights(among: tuple | None, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor | None:
    """Return a weight for each label, infinite where there is no label."""
    if among is None:
        return None
    drawn = torch.tensor(among)[torch.randint(len(among), labels.shape, generator=generator)]
    return drawn if drawn.dtype == torch.int64 else drawn.double().where(labels != -100, torch.inf)


def cut(weights: torch.Tensor | None, first: int, stop: int) -> torch.Tensor | None:
    return None if weights is None else weights[first:stop]


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 6),
    among=WEIGHTS,
    cuts=st.lists(st.integers(0, 6), max_size=5),
    padding=st.integers(0, 4),
)
def test_splitting_and_padding_change_neither_loss_nor_gradients(
    seed: int, rows: int, among: tuple | None, cuts: list[int], padding: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 5, 7, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.randint(7, (rows, 5), generator=generator)
    labels = labels.where(torch.rand(rows, 5, generator=generator) < 0.6, -100)
    weights = draw_weights(among, labels, generator)
    whole = mean_loss([token_cross_entropy(logits, labels, weights=weights)])
    bounds = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    padded, blank = (
        torch.nn.functional.pad(part, pad, value=value)
        for part, pad, value in ((logits, (0, 0, 0, padding), 0.5), (labels, (0, padding), -100))
    )
    wide = None if weights is None else torch.nn.functional.pad(weights, (0, padding), value=7)
    losses = [token_cross_entropy(padded[a:b], blank[a:b], weights=cut(wide, a, b)) for a, b in pairwise(bounds)]
    parts = mean_loss(losses)
    assert (among is None or type(among[0]) is int) == (not add_losses(losses).num_tokens.is_floating_point())
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (parts, whole)))


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 8),
    among=WEIGHTS,
    world_size=st.integers(1, 4),
    accumulated=st.integers(1, 3),
    data=st.data(),
)
def test_the_mean_gradient_over_ranks_is_that_of_the_whole_batch(
    seed: int, rows: int, among: tuple | None, world_size: int, accumulated: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(4, 7, generator=generator, dtype=torch.float64).requires_grad_()
    inputs = torch.randn(rows, 5, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(7, (rows, 5), generator=generator)
    labels = labels.where(torch.rand(rows, 5, generator=generator) < 0.5, -100)
    number = world_size * accumulated
    cuts = data.draw(st.lists(st.integers(0, rows), min_size=number - 1, max_size=number - 1))
    of_tokens = draw_weights(among, labels, generator)
    parts = [
        token_cross_entropy(inputs[a:b] @ weights, labels[a:b], weights=cut(of_tokens, a, b))
        for a, b in pairwise([0, *sorted(cuts), rows])
    ]
    total = add_losses(parts)
    of_ranks = [
        sum(scale_for_ranks(part, total.num_tokens, world_size) for part in parts[rank::world_size])
        for rank in range(world_size)
    ]
    whole = mean_loss([token_cross_entropy(inputs @ weights, labels, weights=of_tokens)])
    gradients = [torch.autograd.grad(loss, weights, retain_graph=True)[0] for loss in of_ranks]
    (expected,) = torch.autograd.grad(whole, weights)
    torch.testing.assert_close(torch.stack(gradients).mean(0), expected, rtol=1e-11, atol=1e-14)
    if of_tokens is None:
        assert total.num_tokens == (labels != -100).sum()
    else:
        torch.testing.assert_close(total.num_tokens, of_tokens.where(labels != -100, 0).sum())


@given(seed=st.integers(0, 2**32), number=st.integers(1, 20))
def test_a_token_of_a_whole_weight_counts_like_as_many_tokens_and_only_ratios_matter(seed: int, number: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(number, 7, generator=generator, dtype=torch.float64)
    labels = torch.randint(7, (number,), generator=generator)
    weights = torch.randint(0, 4, (number,), generator=generator)
    repeated = token_cross_entropy(logits.repeat_interleave(weights, 0), labels.repeat_interleave(weights))
    weighted = token_cross_entropy(logits, labels, weights=weights)
    assert weighted.num_tokens == repeated.num_tokens
    torch.testing.assert_close(weighted.loss_sum, repeated.loss_sum)
    scaled = token_cross_entropy(logits, labels, weights=weights * 0.1)
    torch.testing.assert_close(mean_loss([scaled]), mean_loss([weighted]))
