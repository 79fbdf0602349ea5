"""Libraries that only an extra installs."""

import importlib
from types import ModuleType

__all__ = ["require"]


def require(name: str, /, *, extra: str) -> ModuleType:
    """Return a module that an extra of bionemo-core installs.

    Raises:
        ModuleNotFoundError: if it isn't installed; the message names the extra.

    Example:
        >>> require("no_such_library", extra="cells")
        Traceback (most recent call last):
        ModuleNotFoundError: no_such_library must be installed: pip install 'bionemo-core[cells]'.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        message = f"{error.name} must be installed: pip install 'bionemo-core[{extra}]'."
        raise ModuleNotFoundError(message, name=error.name) from error
