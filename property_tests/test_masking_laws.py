"""Laws of masking."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.utils.batching_utils import pad_token_ids
from bionemo.data import mask_tokens

ROWS = st.lists(st.lists(st.integers(0, 30), max_size=20), min_size=1, max_size=6)
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: (pair[0], pair[1] * (1 - pair[0])))


@given(rows=ROWS, extra=st.integers(1, 9), left=st.integers(0, 5), prob=st.floats(0, 1), shares=SHARES, data=st.data())
def test_a_row_is_masked_alike_alone_in_any_batch_and_with_any_padding(rows, extra, left, prob, shares, data) -> None:
    seeds = [data.draw(st.integers(0, 2**63 - 1)) for _ in rows]
    options = {
        "mask_id": 31,
        "random_ids": range(4, 30),
        "special_ids": (0, 1, 2, 3),
        "mask_prob": prob,
        "replace_prob": shares[0],
        "random_prob": shares[1],
    }
    ids, mask = (torch.nn.functional.pad(part, (left, 0)) for part in pad_token_ids(rows, 0, 20 + extra))
    before = ids.clone()
    batch = mask_tokens(ids, mask, seeds=torch.tensor(seeds), **options)
    assert torch.equal(ids, before)
    chosen = batch.labels != -100
    assert torch.equal(batch.ids.where(~chosen, before), before)
    assert torch.equal(batch.labels[chosen], before[chosen])
    assert not (chosen & (~mask | (before < 4))).any()
    for number, row in enumerate(rows):
        alone = mask_tokens(*pad_token_ids([row]), seeds=torch.tensor(seeds[number : number + 1]), **options)
        assert batch.ids[number, mask[number]].tolist() == alone.ids[0].tolist()
        assert batch.labels[number, mask[number]].tolist() == alone.labels[0].tolist()
