"""The command line of data on disk: `python -m bionemo.data.sources --help`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bionemo.data.sources.sequences.letters import letter_table
from bionemo.data.sources.sequences.tokenize import tokenize_fasta

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bionemo.data.sources", description="Prepare data on disk.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("tokenize", help="write the records of a FASTA file as rows of tokens")
    command.add_argument("fasta", type=Path, help="FASTA file, plain or compressed by gzip or bgzip")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of tokens.bin and tokens.idx")
    command.add_argument(
        "--letters", help="the k-th of these letters becomes token FIRST + k; by default, a letter's token is its byte"
    )
    command.add_argument("--first", type=int, default=0, help="token of the first letter")
    command.add_argument("--unknown", type=int, help="token of all other letters; by default they are an error")
    command.add_argument("--ignore-case", action="store_true", help="read lower case as upper case")
    command.add_argument("--before", type=int, nargs="*", default=[], metavar="TOKEN", help="put before each row")
    command.add_argument("--after", type=int, nargs="*", default=[], metavar="TOKEN", help="put after each row")
    command.add_argument("--dtype", default="uint8", help="uint8, int8, uint16, int16, int32 or int64")
    command.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that tokenize")
    return parser


def _tokenize(options: argparse.Namespace) -> str:
    if options.letters is None:
        table: Any = np.arange(256, dtype=np.uint8)
    else:
        choice = {"first": options.first, "unknown": options.unknown, "ignore_case": options.ignore_case}
        table = letter_table(options.letters, **choice)
    options.out.mkdir(parents=True, exist_ok=True)
    ends = {"before": options.before, "after": options.after}
    rows = tokenize_fasta(
        options.fasta,
        options.out / "tokens",
        table=table,
        dtype=np.dtype(options.dtype),
        num_workers=options.workers,
        **ends,
    )
    num_tokens = rows.tokens.size // rows.dtype.itemsize
    return f"{len(rows):,} rows, {num_tokens:,} tokens of {rows.dtype} in {rows.tokens.path}"


def main(arguments: Sequence[str] | None = None, /) -> int:
    """Run a command, and return the exit status: 2 if the input is wrong.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "dna.fasta"
        ...     _ = path.write_text(">a")
        ...     main(["tokenize", str(path), "--out", folder, "--workers", "0"])  # doctest: +ELLIPSIS
        1 rows, 0 tokens of uint8 in ...tokens.bin
        0
    """
    options = _parser().parse_args(arguments)
    try:
        print(_tokenize(options))  # noqa: T201 - a command's result
    except (OSError, TypeError, ValueError, ModuleNotFoundError) as error:
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        print(f"error: {error}{notes}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)  # noqa: T201
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
