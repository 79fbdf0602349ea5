"""Laws of losses."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.model.loss import mean_loss, token_cross_entropy


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 6),
    cuts=st.lists(st.integers(0, 6), max_size=5),
    padding=st.integers(0, 4),
)
def test_a_batch_may_be_cut_and_padded_at_will(seed: int, rows: int, cuts: list[int], padding: int) -> None:
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
