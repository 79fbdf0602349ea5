"""Rows of tokens on disk, in the page cache: shuffled, padded batches, opening, resumes, tokenizing, and memory.

`python -m benchmarks.subjects.files fork 1000000` prints the bytes and open files gained over a million batches.
"""

import json
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from torch.utils.data import DataLoader

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, limited, printed, race, timed
from benchmarks.record import Measurement, spread
from benchmarks.subjects.batches import by_transformers
from bionemo.core.padding import pad_token_ids
from bionemo.data import EpochOrder, Pipeline, index_at
from bionemo.data.pipes import loader
from bionemo.data.sources import TokenFile, Windows, letter_table, tokenize_fasta, write_tokens

FOLDER = Path(__file__).parents[2] / ".cache" / "bench"
FORMS = (("lists", "pad_token_ids"), ("NumPy arrays", "pad_token_ids"), ("lists", "transformers"))
ROWS, BATCH, MANY, NUMBER = 100_000, 32, 10**8, 320
RESIDUES, FIRST = b"ACDEFGHIKLMNPQRSTVWY", 4


def measure(effort: Effort) -> Iterator[Measurement]:
    """Compare batches, then measure opening, tokenizing and the growth of memory."""
    yield from tokens(effort)
    if not effort.is_quick:
        yield from opening(effort)
        yield from tokenizing(effort)
        yield from memory(10**4)


def made(name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder of files that a function makes once; they are read, so that they are in the page cache."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (FOLDER / name).exists():
        unfinished = FOLDER / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        make(unfinished)
        unfinished.rename(FOLDER / name)
    for path in filter(Path.is_file, (FOLDER / name).rglob("*")):
        path.read_bytes()
    return FOLDER / name


def make_rows() -> list[Any]:
    """Return rows of 50 to 600 tokens."""
    generator = np.random.default_rng(1)
    lengths = generator.integers(50, 601, ROWS)
    return [generator.integers(FIRST, FIRST + len(RESIDUES), length, np.uint8) for length in lengths]


def advance(batches: Iterator[Any], number: int) -> None:
    """Read some batches."""
    for _ in islice(batches, number):
        pass


def endless(make: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """Yield the batches of what a function makes, over and over."""
    while True:
        yield from make()


def ours(rows: Any, order: Any, collate: Any, batch_size: int = BATCH, **options: Any) -> Any:
    """Return our loader. As in the others, nothing draws from the global states."""
    fields: dict[str, Any] = {"batch_size": batch_size, "collate": collate, "seed": 1, "seed_global_states": False}
    return loader(Pipeline(order=order, sources=rows, **fields), **options)


def token_folder() -> Path:
    """Return the folder of our token file."""
    return made("tokens", lambda folder: write_tokens(folder / "rows", make_rows(), dtype=np.uint8))


def by_datasets(datasets: Any, order: Any, form: str, pad: Any) -> Callable[[], Any]:
    """Return a function that reads padded batches of the same rows of a Hugging Face data set."""

    def write(folder: Path) -> None:
        datasets.Dataset.from_dict({"ids": make_rows()}).save_to_disk(folder)

    dataset = datasets.load_from_disk(made("arrow", write))
    if form == "NumPy arrays":
        dataset = dataset.with_format("numpy", dtype=np.uint8)
    batches = index_at(order, range(ROWS)).idx.reshape(-1, BATCH).tolist()
    return partial(advance, endless(lambda: (pad(dataset[indices]["ids"]) for indices in batches)), NUMBER)


def by_mosaic(streaming: Any) -> Callable[[], Any]:
    """Return a function that reads padded batches of MosaicML's shards."""

    def write(folder: Path) -> None:
        with streaming.MDSWriter(out=str(folder), columns={"ids": "ndarray:uint8"}, size_limit=2**24) as writer:
            for row in make_rows():
                writer.write({"ids": row})

    folder = made("mds", write)
    streaming.base.util.clean_stale_shared_memory()
    pad = lambda rows: pad_token_ids([row["ids"] for row in rows])  # noqa: E731
    rows = streaming.StreamingDataset(local=str(folder), shuffle=True, batch_size=BATCH, shuffle_seed=1)
    return partial(advance, endless(lambda: DataLoader(rows, batch_size=BATCH, collate_fn=pad)), NUMBER)


def write_litdata(folder: Path) -> None:
    """Write the rows as litdata's chunks, in a process of its own: it starts others, and prints."""
    text = (
        "import sys, litdata; from benchmarks.subjects.files import make_rows; folder = sys.argv[1]\n"
        "def main(): litdata.optimize(fn=__import__('torch').from_numpy, inputs=make_rows(), output_dir=folder, "
        "chunk_bytes=2**24, num_workers=1, verbose=False)\n"
        "if __name__ == '__main__': main(); print('true')"
    )
    printed(["-c", text, str(folder)], folders=[peers.litdata_folder()], timeout=200)


def by_litdata(litdata: Any) -> Callable[[], Any]:
    """Return a function that reads padded batches of litdata's chunks."""
    folder = made("litdata", write_litdata)
    rows = litdata.StreamingDataset(str(folder), shuffle=True, seed=1)
    batches = litdata.StreamingDataLoader(rows, batch_size=BATCH, num_workers=0, collate_fn=pad_token_ids)
    return partial(advance, endless(lambda: batches), NUMBER)


def tokens(effort: Effort) -> Iterator[Measurement]:
    """Compare shuffled, padded batches of a token file with those of others' formats; most pad by our function."""
    rows, order = TokenFile(token_folder() / "rows"), EpochOrder(length=ROWS, seed=1)
    per = NUMBER * BATCH * float(np.mean(rows.lengths))
    read = partial(advance, iter(ours(rows, order, pad_token_ids, read_ahead=16)), NUMBER)
    what = "rows on disk to padded batches, time per token"
    pads: dict[str, Any] = {"pad_token_ids": pad_token_ids, "transformers": by_transformers()}
    tenfold = partial(call_of, peers.huggingface_dataset(), per=per, least_ratio=10)
    arrow = [
        tenfold(partial(by_datasets, order=order, form=form, pad=pads[by]), f"Arrow to {form}, padded by {by}")
        for form, by in FORMS
    ]
    mine = Call("loader of TokenFile", read, per)
    yield from (found := race(what, mine, *arrow, effort=effort))
    # These two keep threads that read ahead, and so slow down whatever is measured in turn with them.
    threaded = (
        (peers.mosaic(), by_mosaic, "shards to NumPy arrays"),
        (peers.litdata(), by_litdata, "chunks to tensors"),
    )
    for peer, make, form in threaded:
        yield from race(what, mine, call_of(peer, make, form, per=per), effort=effort)
    speed = 1e-6 / spread(found[0].ours.rounds).median
    what = "rows on disk to padded batches, speed"
    yield limited(what, "loader of TokenFile", speed, unit="M tokens/s", limit=20, is_more_better=True)


def opening(effort: Effort) -> Iterator[Measurement]:
    """Measure opening 10**8 rows of sparse files, resuming in their middle, and numbering 2 * 10**8 windows."""
    order, middle = EpochOrder(length=MANY, seed=1), MANY // 2
    indices = index_at(order, range(middle, middle + BATCH)).idx
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.idx"
        with path.open("wb") as file:
            file.write(struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 1, MANY, MANY + 1))
            file.truncate(34 + 12 * MANY + 8 * (MANY + 1))
        path.with_suffix(".bin").touch()
        state = ours(TokenFile(path), order, pad_token_ids, start=middle).state_dict()

        def resume() -> None:
            batches = ours(TokenFile(path), order, pad_token_ids)
            batches.load_state_dict(state)
            next(iter(batches))

        yield timed(
            "opening 10**8 rows and reading one",
            "TokenFile",
            lambda: TokenFile(path)[middle],
            effort=effort,
            limit=0.1,
        )
        plain = Call("TokenFile.__getitems__ alone", lambda: TokenFile(path).__getitems__(indices), is_ours=True)
        (found,) = race("first batch, resumed amid 10**8 rows", Call("loader", resume), plain, effort=effort)
        yield found
        beyond = np.subtract(found.ours.rounds, found.peer.rounds if found.peer else 0).tolist()
        yield limited(
            "first batch, resumed amid 10**8 rows, beyond a plain read", "loader", *beyond, unit="s", limit=0.05
        )
    lengths = np.random.default_rng(1).integers(100, 301, 10**6) * 1024
    number = len(Windows(lengths=lengths, size=1024))
    yield timed(
        f"opening {number:,} windows of 10**6 records and finding one",
        "Windows",
        lambda: Windows(lengths=lengths, size=1024).window_at(number - 1),
        effort=effort,
        limit=1,
    )


def write_fasta(folder: Path) -> None:
    """Write 30 MB of proteins in lines of 60 residues."""
    rows, letters = make_rows(), np.frombuffer(b"-" * FIRST + RESIDUES, np.uint8)
    with (folder / "proteins.fasta").open("wb") as file:
        while (number := file.tell()) < 3 * 10**7:
            row = letters[rows[number % ROWS]].tobytes()
            lines = b"\n".join(row[start : start + 60] for start in range(0, len(row), 60))
            file.write(b">sp|P%09d|A generated protein\n%s\n" % (number, lines))


def tokenizing(effort: Effort) -> Iterator[Measurement]:
    """Measure tokenizing a FASTA file in this process."""
    fasta, table = made("fasta", write_fasta) / "proteins.fasta", letter_table(RESIDUES.decode(), first=FIRST)
    with TemporaryDirectory(dir=FOLDER) as folder:
        run = partial(tokenize_fasta, fasta, f"{folder}/rows", table=table, num_workers=0)
        (found,) = [timed("tokenizing", "tokenize_fasta", run, effort=effort, limit=1)]
    speeds = [fasta.stat().st_size / took / 1e6 for took in found.ours.rounds]
    options: dict[str, Any] = {"unit": "MB/s", "limit": 20, "is_more_better": True}
    yield limited("tokenizing a FASTA file, per core", "tokenize_fasta", *speeds, **options)


def growth(context: str, number: int) -> list[int]:
    """Return how many bytes and open files all processes together gain from the thousandth batch to another one."""
    rows, order = TokenFile(token_folder() / "rows"), EpochOrder(length=ROWS, seed=1)
    batches = ours(rows, order, pad_token_ids, num_workers=2, multiprocessing_context=context, read_ahead=16)
    iterator, found = iter(batches), []
    for count in (1000, number - 1000):
        advance(iterator, count)
        time.sleep(2)  # until the workers have made what they make ahead
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        found.append([sum(one.memory_info().rss for one in processes), sum(one.num_fds() for one in processes)])
    batches.close()
    return [after - before for before, after in zip(*found, strict=True)]


def memory(number: int) -> Iterator[Measurement]:
    """Measure the growth of memory and open files with two workers, each in a process of its own."""
    for context in ("fork", "spawn"):
        size, count = printed(["-m", "benchmarks.subjects.files", context, str(number)], timeout=120)
        label, name = f"gained from batch 1,000 to {number:,}", f"loader, two workers by {context}"
        yield limited(f"resident memory {label}, {context}", name, size, unit="bytes", limit=10 * 2**20)
        yield limited(f"open files {label}, {context}", name, count, unit="files", limit=1)


if __name__ == "__main__":
    print(json.dumps(growth(sys.argv[1], int(sys.argv[2]))))
