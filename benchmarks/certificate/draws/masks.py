"""Masks for masked-language modelling: which tokens are chosen, and whether ranks, workers and epochs differ."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.certificate.draws.uniform import Sampler
from benchmarks.certificate.p_values import Array, Results, goodness, independence, two_sided
from bionemo.data import EpochOrder, MaskedTokens, Pipeline, batch_from, mask_tokens

EPOCHS, RANKS, WORKERS, BATCHES, ROWS, COLUMNS = 2, 2, 2, 64, 32, 128
"""Batches and rows are those of one rank and epoch. Batch `b` is made by worker `b % WORKERS`."""
VOCABULARY, MASK_ID, TOKEN = 31, 1, 10
PROB: Final = 0.15
LAST: Final = VOCABULARY - 1


class Masks(NamedTuple):
    """What became of equal tokens: int64 arrays [epoch, rank, batch, row, column]."""

    chosen: Array
    """1 where the model must predict the token."""
    ids: Array


def hide(batch: Tensor, *, seeds: Tensor) -> MaskedTokens:
    """Return a batch with masked tokens."""
    everything = torch.ones(batch.shape, dtype=torch.bool)
    return mask_tokens(batch, everything, seeds=seeds, mask_id=MASK_ID, replacement_ids=range(VOCABULARY))


def by_pipeline(seed: int) -> Masks:
    """Return the masks of `mask_tokens` in a `Pipeline`: the batches of two ranks."""
    num_rows = RANKS * BATCHES * ROWS
    order = EpochOrder(length=num_rows, seed=seed, shuffle=False)
    rows = torch.full((num_rows, COLUMNS), TOKEN)
    pipeline = Pipeline(order=order, sources=rows, batch_size=RANKS * ROWS, seed=seed, batch_transform=hide)
    starts = range(0, EPOCHS * num_rows, RANKS * ROWS)
    return arrange([[batch_from(pipeline, start, rank, RANKS) for start in starts] for rank in range(RANKS)])


def arrange(by_rank: Sequence[Sequence[MaskedTokens]]) -> Masks:
    """Return batches, given per rank in the order of steps, by epoch, rank and batch."""
    shape = (RANKS, EPOCHS, BATCHES, ROWS, COLUMNS)
    parts = [torch.stack([torch.stack([batch[part] for batch in batches]) for batches in by_rank]) for part in (0, 1)]
    ids, labels = (part.reshape(shape).numpy().swapaxes(0, 1) for part in parts)
    return Masks((labels != -100).astype(np.int64), ids)  # noqa: PLR2004 - the label that losses ignore


def by_numpy(seed: int) -> Masks:
    """Return masks that NumPy draws."""
    rng, shape = np.random.default_rng(seed), (EPOCHS, RANKS, BATCHES, ROWS, COLUMNS)
    chosen, fate = rng.random(shape) < PROB, rng.random(shape)
    drawn = rng.integers(VOCABULARY, size=shape)
    changed = np.where(fate < 0.8, MASK_ID, np.where(fate < 0.9, drawn, TOKEN))  # noqa: PLR2004 - BERT's fractions
    return Masks(chosen.astype(np.int64), np.where(chosen, changed, TOKEN))


def by_collator(seed: int, *, seeded: bool) -> Masks:
    """Return the masks of transformers' collator in the workers of a `DataLoader`, one for each rank.

    Args:
        seed: the same on each rank.
        seeded: hand the seed to the collator, which adds the worker's number to it; else to `torch.manual_seed`, as a
            script does at its start, and to the workers as the loader does.
    """
    collator = make_collator(seed if seeded else None)
    rows = [{"input_ids": [TOKEN] * COLUMNS, "special_tokens_mask": [0] * COLUMNS}] * (BATCHES * ROWS)
    by_rank = []
    with torch.random.fork_rng():
        for _ in range(RANKS):
            torch.manual_seed(seed)
            loader: Any = torch.utils.data.DataLoader(
                rows, ROWS, num_workers=WORKERS, collate_fn=collator, multiprocessing_context="fork"
            )
            batches = [batch for _ in range(EPOCHS) for batch in loader]
            by_rank.append([MaskedTokens(batch["input_ids"], batch["labels"]) for batch in batches])
    return arrange(by_rank)


def make_collator(seed: int | None) -> Any:
    """Return transformers' collator; transformers takes seconds to import, and only this needs it."""
    tokenizers, models, transformers = map(import_module, ("tokenizers", "tokenizers.models", "transformers"))
    vocabulary = {str(number): number for number in range(VOCABULARY)}
    words = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="0"))  # noqa: S106
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=str(LAST),
        mask_token=str(MASK_ID),
    )
    return transformers.DataCollatorForLanguageModeling(tokenizer, seed=seed)


def samplers() -> Iterator[Sampler]:
    """Yield all ways to mask."""
    yield Sampler(name="mask_tokens", draws=by_pipeline, ours=True, about="`mask_tokens` in a `Pipeline`, on two ranks")
    yield Sampler(name="NumPy", draws=by_numpy, about="the control: `Generator.random`")
    about = "transformers' `DataCollatorForLanguageModeling`, two ranks with two `DataLoader` workers each: "
    yield Sampler(
        name="transformers, seed",
        draws=partial(by_collator, seeded=True),
        about=f"{about}`seed=42`, to which it adds the worker's number",
    )
    yield Sampler(
        name="transformers, manual_seed",
        draws=partial(by_collator, seeded=False),
        about=f"{about}`torch.manual_seed(42)` on each rank",
    )


def battery(draws: Callable[[int], Masks], *, seed: int = 42) -> Results:
    """Return the p-values of masks: name -> p."""
    masks, other = draws(seed), draws(seed + 1).chosen[0, 0]
    odds = np.array([1 - PROB, PROB])
    # Within one epoch of one rank: equal epochs or ranks must not count twice.
    chosen, ids = masks.chosen[0, 0], masks.ids[0, 0]
    pairs = {
        "columns 1 apart": (chosen[..., :-1:2], chosen[..., 1::2]),
        "columns 2 apart": (chosen[..., :-2:4], chosen[..., 2::4]),
        "columns 64 apart": (chosen[..., : COLUMNS // 2], chosen[..., COLUMNS // 2 :]),
        "rows 1 apart": (chosen[:, ::2], chosen[:, 1::2]),
        "batches of two workers": (chosen[::2], chosen[1::2]),
        "batches of one worker": (chosen[:-2:4], chosen[2::4]),
        "two ranks": (chosen, masks.chosen[0, 1]),
        "two epochs": (chosen, masks.chosen[1, 0]),
        "two seeds": (chosen, other),
        "the second worker, and the first of the next seed": (chosen[1::2], other[::2]),
    }
    results = {f"chosen in {name}": independence(*pair, odds) for name, pair in pairs.items()}
    per_row = chosen.sum(axis=-1).ravel()
    variance = COLUMNS * PROB * (1 - PROB)
    results["chosen at all"] = goodness(np.bincount(chosen.ravel(), minlength=2), odds)
    results["chosen per row"] = two_sided(((per_row - COLUMNS * PROB) ** 2).sum() / variance, len(per_row))
    at_column = chosen.reshape(-1, COLUMNS).sum(axis=0)
    mean = PROB * len(per_row)
    results["chosen per column"] = two_sided(((at_column - mean) ** 2).sum() / mean / (1 - PROB), COLUMNS)
    became = np.full(VOCABULARY, 0.1 / VOCABULARY)
    became[MASK_ID] += 0.8
    became[TOKEN] += 0.1
    results["what chosen tokens become"] = goodness(np.bincount(ids[chosen == 1], minlength=VOCABULARY), became)
    results["tokens that are not chosen"] = 1.0 if (ids[chosen == 0] == TOKEN).all() else 0.0
    first, second = (ids[..., part::2] == MASK_ID for part in (0, 1))
    both = (chosen[..., ::2] & chosen[..., 1::2]) == 1
    hidden = became[[MASK_ID]]
    fates = np.append(1 - hidden, hidden)
    results["what neighbours become"] = independence(first[both], second[both], fates)
    return results
