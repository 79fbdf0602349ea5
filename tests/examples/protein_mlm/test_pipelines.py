"""The pipelines of proteins, and the model trained on them."""

import pytest
import torch

from bionemo.core.model.config import build_model
from bionemo.core.model.cross_entropy import token_cross_entropy
from bionemo.core.random import make_generator
from bionemo.data import batch_at, collate_packed, num_batches, unpack
from bionemo.examples.protein_mlm.model import ProteinModelConfig
from bionemo.examples.protein_mlm.pipelines import collate, hide, hide_packed, make_pipelines, unigram_entropy
from bionemo.examples.protein_mlm.proteins import MASK_ID, VOCABULARY, Protein, encode

SEQUENCES = ["ACDEFGHIKLMNPQRSTVWY"[:n] + "X" for n in range(1, 21)]
PROTEINS = [Protein(str(number), sequence) for number, sequence in enumerate(SEQUENCES)]


def rows_of(pipeline, steps: int) -> list[tuple[int, ...]]:
    batches = [batch_at(pipeline, step) for step in range(steps)]
    return [
        tuple(labels.where(labels >= 0, ids)[mask].tolist())
        for batch in batches
        for ids, mask, labels in zip(batch["ids"], batch["mask"], batch["labels"], strict=True)
    ]


def test_a_tenth_of_the_records_is_held_out_and_the_rest_is_trained_on() -> None:
    train, held_out = make_pipelines(PROTEINS, batch_size=6, max_length=30, generator=make_generator(1))
    assert num_batches(train) is None
    trained, held = rows_of(train, 3), rows_of(held_out, num_batches(held_out))
    assert (len(set(trained)), len(held)) == (18, 2)
    assert set(trained) | set(held) == {tuple(encode(sequence).tolist()) for sequence in SEQUENCES}


def test_training_and_held_out_pipelines_have_different_seeds() -> None:
    train, held_out = make_pipelines(PROTEINS, batch_size=6, max_length=30, generator=make_generator(1))
    assert train.seed != held_out.seed


def test_only_residues_are_hidden_and_every_chosen_token_becomes_the_mask() -> None:
    batch = collate([encode("ACDEFGHIKLMNPQRSTVWYUOBZJX" * 20)] * 30)
    hidden = hide(batch, seeds=torch.arange(30))
    chosen = hidden["labels"] >= 0
    assert (hidden["ids"][chosen] == MASK_ID).all()
    assert torch.equal(hidden["ids"][~chosen], batch["ids"][~chosen])
    assert {VOCABULARY[token] for token in hidden["labels"][chosen]} == set("ACDEFGHIKLMNPQRSTVWYUO")


def test_the_model_takes_the_empty_batch_of_a_rank_without_samples() -> None:
    model = build_model(ProteinModelConfig(vocab_size=30, max_length=9), generator=make_generator(1))
    logits = model(hide(collate([]), seeds=torch.tensor([], dtype=torch.int64)))
    assert logits.shape == (0, 1, 30)
    logits.sum().backward()


def test_padding_does_not_change_logits() -> None:
    model = build_model(ProteinModelConfig(vocab_size=30, max_length=40), generator=make_generator(1)).eval()
    short, wide = collate([encode("MKV")]), collate([encode("MKV"), encode("MKVLAAGWYCDEFHINPQRST")])
    torch.testing.assert_close(model(short)[0], model(wide)[0, :5], atol=1e-5, rtol=1e-5)


def test_the_entropy_of_no_residues_is_zero() -> None:
    assert unigram_entropy([]) == unigram_entropy([encode("XX")]) == 0


def test_a_hidden_size_that_num_heads_does_not_divide_is_refused() -> None:
    with pytest.raises(
        ValueError, match="hidden_size must be a multiple of num_heads, got hidden_size=30 and num_heads=4"
    ):
        ProteinModelConfig(vocab_size=30, max_length=9, hidden_size=30)


def test_packed_rows_have_the_logits_and_the_loss_of_padded_ones() -> None:
    model = build_model(ProteinModelConfig(vocab_size=30, max_length=40), generator=make_generator(1)).double().eval()
    rows = [encode(sequence) for sequence in SEQUENCES[3:9]]
    seeds = torch.arange(len(rows))
    padded, packed = hide(collate(rows), seeds=seeds), hide_packed(collate_packed(rows), seeds=seeds)
    torch.testing.assert_close(model(packed), model(padded)[padded["mask"]], atol=1e-12, rtol=1e-12)
    losses = [token_cross_entropy(model(batch), batch["labels"]) for batch in (padded, packed)]
    assert losses[0].num_tokens == losses[1].num_tokens
    torch.testing.assert_close(losses[0].loss_sum, losses[1].loss_sum, rtol=1e-12, atol=0)


def test_packed_steps_hold_each_protein_once_per_epoch_in_few_tokens() -> None:
    train, held_out = make_pipelines(PROTEINS, batch_size=8, max_length=30, generator=make_generator(1), packed=True)
    assert held_out.batch_size == 32
    seen, step = [], 0
    while len(seen) < 18:
        batch = batch_at(train, step)
        assert len(batch["ids"]) <= 8 * 30 // 4
        whole = {**batch, "ids": batch["labels"].where(batch["labels"] >= 0, batch["ids"])}
        seen += [tuple(row.tolist()) for row in unpack(whole)]
        step += 1
    assert len(set(seen)) == len(seen) == 18
