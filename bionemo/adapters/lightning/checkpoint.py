"""Checkpoints that are whole or not there."""

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from bionemo.core.utils.files import write_atomically

__all__ = ["AtomicCheckpointIO"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints written beside their place and moved there when whole: a killed process leaves none half-written.

    Lightning writes to the system's folder for temporary files first, and moving from there is a copy where that is
    another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint to a local file.

        Raises:
            TypeError: if `storage_options` are given: they are for other file systems.
            ValueError: if `path` is on another file system.
        """
        if storage_options is not None:
            message = f"storage_options must be None for local files, got storage_options={storage_options!r}."
            raise TypeError(message)
        if "://" in str(path):
            message = f"path must be that of a local file, got path={str(path)!r}. Leave this plugin out elsewhere."
            raise ValueError(message)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what a checkpoint holds.

        Raises:
            ValueError: if it was cut short, or is none.
        """
        try:
            checkpoint: dict[str, Any] = super().load_checkpoint(Path(path), *args, **kwargs)
        except FileNotFoundError:
            raise
        except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
            size = Path(path).stat().st_size if Path(path).is_file() else 0
            message = (
                f"path must be that of a whole checkpoint, got path={str(path)!r} of {size} bytes, which can't be "
                "read: it was cut short, or is none. Go on from another one."
            )
            raise ValueError(message) from error
        return checkpoint
