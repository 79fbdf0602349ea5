"""Pipelines that turn proteins into batches to train and evaluate a masked-language model."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bionemo.core.padding import pad_token_ids
from bionemo.core.random import fold_in, seed_from_generator, split
from bionemo.data import (
    EpochOrder,
    PackedOrder,
    Pipeline,
    Source,
    collate_packed,
    mask_packed_tokens,
    mask_tokens,
    random_crop,
)
from bionemo.data.permute import permute
from bionemo.examples.protein_mlm.proteins import (
    AMBIGUOUS_IDS,
    AMINO_ACID_IDS,
    CLS_ID,
    EOS_ID,
    MASK_ID,
    PAD_ID,
    VOCABULARY,
    Protein,
    encode,
)

__all__ = ["ProteinPipelines", "collate", "hide", "hide_packed", "make_pipelines", "unigram_entropy"]

_SPECIAL_IDS: Final = (PAD_ID, MASK_ID, CLS_ID, EOS_ID, *AMBIGUOUS_IDS)
"""Tokens that are never hidden: there is no amino acid to predict."""

_HIDDEN: Final[dict[str, Any]] = {
    "mask_id": MASK_ID,
    "replacement_ids": AMINO_ACID_IDS,
    "special_ids": _SPECIAL_IDS,
    "mask_replace_prob": 1.0,
    "random_replace_prob": 0.0,
}
"""How amino acids are hidden."""

_STEPS_PER_WINDOW: Final = 64
"""Steps that are packed together."""

_MIN_RECORDS_TO_HOLD_OUT: Final = 10
"""A tenth of the records is held out if there are at least this many."""


class ProteinPipelines(NamedTuple):
    """The pipelines to train on and to evaluate on; `held_out` is None if there are too few records."""

    train: Pipeline[dict[str, Tensor]]
    held_out: Pipeline[dict[str, Tensor]] | None


def collate(rows: list[Any]) -> dict[str, Tensor]:
    """Return rows of tokens as a padded batch: int64 `ids` and bool `mask` (True = real token).

    Without rows, the batch has one column, so that models need no special case for zero columns.

    Example:
        >>> collate([encode("MK"), encode("M")])["ids"]
        tensor([[ 2, 14, 12,  3],
                [ 2, 14,  3,  0]])
    """
    ids, mask = pad_token_ids(rows, padding_value=PAD_ID, padding_len=None if rows else 1)
    return {"ids": ids, "mask": mask}


def hide(batch: Mapping[str, Tensor], *, seeds: Tensor) -> dict[str, Tensor]:
    """Return a batch with 15% of its amino acids hidden, and the hidden tokens as `labels` (-100 elsewhere).

    Every chosen token becomes `<mask>`; none becomes another or stays, unlike BERT's 80-10-10. An unchanged token
    reveals its label, so the loss could not be compared with the unigram entropy.
    """
    masked = mask_tokens(batch["ids"], batch["mask"], seeds=seeds, **_HIDDEN)
    return {"ids": masked.ids, "mask": batch["mask"], "labels": masked.labels}


def hide_packed(batch: Mapping[str, Any], *, seeds: Tensor) -> dict[str, Any]:
    """Return a packed batch with the same amino acids hidden as `hide` hides in a padded one."""
    return mask_packed_tokens(batch, seeds=seeds, **_HIDDEN)


def make_pipelines(
    proteins: Sequence[Protein],
    /,
    *,
    batch_size: int,
    max_length: int,
    generator: torch.Generator,
    packed: bool = False,
) -> ProteinPipelines:
    """Return an endless pipeline to train on, and one pass over a held-out tenth of the records.

    Args:
        proteins: the records; at least one.
        batch_size: proteins per training step.
        max_length: maximum tokens per row; a longer row is cropped at random each time it is read.
        generator: draws the seeds of the split, the orders and the samples.
        packed: train on packed steps of at most a quarter of a padded batch's tokens, which take about as long.
    """
    split_seed, order_seed, sample_seed, held_out_seed = (seed_from_generator(child) for child in split(generator, 4))
    rows = [encode(protein.sequence) for protein in proteins]
    num_held_out = len(rows) // 10 if len(rows) >= _MIN_RECORDS_TO_HOLD_OUT else 0
    held_out = {permute(index, len(rows), split_seed) for index in range(num_held_out)}
    kept = [row for idx, row in enumerate(rows) if idx not in held_out]
    transform = partial(random_crop, length=max_length)
    train = Pipeline(
        order=EpochOrder(length=len(kept), seed=order_seed),
        sources=Source(kept, transform=transform),
        batch_size=batch_size,
        seed=sample_seed,
        collate=collate,
        batch_transform=hide,
    )
    packing = _packed(train, list(map(len, kept)), max_length=max_length) if packed else train
    if not held_out:
        return ProteinPipelines(packing, None)
    return ProteinPipelines(
        packing,
        attrs.evolve(
            train,
            order=EpochOrder(length=num_held_out, seed=held_out_seed, num_samples=num_held_out, shuffle=False),
            sources=Source([rows[idx] for idx in sorted(held_out)], transform=transform),
            batch_size=32,
            seed=held_out_seed,
        ),
    )


def _packed(pipeline: Pipeline[Any], lengths: list[int], *, max_length: int) -> Pipeline[Any]:
    """Return a pipeline on packed steps of one bin, for rows of some lengths before they are cropped."""
    cropped = np.minimum(lengths, max_length)
    max_tokens = max((pipeline.batch_size or 1) * max_length // 4, max_length)
    order = PackedOrder(
        order=pipeline.order,
        lengths=cropped,
        max_tokens=max_tokens,
        bins_per_step=1,
        window_size=max(int(_STEPS_PER_WINDOW * max_tokens / cropped.mean()), 1),
        seed=fold_in(pipeline.seed, "packed"),
    )
    return attrs.evolve(pipeline, order=order, batch_size=None, collate=collate_packed, batch_transform=hide_packed)


def unigram_entropy(rows: Iterable[npt.NDArray[np.int64]], /) -> float:
    """Return the entropy of the amino-acid frequencies in rows of tokens, in nats per residue; 0 without residues.

    It is the loss of a model that knows these frequencies and nothing else.

    Example:
        >>> import math
        >>> round(unigram_entropy([encode("MK"), encode("KM")]), 6) == round(math.log(2), 6)
        True
    """
    counts = np.bincount(np.concatenate([np.empty(0, dtype=np.int64), *rows]), minlength=len(VOCABULARY))
    counts[list(_SPECIAL_IDS)] = 0
    frequencies = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(frequencies * np.log(frequencies)).sum())
