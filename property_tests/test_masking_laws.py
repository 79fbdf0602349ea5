"""Laws of masking and of targets."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.padding import pad_token_ids, unpad_token_ids
from bionemo.data import corrupt_spans, mask_tokens, next_token_labels

ROWS = st.lists(st.lists(st.integers(0, 30), max_size=20), min_size=1, max_size=6)
FRACTIONS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: (pair[0], pair[1] * (1 - pair[0])))


@given(
    rows=ROWS,
    extra=st.integers(1, 9),
    left=st.integers(0, 5),
    prob=st.floats(0, 1),
    fractions=FRACTIONS,
    data=st.data(),
)
def test_a_row_is_masked_in_the_same_way_alone_and_in_any_batch_and_padding(
    rows, extra, left, prob, fractions, data
) -> None:
    seeds = [data.draw(st.integers(0, 2**63 - 1)) for _ in rows]
    options = {
        "mask_id": 31,
        "replacement_ids": range(4, 30),
        "special_ids": (0, 1, 2, 3),
        "mask_prob": prob,
        "mask_replace_prob": fractions[0],
        "random_replace_prob": fractions[1],
        "min_one": data.draw(st.booleans()),
    }
    ids, mask = (torch.nn.functional.pad(part, (left, 0)) for part in pad_token_ids(rows, 0, 20 + extra))
    before = ids.clone()
    of_token = [[index // 3 for index in range(len(row))] for row in rows]
    blocks: list[dict] = [{} for _ in range(len(rows) + 1)]  # options per token: of the batch, then of each row alone
    kind = data.draw(st.sampled_from(["plain", "spans", "table"]))
    if kind == "spans":
        spans, _ = pad_token_ids(of_token, 0, 20 + extra)
        blocks = [{"spans": torch.nn.functional.pad(spans, (left, 0))}]
        blocks += [{"spans": pad_token_ids([row])[0]} for row in of_token]
    if kind == "table":
        table = torch.linspace(0, 1, 31, dtype=torch.float64)
        blocks = [{"mask_prob": table[ids]}, *({"mask_prob": table[pad_token_ids([row])[0]]} for row in rows)]
    batch = mask_tokens(ids, mask, seeds=torch.tensor(seeds), **options | blocks[0])
    assert torch.equal(ids, before)
    chosen = batch.labels != -100
    assert torch.equal(batch.ids.where(~chosen, before), before)
    assert torch.equal(batch.labels[chosen], before[chosen])
    assert not (chosen & (~mask | (before < 4))).any()
    for number, row in enumerate(rows):
        seed = torch.tensor(seeds[number : number + 1])
        alone = mask_tokens(*pad_token_ids([row]), seeds=seed, **options | blocks[number + 1])
        assert batch.ids[number, mask[number]].tolist() == alone.ids[0].tolist()
        assert batch.labels[number, mask[number]].tolist() == alone.labels[0].tolist()
        is_chosen = (alone.labels[0] != -100).tolist()
        if kind == "spans":
            by_span = {
                span: {
                    got for of, got, id_ in zip(of_token[number], is_chosen, row, strict=True) if of == span and id_ > 3
                }
                for span in set(of_token[number])
            }
            assert all(len(found) < 2 for found in by_span.values())  # whole spans, or none of their tokens
        could = [id_ > 3 and (prob > 0 if kind != "table" else True) for id_ in row]
        if options["min_one"] and prob > 1e-6:
            assert any(is_chosen) == any(could)


@given(
    rows=ROWS,
    extra=st.integers(1, 9),
    left=st.integers(0, 5),
    density=st.floats(0.01, 0.99),
    mean=st.floats(1, 9),
    data=st.data(),
)
def test_spans_put_back_for_their_sentinels_give_the_row_alone_and_in_any_batch(
    rows, extra, left, density, mean, data
) -> None:
    seeds = torch.tensor([data.draw(st.integers(0, 2**63 - 1)) for _ in rows])
    options = {"sentinel_ids": range(100, 130), "noise_density": density, "mean_span_length": mean, "padding_value": 99}
    ids, mask = (torch.nn.functional.pad(part, (left, 0)) for part in pad_token_ids(rows, 0, 20 + extra))
    before = ids.clone()
    batch = corrupt_spans(ids, mask, seeds=seeds, **options)
    assert torch.equal(ids, before)
    kept, targets = unpad_token_ids(batch.ids, batch.mask), unpad_token_ids(batch.target_ids, batch.target_mask)
    for number, row in enumerate(rows):
        spans: dict[int, list[int]] = {}
        for token in targets[number].tolist():
            if token >= 100:
                spans[token] = current = []
            else:
                current.append(token)
        assert all(spans.values())
        assert sum(([token] if token < 100 else spans[token] for token in kept[number].tolist()), []) == row
        alone = corrupt_spans(*pad_token_ids([row]), seeds=seeds[number : number + 1], **options)
        assert alone.ids[alone.mask].tolist() == kept[number].tolist()
        assert alone.target_ids[alone.target_mask].tolist() == targets[number].tolist()


@given(rows=ROWS, extra=st.integers(1, 9), left=st.integers(0, 5))
def test_next_token_labels_do_not_depend_on_the_batch(rows, extra, left) -> None:
    ids, mask = (torch.nn.functional.pad(part, (left, 0)) for part in pad_token_ids(rows, 0, 20 + extra))
    labels = unpad_token_ids(next_token_labels(ids, mask), mask)
    assert [row.tolist() for row in labels] == [[*row[1:], -100] if row else [] for row in rows]
