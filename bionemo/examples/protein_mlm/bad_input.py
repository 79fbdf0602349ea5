"""The error for user input that a program can't use."""

__all__ = ["BadInputError"]


class BadInputError(Exception):
    """The user's input can't be used. The message is one line that names the input and the remedy."""
