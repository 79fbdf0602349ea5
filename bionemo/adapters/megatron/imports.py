"""Import of megatron-core on first use: it takes seconds, and megatron-core is an optional dependency."""

import importlib
import warnings
from typing import Any

__all__ = ["import_megatron"]


def import_megatron(module: str, /) -> Any:
    """Return a module that needs megatron-core, imported without the warnings that megatron-core prints.

    Raises:
        ModuleNotFoundError: if megatron-core, or something that it needs, isn't installed.

    Example:
        >>> import_megatron("megatron.core.nothing_of_this_name")
        Traceback (most recent call last):
        ModuleNotFoundError: megatron.core.nothing_of_this_name can't be imported: pip install 'bionemo-core[megatron]'
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "megatron":
            raise
        message = f"{module} can't be imported: pip install 'bionemo-core[megatron]'"
        raise ModuleNotFoundError(message) from error
