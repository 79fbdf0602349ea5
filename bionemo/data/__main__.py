"""The command line to look into the order of a run: `python -m bionemo.data --help`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bionemo.core.checks import check_int, shown
from bionemo.data.lookup import describe_batch, find_sample, first_divergence
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.record import record_differences
from bionemo.data.pipeline.record_files import read_record, restore_pipeline
from bionemo.data.pipeline.steps import batch_stop, step_of, step_start
from bionemo.data.run_log import read_run_log
from bionemo.data.run_verification import verify_run

__all__ = ["main"]

_FILE = "JSON file of pipeline_spec(pipeline) or of a loader's state_dict(), or a checkpoint of torch.save or Lightning"
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
    _add_options(shared)

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

    command = commands.add_parser("verify-run", help="check that a run has read what its pipeline says")
    command.add_argument("logs", type=Path, nargs="+", metavar="LOG", help="lines of log_line, from one or all ranks")
    command.add_argument("--pipeline", type=Path, required=True, metavar="FILE", help=_FILE)
    command.add_argument("--any-batch-size", action="store_true", help="the batch size has changed during the run")
    _add_options(command)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    help_arrays = "arrays of more than 64 elements: external_arrays(order), saved by numpy.savez"
    parser.add_argument("--arrays", type=Path, metavar="FILE.npz", help=help_arrays)


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
    pipeline = restore_pipeline(options.file, read_record(options.file), options.arrays)
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
    pipeline = restore_pipeline(options.file, read_record(options.file), options.arrays)
    index = SampleIndex(options.source, options.epoch, options.sample)
    location = find_sample(pipeline, index, world_size=options.world_size)._asdict()
    return location, "\n".join(f"{name:8}  {value}" for name, value in location.items())


def _diff(options: argparse.Namespace) -> tuple[Any, str]:
    files = (options.file, options.other)
    records = [read_record(file) for file in files]
    one, two = (restore_pipeline(*pair, options.arrays).order for pair in zip(files, records, strict=True))
    differences = record_differences(*records)
    position = first_divergence(one, two, limit=options.limit)
    fields = [f"{name}: {before!r} -> {after!r}" for name, (before, after) in differences.items()]
    orders = f"agree at all positions below {options.limit:,}"
    if position is not None:
        orders = f"differ from position {position:,} on"
    text = "\n".join([*(fields or ["no field differs"]), f"the orders {orders}"])
    return {"differences": differences, "position": position, "limit": options.limit}, text


def _verify_run(options: argparse.Namespace) -> tuple[Any, str]:
    pipeline = restore_pipeline(options.pipeline, read_record(options.pipeline), options.arrays)
    log = [batch for path in options.logs for batch in read_run_log(path)]
    found = verify_run(log, pipeline, any_batch_size=options.any_batch_size)
    last = found.first_step + found.num_steps - 1
    text = (
        f"steps {found.first_step:,} to {last:,} have read the pipeline's {found.num_samples:,} samples, in its order"
    )
    text += f"; {found.num_replaced:,} batches were read again after a resume" if found.num_replaced else ""
    cut = f"; left out: {found.num_incomplete:,} last steps that not all ranks have logged"
    return found._asdict(), text + cut * (found.num_incomplete > 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of the command line: 2 for bad input, 1 for a run that differs; one line on stderr says why.

    Example:
        >>> main(["explain", "missing.json", "--step", "3"])
        2
    """
    options = _parser().parse_args(arguments)
    try:
        commands = {"explain": _explain, "where": _where, "diff": _diff, "verify-run": _verify_run}
        result, text = commands[options.command](options)
        print(json.dumps(result) if options.json else text, flush=True)  # noqa: T201 - a command line
    except BrokenPipeError:  # the reader stopped early, e.g. `| head`; without devnull the flush at exit would fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except AssertionError as error:  # only verify-run
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except (ValueError, TypeError, IndexError, OSError, OverflowError, RecursionError, MemoryError) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        line = line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}..."
        print(f"python -m bionemo.data {options.command}: {line}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
