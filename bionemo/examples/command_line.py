"""The command lines of the examples: input that can't be used is told in one line."""

import argparse
from types import MappingProxyType
from typing import Final, NoReturn

from bionemo.examples.bad_input import BadInputError

__all__ = ["INTERRUPTED", "LIMITS", "Parser", "integer"]

LIMITS: Final = MappingProxyType(
    {"steps": (1, 2**31), "batch_size": (1, 2**14), "max_length": (1, 2**31), "seed": (0, 2**63 - 1)}
)
"""Least and greatest value of each number that a run can be asked for."""

INTERRUPTED: Final = 130
"""Exit code of a program ended by Ctrl-C, as shells count."""


class Parser(argparse.ArgumentParser):
    """A parser that raises for a command line that can't be used."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong."""
        raise BadInputError(message + ". See --help.")


def integer(text: str, *, name: str) -> int:
    """Return the number of an option, within the limits of the setting of that name.

    Raises:
        argparse.ArgumentTypeError: if it is none, or out of range.

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
