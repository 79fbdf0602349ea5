"""The module path of bionemo-core 2.x for `bionemo.core.utils.dtype`, with its names of precisions and its tables."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

import torch

from bionemo.core.utils.dtype import get_autocast_dtype

__all__ = ["PrecisionTypes", "dtype_to_precision", "get_autocast_dtype", "precision_to_dtype"]

PrecisionTypes = Literal["fp16", "bf16", "fp32", "bf16-mixed", "fp32-mixed", "16-mixed", "fp16-mixed", 16, 32]
"""Names of precisions in 2.x, e.g. as choices of a command line; `bionemo.core.utils.dtype` has more."""

precision_to_dtype: Final[Mapping[str | int, torch.dtype]] = MappingProxyType(
    {name: get_autocast_dtype(name) for name in get_args(PrecisionTypes)}
)
"""The dtype of each name."""

dtype_to_precision: Final[Mapping[torch.dtype, str | int]] = MappingProxyType(
    {torch.float16: 16, torch.bfloat16: "bf16-mixed", torch.float32: 32}
)
"""The name of each dtype, as Lightning's `Trainer(precision=...)` takes it."""
