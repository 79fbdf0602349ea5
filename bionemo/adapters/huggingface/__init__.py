"""accelerate and transformers' Trainer: loaders whose position is in their checkpoints.

Importing this package imports neither library; each is imported when it is needed.
"""

from typing import TYPE_CHECKING, Any

from bionemo.adapters.huggingface.accelerated import AcceleratedLoader, accelerate_loader
from bionemo.core.extras import require

if TYPE_CHECKING:
    from bionemo.adapters.huggingface.trainer import PipelineTrainer

__all__ = ["AcceleratedLoader", "PipelineTrainer", "accelerate_loader"]


def __getattr__(name: str) -> Any:
    """Return `PipelineTrainer`, a subclass of transformers' Trainer, whose import takes seconds."""
    if name == "PipelineTrainer":
        for library in ("accelerate", "transformers"):
            require(library, extra="huggingface")
        from bionemo.adapters.huggingface.trainer import PipelineTrainer  # noqa: PLC0415

        return PipelineTrainer
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
