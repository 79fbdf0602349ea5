"""The command line to look into the order of a run: `python -m bionemo.data --help`."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import torch

from bionemo.core.checks import check_int, shown
from bionemo.core.record import parse_json
from bionemo.data.lookup import describe_batch, find_sample, first_divergence
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.record import order_from_spec, record_differences
from bionemo.data.pipeline.steps import batch_stop, step_of, step_start

__all__ = ["main"]

_FILE = "JSON file of pipeline_spec(pipeline) or of a loader's state_dict(), or a checkpoint of torch.save or Lightning"
_FIELDS: Final = ("algorithm", "order", "seed", "lengths", "batch_size", "drop_last")
"""Fields of a pipeline's record that the commands need."""
_MAX_BYTES: Final = 2**24
"""Largest JSON file that is read: one of 10,000 sources has a megabyte."""
_MAX_ROWS: Final = 10**6
"""Largest number of samples that are listed."""
_MAX_LINE: Final = 500
"""Longest line of an error."""


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        message = f"must be an integer, got {shown(text)}"
        raise argparse.ArgumentTypeError(message) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bionemo.data", description="Show which samples a training run reads; needs no data."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("file", type=Path, help=_FILE)
    shared.add_argument("--json", action="store_true", help="print JSON, for programs")
    shared.add_argument(
        "--arrays",
        type=Path,
        metavar="FILE.npz",
        help="arrays of more than 64 elements: external_arrays(order), saved by numpy.savez",
    )

    command = commands.add_parser("explain", parents=[shared], help="list the samples that a step reads")
    command.add_argument("--step", type=_integer, required=True, help="number of the batch, from 0")
    command.add_argument(
        "--epoch", type=_integer, help="count --step from the batch that holds the first sample of this epoch"
    )
    command.add_argument("--rank", type=_integer, default=0, help="data-parallel rank (default: 0)")
    command.add_argument("--world-size", type=_integer, default=1, help="number of ranks (default: 1)")

    command = commands.add_parser("where", parents=[shared], help="print where a sample is read")
    command.add_argument("--sample", type=_integer, required=True, help="idx: the sample is dataset[idx]")
    command.add_argument("--source", type=_integer, default=0, help="number of the data set (default: 0)")
    command.add_argument("--epoch", type=_integer, default=0, help="pass over the data set (default: 0)")
    command.add_argument("--world-size", type=_integer, default=1, help="number of ranks (default: 1)")

    command = commands.add_parser("diff", parents=[shared], help="print what differs between two runs")
    command.add_argument("other", type=Path, help="another such file")
    command.add_argument("--limit", type=_integer, default=10**7, help="positions to compare (default: 10**7)")
    return parser


def _read_record(path: Path) -> Mapping[str, Any]:
    """Return the record of a pipeline in a file."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        # A checkpoint is a zip archive. Its tensors are mapped, not read, and only plain values are unpickled.
        is_archive = content.startswith(b"PK\x03\x04")
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True) if is_archive else _parse(content)
    except UnpicklingError as error:
        message = (
            f"can't read {path}: it holds objects that are neither tensors nor plain values, or is damaged. "
            "Write the loader's state_dict() as JSON instead."
        )
        raise ValueError(message) from error
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        message = f"can't read {path}: {getattr(error, 'strerror', None) or error}"
        raise ValueError(message) from error
    for part in _mappings(held):
        if all(name in part for name in _FIELDS):
            return part
    message = f"{path} must hold the record of a pipeline, with {', '.join(_FIELDS)}."
    raise ValueError(message)


def _parse(content: bytes) -> Any:
    if len(content) > _MAX_BYTES:
        message = f"it must be a checkpoint, or JSON of at most {_MAX_BYTES} bytes."
        raise ValueError(message)
    return parse_json(content.decode("utf-8"))


def _mappings(held: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in a file's content, those of a smaller depth first."""
    level, seen = [held], set[int]()
    while level:
        # An unpickled object may occur in many others, and in itself.
        new = {id(part): part for part in level if isinstance(part, Mapping | list | tuple) and id(part) not in seen}
        seen |= new.keys()
        yield from (part for part in new.values() if isinstance(part, Mapping))
        level = [inner for part in new.values() for inner in (part.values() if isinstance(part, Mapping) else part)]


def _restore(path: Path, record: Mapping[str, Any], arrays: Path | None) -> Pipeline[Any]:
    """Return a pipeline with the record's order, over ranges instead of data sets."""
    needed = {
        str(part.get("sha256")): None
        for part in _mappings(record["order"])
        if part.get("type") == "FrozenArray" and "values" not in part
    }
    order = order_from_spec(record, arrays=_read_arrays(path, list(needed), arrays))
    lengths = record["lengths"]
    if not isinstance(lengths, list) or len(lengths) != order.num_sources:
        message = f"lengths must be a list of {order.num_sources}, one per source of the order, got {shown(lengths)}."
        raise TypeError(message)
    return Pipeline(
        order=order,
        sources=tuple(range(check_int(length, name="lengths")) for length in lengths),
        batch_size=record["batch_size"],
        seed=record["seed"],
        drop_last=record["drop_last"],
    )


def _read_arrays(path: Path, digests: Sequence[str], arrays: Path | None) -> dict[str, Any]:
    """Return the arrays that an order needs, by digest."""
    found: dict[str, Any] = {}
    if arrays is not None:
        try:
            with np.load(arrays) as file:
                found = {digest: file[digest] for digest in digests if digest in file}
        except (OSError, EOFError, ValueError, TypeError, MemoryError, BadZipFile) as error:
            message = f"{arrays} must be a file of arrays, made by numpy.savez: {error}"
            raise ValueError(message) from error
    missing = [digest for digest in digests if digest not in found]
    if missing:
        message = (
            f"arrays must hold the array of sha256={missing[0][:64]}, which {path} names but doesn't hold (in all "
            f"{len(missing)} are missing). In the program that made the order, call numpy.savez('arrays.npz', "
            "**external_arrays(pipeline.order)); then pass --arrays arrays.npz."
        )
        raise ValueError(message)
    return found


def _first_step(pipeline: Pipeline[Any], epoch: int | None) -> int:
    """Return the step that reads the first sample of an epoch; 0 for none."""
    if epoch is None:
        return 0
    epoch_length = getattr(pipeline.order, "epoch_length", None)
    if epoch_length is None:
        message = (
            f"--epoch must be left out for an order without epochs of one length, got --epoch {epoch} for a "
            f"{type(pipeline.order).__name__}. Count --step from the start of the run."
        )
        raise ValueError(message)
    return step_of(pipeline, check_int(epoch, name="epoch") * epoch_length)


def _explain(options: argparse.Namespace) -> tuple[Any, str]:
    pipeline = _restore(options.file, _read_record(options.file), options.arrays)
    first = _first_step(pipeline, options.epoch)
    step = first + check_int(options.step, name="step") if first else options.step
    start = step_start(pipeline, step)
    rows_per_rank = (batch_stop(pipeline, start) - start) // max(options.world_size, 1)
    if rows_per_rank > _MAX_ROWS:
        message = f"batch_size must be at most {_MAX_ROWS} per rank to be listed, got {rows_per_rank}."
        raise ValueError(message)
    rows = describe_batch(pipeline, step, options.rank, options.world_size)
    cells = [("position", "source", "epoch", "idx"), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return [row._asdict() for row in rows], "\n".join(lines)


def _where(options: argparse.Namespace) -> tuple[Any, str]:
    pipeline = _restore(options.file, _read_record(options.file), options.arrays)
    index = SampleIndex(options.source, options.epoch, options.sample)
    location = find_sample(pipeline, index, world_size=options.world_size)._asdict()
    return location, "\n".join(f"{name:8}  {value}" for name, value in location.items())


def _diff(options: argparse.Namespace) -> tuple[Any, str]:
    files = (options.file, options.other)
    records = [_read_record(file) for file in files]
    one, two = (_restore(*pair, options.arrays).order for pair in zip(files, records, strict=True))
    differences = record_differences(*records)
    position = first_divergence(one, two, limit=options.limit)
    fields = [f"{name}: {before!r} -> {after!r}" for name, (before, after) in differences.items()]
    orders = f"agree at all positions below {options.limit:,}"
    if position is not None:
        orders = f"differ from position {position:,} on"
    text = "\n".join([*(fields or ["no field differs"]), f"the orders {orders}"])
    return {"differences": differences, "position": position, "limit": options.limit}, text


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of the command line: 2 for bad input, with one line on stderr that says what is wrong.

    Example:
        >>> main(["explain", "missing.json", "--step", "3"])
        2
    """
    options = _parser().parse_args(arguments)
    try:
        result, text = {"explain": _explain, "where": _where, "diff": _diff}[options.command](options)
        print(json.dumps(result) if options.json else text, flush=True)  # noqa: T201 - a command line
    except BrokenPipeError:  # the reader stopped early, e.g. `| head`; without devnull the flush at exit would fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except (ValueError, TypeError, IndexError, OSError, OverflowError, RecursionError, MemoryError) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        line = line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}..."
        print(f"python -m bionemo.data {options.command}: {line}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
