"""Command lines of the examples: bad input is reported in one line."""

import argparse
import os
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

from bionemo.examples.protein_mlm.bad_input import BadInputError

__all__ = ["INTERRUPTED", "LIMITS", "Parser", "integer", "local_path", "say"]

LIMITS: Final = MappingProxyType(
    {"steps": (1, 2**31), "batch_size": (1, 2**14), "max_length": (1, 2**31), "seed": (0, 2**63 - 1)}
)
"""Smallest and largest value of each numeric setting of a run."""

INTERRUPTED: Final = 130
"""Exit code of a program ended by Ctrl-C, by the convention of shells: 128 + SIGINT."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `BadInputError` instead of exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise `BadInputError` with the parser's message."""
        raise BadInputError(message + ". See --help.")


def integer(text: str, *, name: str) -> int:
    """Parse the integer value of an option and check it against the limits of the setting `name`.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer, or the integer is out of range.

    Example:
        >>> integer("25", name="steps")
        25
    """
    low, high = LIMITS[name]
    try:
        number = int(text)
    except ValueError as error:
        message = f"must be an integer, got {text!r}"
        raise argparse.ArgumentTypeError(message) from error
    if not low <= number <= high:
        message = f"must be in {low}..{high}, got {number}"
        raise argparse.ArgumentTypeError(message)
    return number


def local_path(text: str) -> Path:
    """Return the value of an option as a path, after checking that it is not a URL.

    Raises:
        argparse.ArgumentTypeError: if it is one: `Path` would make a local folder of `s3://a`, named `s3:`.

    Example:
        >>> local_path("runs/one").name
        'one'
    """
    if "://" in text:
        message = f"must be a local path, got {text!r}. Copy the data to a local disk, or mount the remote storage"
        raise argparse.ArgumentTypeError(message)
    return Path(text)


def say(text: str, /, *, file: Any = None) -> None:
    """Print a line. If the output can't be written, e.g. after `| head -1`, it is dropped, and the program runs on.

    Args:
        text: the line.
        file: text file to print to; standard output by default.

    Example:
        >>> say("step 50")
        step 50
    """
    file = sys.stdout if file is None else file
    try:
        print(text, file=file, flush=True)
    except OSError:
        with Path(os.devnull).open("w") as nowhere:  # what is buffered goes there, too, when Python exits
            os.dup2(nowhere.fileno(), file.fileno())
