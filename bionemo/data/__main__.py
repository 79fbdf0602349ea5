"""The command line to look into the order of a run: `python -m bionemo.data --help`."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from bionemo.core.checks import check_int
from bionemo.core.record import parse_json
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.lookup import describe_batch, find_sample, first_divergence
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.record import order_from_spec, record_differences

__all__ = ["main"]

_FILE = "JSON file of pipeline_spec(pipeline) or of a loader's state_dict()"


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
    command.add_argument("--step", type=int, required=True, help="number of the batch, from 0")
    command.add_argument("--rank", type=int, default=0, help="data-parallel rank (default: 0)")
    command.add_argument("--world-size", type=int, default=1, help="number of ranks (default: 1)")

    command = commands.add_parser("where", parents=[shared], help="print where a sample is read")
    command.add_argument("--sample", type=int, required=True, help="index in the data set")
    command.add_argument("--source", type=int, default=0, help="number of the data set (default: 0)")
    command.add_argument("--epoch", type=int, default=0, help="pass over the data set (default: 0)")
    command.add_argument("--world-size", type=int, default=1, help="number of ranks (default: 1)")

    command = commands.add_parser("diff", parents=[shared], help="print what differs between two runs")
    command.add_argument("other", type=Path, help="another such file")
    command.add_argument("--limit", type=int, default=10**7, help="number of positions to compare (default: 10**7)")
    return parser


def _read_record(path: Path) -> Mapping[str, Any]:
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"can't read {path}: {getattr(error, 'strerror', None) or error}"
        raise ValueError(message) from error
    if isinstance(record, dict):
        record = record.get("pipeline", record)
    needed = ("algorithm", "order", "seed", "lengths", "batch_size", "drop_last")
    if not isinstance(record, dict) or any(name not in record for name in needed):
        message = f"{path} must hold the record of a pipeline, with {', '.join(needed)}."
        raise ValueError(message)
    return record


def _restore(record: Mapping[str, Any], arrays: Path | None) -> Pipeline[Any]:
    """Return a pipeline with the record's order, over ranges instead of data sets."""
    loaded: dict[str, Any] = {}
    if arrays is not None:
        try:
            with np.load(arrays) as file:
                loaded = dict(file)
        except (OSError, EOFError, ValueError, TypeError, BadZipFile) as error:
            message = f"{arrays} must be a file of arrays, made by numpy.savez: {error}"
            raise ValueError(message) from error
    if not isinstance(record["lengths"], list):
        message = f"lengths must be a list, got {record['lengths']!r}."
        raise TypeError(message)
    lengths = [check_int(length, name="lengths") for length in record["lengths"]]
    return Pipeline(
        order=order_from_spec(record, arrays=loaded),
        sources=tuple(map(range, lengths)),
        batch_size=record["batch_size"],
        seed=record["seed"],
        drop_last=record["drop_last"],
    )


def _explain(options: argparse.Namespace) -> tuple[Any, str]:
    pipeline = _restore(_read_record(options.file), options.arrays)
    rows = describe_batch(pipeline, options.step, options.rank, options.world_size)
    cells = [("position", "source", "epoch", "idx"), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return [row._asdict() for row in rows], "\n".join(lines)


def _where(options: argparse.Namespace) -> tuple[Any, str]:
    pipeline = _restore(_read_record(options.file), options.arrays)
    index = SampleIndex(options.source, options.epoch, options.sample)
    location = find_sample(pipeline, index, world_size=options.world_size)._asdict()
    return location, "\n".join(f"{name:8}  {value}" for name, value in location.items())


def _diff(options: argparse.Namespace) -> tuple[Any, str]:
    records = [_read_record(options.file), _read_record(options.other)]
    differences = record_differences(*records)
    one, two = (_restore(record, options.arrays).order for record in records)
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
    except (ValueError, TypeError, IndexError, OSError) as error:
        line = " ".join(str(error).split())
        print(f"python -m bionemo.data {options.command}: {line}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
