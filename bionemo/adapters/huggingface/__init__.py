"""accelerate and transformers' Trainer: loaders whose position is in their checkpoints.

Importing this package imports neither library; each is imported when it is needed.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

from bionemo.adapters.huggingface.accelerated import AcceleratedLoader, accelerate_loader
from bionemo.core.extras import require

if TYPE_CHECKING:
    from bionemo.adapters.huggingface.evaluation import gather_parts
    from bionemo.adapters.huggingface.trainer import PipelineTrainer

__all__ = ["AcceleratedLoader", "PipelineTrainer", "accelerate_loader", "gather_parts"]

_LIBRARIES: Final = {
    "gather_parts": ("evaluation", ("accelerate",)),
    "PipelineTrainer": ("trainer", ("accelerate", "transformers")),
}
"""The modules of names that need other libraries, whose import takes seconds."""


def __getattr__(name: str) -> Any:
    if name not in _LIBRARIES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    module, libraries = _LIBRARIES[name]
    for library in libraries:
        require(library, extra="huggingface")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
