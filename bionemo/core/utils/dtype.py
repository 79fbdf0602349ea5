"""Names of numeric precisions and their dtypes."""

from types import MappingProxyType
from typing import Final, Literal, get_args

import numpy as np
import torch

from bionemo.core.checks import as_int, shown

__all__ = ["PrecisionTypes", "get_autocast_dtype"]

_Plain = Literal["fp16", "bf16", "fp32", "fp64", "16", "32", "64", 16, 32, 64]
_Mixed = Literal["fp16-mixed", "bf16-mixed", "fp32-mixed", "16-mixed"]
_True = Literal["fp16-true", "bf16-true", "16-true", "32-true", "64-true"]
_TransformerEngine = Literal["transformer-engine", "transformer-engine-float16"]
PrecisionTypes = Literal[_Plain, _Mixed, _True, _TransformerEngine]
"""Names of precisions in NeMo, Megatron and Lightning: strings, or numbers of bits."""


_BASE_DTYPES: Final = {"bf16": torch.bfloat16, "16": torch.float16, "32": torch.float32, "64": torch.float64}


def _dtype_of(name: str | int) -> torch.dtype:
    if name in ("transformer-engine", "transformer-engine-float16"):  # Lightning's dtypes for weights next to float8
        return torch.float16 if name == "transformer-engine-float16" else torch.bfloat16
    return _BASE_DTYPES[str(name).removesuffix("-mixed").removesuffix("-true").removeprefix("fp")]


_DTYPES: Final = MappingProxyType({name: _dtype_of(name) for name in get_args(PrecisionTypes)})


def get_autocast_dtype(precision: PrecisionTypes | np.integer | torch.dtype) -> torch.dtype:
    """Return the dtype in which operations run at a given precision.

    Law: all names of a precision give the same dtype; a dtype gives itself.

    Args:
        precision: a name in `PrecisionTypes`, or a floating-point dtype, which is returned unchanged.

    Returns:
        `torch.float16`, `torch.bfloat16`, `torch.float32` or `torch.float64` for a name; `precision` for a dtype.

    Raises:
        ValueError: for an unknown name, or a dtype that isn't floating-point.

    Example:
        >>> get_autocast_dtype("bf16-mixed"), get_autocast_dtype(16)
        (torch.bfloat16, torch.float16)
    """
    if isinstance(precision, torch.dtype):
        if precision.is_floating_point:
            return precision
    elif isinstance(precision, str | int | np.integer) and precision in _DTYPES:
        return _DTYPES[as_int(precision)]
    known = ", ".join(repr(name) for name in _DTYPES)
    name = precision[:80] if isinstance(precision, str) else shown(precision)
    message = (
        f"Unsupported precision: {name}. "
        f"precision must be a floating-point torch.dtype or one of {known}, got precision={shown(precision)}."
    )
    raise ValueError(message)
