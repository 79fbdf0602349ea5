"""Small programs that a user would write, each run in a process of its own: start-up, memory, growth with size."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from textwrap import indent
from typing import Any

import attrs

from benchmarks import peers

FRAME = """
import time
began = time.perf_counter()
import json, sys
from pathlib import Path

def memory():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024

size = int(sys.argv[1])
{imports}
imported = time.perf_counter()
{make}
iterator = iter(batches)
next(iterator)
first, at = time.perf_counter(), time.monotonic()
count = min(1000, size // 32 - 1)
for _ in range(count):
    next(iterator)
took = time.perf_counter() - first
print(json.dumps({{
    "import": imported - began, "first": first - imported, "at": at,
    "each": took / count / 32, "memory": memory(),
}}))
"""
"""Measures the imports, the first batch after them, a thousand more, and the peak of memory."""


@attrs.frozen
class Program:
    """A loader of shuffled batches of 32 as a script makes it.

    Args:
        name: the library and what it does.
        imports: the lines that import it.
        make: the lines that make `batches` of `size` samples, in the folder `folder` if they are on disk.
        folders: where the library is installed, if not with this one; called when the program is run.
    """

    name: str
    imports: str
    make: str
    folders: Callable[[], Iterable[Path]] = tuple

    def text(self, folder: Path | None = None) -> str:
        """Return the whole program."""
        given = f"folder = {str(folder)!r}\n" if folder else ""
        return FRAME.format(imports=self.imports, make=given + self.make)


OURS = Program(
    "loader, default options",
    "from bionemo.data import EpochOrder, Pipeline\nfrom bionemo.data.pipes import loader",
    """
order = EpochOrder(length=size, seed=1, num_samples=size)
batches = loader(Pipeline(order=order, sources=range(size), batch_size=32, seed=1, collate=list))
""",
)
OTHERS = [
    Program(
        "DataLoader(shuffle=True)",
        "from torch.utils.data import DataLoader",
        "batches = DataLoader(range(size), batch_size=32, shuffle=True, collate_fn=list)",
    ),
    Program(
        "StatefulDataLoader(shuffle=True)",
        "from torchdata.stateful_dataloader import StatefulDataLoader",
        "batches = StatefulDataLoader(range(size), batch_size=32, shuffle=True, collate_fn=list)",
    ),
    Program(
        "grain 0.2.18 range.shuffle.batch, without threads",
        "import grain",
        """
options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
batches = grain.MapDataset.range(size).shuffle(seed=1).batch(32, batch_fn=list).to_iter_dataset(options)
""",
        lambda: [peers.grain_folder()],
    ),
    Program(
        "Hugging Face datasets, shuffle and iter(32)",
        "import numpy, datasets",
        """
rows = datasets.Dataset.from_dict({"idx": numpy.arange(size)}).with_format("numpy")
batches = rows.shuffle(seed=1, keep_in_memory=True).iter(32)
""",
    ),
]
"""Loaders of numbers in memory."""

ON_DISK = [
    Program(
        "Hugging Face datasets, load_from_disk and shuffle",
        "import datasets",
        """
rows = datasets.load_from_disk(folder + "/arrow").with_format("numpy")
batches = rows.shuffle(seed=1, keep_in_memory=True).iter(32)
""",
    ),
    Program(
        "mosaicml-streaming 0.13.0 StreamingDataset(shuffle=True)",
        "from benchmarks.peers import without_vision\nwithout_vision()\nimport streaming",
        """
streaming.base.util.clean_stale_shared_memory()
rows = streaming.StreamingDataset(local=folder + "/mds", shuffle=True, batch_size=32, shuffle_seed=1)
batches = streaming.StreamingDataLoader(rows, batch_size=32, num_workers=0, collate_fn=list)
""",
        lambda: [peers.mosaic_folder()],
    ),
    Program(
        "litdata 0.2.76 StreamingDataset(shuffle=True)",
        "import litdata",
        """
rows = litdata.StreamingDataset(folder + "/litdata", shuffle=True, seed=1)
batches = litdata.StreamingDataLoader(rows, batch_size=32, num_workers=0, collate_fn=list)
""",
        lambda: [peers.litdata_folder()],
    ),
]
OURS_ON_DISK = Program(
    "loader of TokenFile",
    "from bionemo.data import EpochOrder, Pipeline\nfrom bionemo.data.pipes import loader\n"
    "from bionemo.data.sources import TokenFile",
    """
rows = TokenFile(folder + "/tokens/rows")
order = EpochOrder(length=size, seed=1, num_samples=size)
batches = loader(Pipeline(order=order, sources=rows, batch_size=32, seed=1, collate=list), read_ahead=16)
""",
)

WRITERS: list[tuple[str, Callable[[], Iterable[Path]]]] = [
    (
        """
from bionemo.data.sources import write_tokens
(folder / "tokens").mkdir()
write_tokens(folder / "tokens" / "rows", rows(), dtype=numpy.uint8)
""",
        tuple,
    ),
    (
        """
import datasets
made = datasets.Dataset.from_generator(lambda: ({"ids": row} for row in rows()), cache_dir=str(folder / "cache"))
made.save_to_disk(folder / "arrow")
""",
        tuple,
    ),
    (
        """
from benchmarks.peers import without_vision
without_vision()
import streaming
with streaming.MDSWriter(out=str(folder / "mds"), columns={"ids": "ndarray:uint8"}) as writer:
    for row in rows():
        writer.write({"ids": row})
""",
        lambda: [peers.mosaic_folder()],
    ),
    (
        """
import litdata, torch
options = {"chunk_bytes": 2**24, "num_workers": 1, "verbose": False}
litdata.optimize(fn=torch.from_numpy, inputs=list(rows()), output_dir=str(folder / "litdata"), **options)
""",
        lambda: [peers.litdata_folder()],
    ),
]
"""Programs that write `size` rows of 8 tokens into `folder`, in the format of each."""

WRITER = """
import sys, json, numpy
from pathlib import Path
folder, size = Path(sys.argv[1]), int(sys.argv[2])
def rows():
    for row in numpy.random.default_rng(1).integers(4, 24, (size, 8), dtype=numpy.uint8):
        yield row
if __name__ == "__main__":
{body}
    print(json.dumps(True))
"""


def write_all(folder: Path, size: int, run: Callable[..., Any]) -> None:
    """Write the files of all formats; what a library that fails has not written, its loader will miss."""
    for body, folders in WRITERS:
        text = WRITER.format(body=indent(body, "    "))
        with suppress(RuntimeError):
            run(["-c", text, str(folder), str(size)], folders=folders(), timeout=120)
