"""The error of a program that was given something it can't use."""

__all__ = ["BadInputError"]


class BadInputError(Exception):
    """Something the user gave can't be used; the message is one line that names it and the remedy."""
