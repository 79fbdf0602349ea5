"""From proteins to the pipelines that a masked-language model is trained and measured on."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bionemo.core.utils.batching_utils import pad_token_ids
from bionemo.core.utils.random_utils import seed_from_generator, split
from bionemo.data import EpochOrder, Pipeline, Source, mask_tokens, random_crop
from bionemo.data.permute import permute
from bionemo.examples.proteins import (
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

__all__ = ["ProteinPipelines", "collate", "hide", "make_pipelines", "unigram_entropy"]

_SPECIAL_IDS: Final = (PAD_ID, MASK_ID, CLS_ID, EOS_ID, *AMBIGUOUS_IDS)
"""Tokens that are nothing to guess."""

_FEWEST_TO_HOLD_OUT: Final = 10
"""From this many records on, a tenth is held out."""


class ProteinPipelines(NamedTuple):
    """What a run trains on, and what it is measured on; None where there are too few records to hold any out."""

    train: Pipeline[dict[str, Tensor]]
    held_out: Pipeline[dict[str, Tensor]] | None


def collate(rows: list[Any]) -> dict[str, Tensor]:
    """Return rows of tokens as a padded batch: int64 `ids` and bool `mask`, at least one column wide.

    Example:
        >>> collate([encode("MK"), encode("M")])["ids"]
        tensor([[ 2, 14, 12,  3],
                [ 2, 14,  3,  0]])
    """
    ids, mask = pad_token_ids(rows, padding_value=PAD_ID, padding_len=None if rows else 1)
    return {"ids": ids, "mask": mask}


def hide(batch: Mapping[str, Tensor], *, seeds: Tensor) -> dict[str, Tensor]:
    """Return a batch with 15% of its amino acids hidden, and these as `labels`.

    All of the chosen are hidden, none is replaced or left as it is: one that is left gives itself away, and the loss
    could not be held against an entropy.
    """
    masked = mask_tokens(
        batch["ids"],
        batch["mask"],
        seeds=seeds,
        mask_id=MASK_ID,
        random_ids=AMINO_ACID_IDS,
        special_ids=_SPECIAL_IDS,
        replace_prob=1.0,
        random_prob=0.0,
    )
    return {"ids": masked.ids, "mask": batch["mask"], "labels": masked.labels}


def make_pipelines(
    proteins: Sequence[Protein], /, *, batch_size: int, max_length: int, generator: torch.Generator
) -> ProteinPipelines:
    """Return the pipeline to train on, without end, and that of a tenth of the records, held out.

    Args:
        proteins: the records, at least one.
        batch_size: proteins in a training step.
        max_length: longest row, in tokens; of a longer one each reading draws a window.
        generator: draws what is held out and the seeds of order and samples.
    """
    split_seed, order_seed, sample_seed, held_out_seed = (seed_from_generator(child) for child in split(generator, 4))
    rows = [encode(protein.sequence) for protein in proteins]
    num_held_out = len(rows) // 10 if len(rows) >= _FEWEST_TO_HOLD_OUT else 0
    held_out = {permute(place, len(rows), split_seed) for place in range(num_held_out)}
    kept = [row for place, row in enumerate(rows) if place not in held_out]
    transform = partial(random_crop, length=max_length)
    train = Pipeline(
        order=EpochOrder(length=len(kept), seed=order_seed),
        sources=Source(kept, transform=transform),
        batch_size=batch_size,
        seed=sample_seed,
        collate=collate,
        batch_transform=hide,
    )
    if not held_out:
        return ProteinPipelines(train, None)
    return ProteinPipelines(
        train,
        attrs.evolve(
            train,
            order=EpochOrder(length=num_held_out, seed=held_out_seed, num_samples=num_held_out, shuffle=False),
            sources=Source([rows[place] for place in sorted(held_out)], transform=transform),
            batch_size=32,
            seed=held_out_seed,
        ),
    )


def unigram_entropy(rows: Iterable[npt.NDArray[np.int64]], /) -> float:
    """Return the entropy of a residue drawn from rows of tokens, in nats; 0 where there is none.

    It is the loss of a model that knows how common each amino acid is, and nothing else.

    Example:
        >>> import math
        >>> round(unigram_entropy([encode("MK"), encode("KM")]), 6) == round(math.log(2), 6)
        True
    """
    counts = np.bincount(np.concatenate([np.empty(0, dtype=np.int64), *rows]), minlength=len(VOCABULARY))
    counts[list(_SPECIAL_IDS)] = 0
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum())
