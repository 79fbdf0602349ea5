"""Look into the order of a run: `python -m bionemo.data --help`."""

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
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.lookup import describe_batch, find_sample, first_divergence
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.record import order_from_spec, record_differences

__all__ = ["main"]

_FILE = "JSON of pipeline_spec(pipeline), or of a loader's state_dict()"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bionemo.data", description="Look into the order of a run.")
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON, for programs")
    shared.add_argument(
        "--arrays",
        type=Path,
        metavar="FILE.npz",
        help="for more than 64 weights: what external_arrays gave, saved by numpy.savez",
    )

    command = commands.add_parser("explain", parents=[shared], help="what the batch of a step reads")
    command.add_argument("file", type=Path, help=_FILE)
    command.add_argument("--step", type=int, required=True)
    command.add_argument("--rank", type=int, default=0)
    command.add_argument("--world-size", type=int, default=1)

    command = commands.add_parser("where", parents=[shared], help="at which step a sample is read")
    command.add_argument("file", type=Path, help=_FILE)
    command.add_argument("--sample", type=int, required=True, help="its place in the data set")
    command.add_argument("--source", type=int, default=0, help="which data set (0)")
    command.add_argument("--epoch", type=int, default=0, help="which pass through it (0)")
    command.add_argument("--world-size", type=int, default=1)

    command = commands.add_parser("diff", parents=[shared], help="what differs, and from which position on")
    command.add_argument("file", type=Path, help=_FILE)
    command.add_argument("other", type=Path, help="another")
    command.add_argument("--limit", type=int, default=10**7, help="positions to compare (10**7)")
    return parser


def _read_record(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"can't read {path}: {error.strerror}."
        raise ValueError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{path} is no JSON: {error}."
        raise ValueError(message) from error
    if isinstance(record, dict):
        record = record.get("pipeline", record)
    needed = ("algorithm", "order", "seed", "lengths", "batch_size", "drop_last")
    if not isinstance(record, dict) or any(name not in record for name in needed):
        message = f"{path} must hold the record of a pipeline, with {', '.join(needed)}."
        raise ValueError(message)
    return record


def _restore(record: Mapping[str, Any], arrays: Path | None) -> Pipeline[Any]:
    """Return a pipeline with the record's order, over ranges in place of data sets."""
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
    place = find_sample(pipeline, index, world_size=options.world_size)._asdict()
    return place, "\n".join(f"{name:8}  {value}" for name, value in place.items())


def _diff(options: argparse.Namespace) -> tuple[Any, str]:
    records = [_read_record(options.file), _read_record(options.other)]
    differences = record_differences(*records)
    one, two = (_restore(record, options.arrays).order for record in records)
    position = first_divergence(one, two, limit=options.limit)
    lines = [f"{name}: {before!r} -> {after!r}" for name, (before, after) in differences.items()] or [
        "no field differs"
    ]
    part = (
        f"below {options.limit:,} the orders agree"
        if position is None
        else f"the orders differ from position {position:,} on"
    )
    return {"differences": differences, "position": position, "limit": options.limit}, "\n".join([*lines, part])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code: 2 for bad input, with one line that says what is wrong.

    Example:
        >>> main(["explain", "missing.json", "--step", "3"])
        2
    """
    options = _parser().parse_args(arguments)
    try:
        answer, text = {"explain": _explain, "where": _where, "diff": _diff}[options.command](options)
        print(json.dumps(answer) if options.json else text, flush=True)  # noqa: T201 - a command line
    except BrokenPipeError:  # whoever read has read enough
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
