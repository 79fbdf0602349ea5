"""From FASTA to tokens: files of any size, in constant memory and several processes."""

import gzip
import io
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int
from bionemo.core.extras import require
from bionemo.core.files import to_path
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.int64 import as_axis, as_int64
from bionemo.data.sources.opened import WatchedFile
from bionemo.data.sources.ragged_rows import check_int_dtype
from bionemo.data.sources.sequences.letters import to_ids, to_table
from bionemo.data.sources.sequences.token_file import TokenFile, write_tokens

__all__ = ["fasta_blocks", "tokenize_fasta"]

_BLOCK: Final = 2**23
"""Bytes of FASTA that a process tokenizes at once."""
_GZIP: Final = b"\x1f\x8b"


@checked
def tokenize_fasta(
    fasta: Any,
    out: Any,
    /,
    *,
    table: Any,
    before: Iterable[AnyInt] = (),
    after: Iterable[AnyInt] = (),
    dtype: Any = np.uint8,
    num_workers: AnyInt = 1,
) -> TokenFile:
    r"""Write the records of a FASTA file as rows of tokens, and return them as a data set.

    Memory doesn't grow with the file, but holds a few blocks of 8 MB per process, or the longest record. A process that
    is killed leaves no files that look whole.

    Law: row `k` is the k-th record: `before`, the token of each letter, and `after`; for any number of processes.

    Args:
        fasta: path of a FASTA file, plain or compressed by gzip or bgzip.
        out: path of the `.bin` and `.idx` file without these endings; its folder must exist.
        table: token of each of the 256 bytes, e.g. from `letter_table`; a negative one is an error.
        before: tokens put before each row, e.g. one that marks the beginning.
        after: tokens put after it.
        dtype: integer dtype of the tokens.
        num_workers: processes that tokenize; 0 uses this one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it isn't FASTA or is cut off, a letter has no token, or a token doesn't fit the dtype.
        ModuleNotFoundError: if Biopython isn't installed.

    Example:
        >>> import tempfile
        >>> from bionemo.data.sources import letter_table
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "dna.fasta"
        ...     _ = path.write_text(">a\nGATT\nACA\n>b\nTT\n")
        ...     list(tokenize_fasta(path, f"{folder}/dna", table=letter_table("ACGT"), after=[9]))
        [array([2, 0, 3, 3, 0, 1, 0, 9], dtype=uint8), array([3, 3, 9], dtype=uint8)]
    """
    file, out = WatchedFile(to_path(fasta, name="fasta")), to_path(out, name="out")
    require("Bio", extra="sequences")
    frozen = to_table(table)
    if frozen is None:
        message = 'table must be given, got table=None. Make one, e.g. letter_table("ACGT").'
        raise TypeError(message)
    rows = (("before", before), ("after", after))
    first, last = (as_int64(as_axis(tokens, name=name), name=name) for name, tokens in rows)
    tokenize = partial(_tokenize, frozen, first, last, check_int_dtype(dtype))
    with _open(file.path) as opened:
        blocks = fasta_blocks(opened, name=str(file.path))
        return write_tokens(out, _rows(tokenize, blocks, check_int(num_workers, name="num_workers")), dtype=dtype)


def _open(path: Path) -> Any:
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP
    return gzip.open(path, "rb") if is_gzip else path.open("rb")


def fasta_blocks(file: Any, /, *, name: str, size: AnyInt = _BLOCK) -> Iterator[bytes]:
    r"""Yield a FASTA file in blocks of whole records.

    Args:
        file: a binary file.
        name: name of the file for errors.
        size: bytes that are read at once.

    Raises:
        ValueError: if the file doesn't begin with a record, or is compressed and cut off.

    Example:
        >>> list(fasta_blocks(io.BytesIO(b">a\nMK\n>b\nV\n>c\nMKV\n"), name="x", size=9))
        [b'>a\nMK\n', b'>b\nV\n', b'>c\nMKV\n']
    """
    rest = [b""]
    try:
        while read := file.read(int(size)):
            if not any(rest) and not read.startswith(b">"):
                message = f"{name} must be FASTA, whose records begin with '>', got {read[:20]!r}."
                raise ValueError(message)
            # The last record of what was read may continue in what follows. It begins after a line feed, which may be
            # the last byte before.
            joined = rest[-1][-1:] + read
            cut = joined.rfind(b"\n>") + 1 - len(rest[-1][-1:])
            if cut > 0 or (cut == 0 and any(rest)):
                yield b"".join([*rest, read[:cut]])
                rest = [read[cut:]]
            else:
                rest.append(read)
    except (EOFError, gzip.BadGzipFile) as error:
        message = f"{name} must be whole, but it was cut off or damaged: {error}"
        raise ValueError(message) from error
    if any(rest):
        yield b"".join(rest)


def _tokenize(
    table: FrozenArray, before: NDArray[np.int64], after: NDArray[np.int64], dtype: np.dtype[Any], block: bytes
) -> list[NDArray[Any]]:
    """Return the rows of the records in a block, of the dtype if all tokens fit it."""
    from Bio.SeqIO.FastaIO import SimpleFastaParser  # noqa: PLC0415 - an optional dependency

    parse: Any = SimpleFastaParser
    records = [(title, letters.encode("latin-1")) for title, letters in parse(io.StringIO(block.decode("latin-1")))]
    try:
        ids = to_ids(b"".join([letters for _, letters in records]), table, name="the block")
    except ValueError:
        for title, letters in records:  # say which one it is
            to_ids(letters, table, name=title.split(" ")[0])
        raise
    ids, before, after = (_narrowed(tokens, dtype) for tokens in (ids, before, after))
    bounds = pairwise(accumulate([len(letters) for _, letters in records], initial=0))
    rows = [ids[start:stop] for start, stop in bounds]
    return [np.concatenate([before, row, after]) for row in rows] if len(before) or len(after) else rows


def _narrowed(tokens: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return tokens in a dtype, or unchanged if some don't fit it: `write_tokens` refuses these."""
    narrow = tokens.astype(dtype)
    return narrow if np.array_equal(narrow, tokens) else tokens


def _rows(tokenize: Any, blocks: Iterator[bytes], num_workers: int) -> Iterator[NDArray[Any]]:
    if not num_workers:
        for block in blocks:
            yield from tokenize(block)
        return
    # Not forked: a fork copies the locks of this process's threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_end_with_parent) as pool:
        # Workers start here, and inherit that SIGINT is blocked: Ctrl-C is for this process, which then ends them.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            ahead = deque(pool.submit(tokenize, block) for block in islice(blocks, 2 * num_workers))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            while ahead:
                found = ahead.popleft().result()
                ahead.extend(pool.submit(tokenize, block) for block in islice(blocks, 1))
                yield from found
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """End this process when its parent is killed: it would wait for work forever."""

    def watch() -> None:
        parent: Any = multiprocessing.parent_process()
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
