"""Padding against its peers: `make bench-batch`. One thread."""

import os
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

from benchmarks import peers
from benchmarks.table import Row, below, faster, missing, seconds, show
from bionemo.core.padding import pad_token_ids

SIZES = (32, 128, 512)


def make_rows(size: int) -> list[Any]:
    """Return a batch of rows of 50 to 1,024 tokens, as arrays."""
    generator = np.random.default_rng(size)
    return [generator.integers(0, 30, length) for length in generator.integers(50, 1025, size)]


def as_lists(rows: list[Any]) -> list[Any]:
    """Return rows as lists of ints."""
    return [row.tolist() for row in rows]


def as_tensors(rows: list[Any]) -> list[Any]:
    """Return rows as tensors."""
    return [torch.from_numpy(row) for row in rows]


def pad_sequence(rows: list[Any]) -> Any:
    """Return torch's padded block of tensors, without a mask."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def make_collator() -> Callable[[list[Any]], Any]:
    """Return transformers' collator of lists."""
    words = Tokenizer(WordLevel({str(number): number for number in range(31)}, unk_token="0"))  # noqa: S106
    collator = DataCollatorWithPadding(PreTrainedTokenizerFast(tokenizer_object=words, pad_token="30"))  # noqa: S106
    collator.tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    return lambda rows: collator([{"input_ids": row} for row in rows])


def compare(what: str, make: Callable[[list[Any]], list[Any]], theirs: Any, wanted: float, peer: str) -> list[Row]:
    """Compare with a peer at each size of the batch, in nanoseconds a token."""
    found = []
    for arrays in map(make_rows, SIZES):
        rows, tokens = make(arrays), sum(map(len, arrays))
        ours, other = (seconds(partial(pad, rows), 30) / tokens * 1e9 for pad in (pad_token_ids, theirs))
        found.append(faster(f"{what}, {len(rows)} rows", ours, other, wanted, peer))
    return found


def memory() -> Row:
    """Return the peak of memory while a batch of lists is padded, in padded blocks: NumPy's and Python's, and one."""
    rows = as_lists(make_rows(512))
    tracemalloc.start()
    ids, _ = pad_token_ids(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    block = ids.numel() * ids.element_size()  # torch's own memory isn't traced: it is that of the ids alone
    return below("peak memory of lists, the result included", (peak + block) / block, 2, "blocks")


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    upstream = peers.bionemo_pad()
    rows = []
    for what, make, wanted in (("lists", as_lists, 5), ("tensors", as_tensors, 1.3), ("arrays", list, 3)):
        name = f"a token of {what} of ints"
        if upstream.function:
            rows.extend(compare(name, make, upstream.function, wanted, upstream.name))
        else:
            rows.append(missing(name, upstream))
    rows += [
        *compare("a token of tensors, with the mask", as_tensors, pad_sequence, 0.8, "pad_sequence, without"),
        *compare("a token of lists", as_lists, make_collator(), 3, "transformers' DataCollatorWithPadding"),
        memory(),
    ]
    show(rows)


if __name__ == "__main__":
    main()
