"""The command lines of the examples: input that can't be used is told in one line."""

import argparse
from typing import Final, NoReturn

from bionemo.examples.bad_input import BadInputError
from bionemo.examples.run_folder import LIMITS

__all__ = ["INTERRUPTED", "Parser", "integer"]

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
