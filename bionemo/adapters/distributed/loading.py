"""The newest checkpoint of a folder, and the loading of one into a model, its optimizer and a loader."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.stateful import Stateful

from bionemo.adapters.distributed.digests import METADATA, damage
from bionemo.adapters.distributed.state import restore
from bionemo.adapters.distributed.storage import complete_checkpoints
from bionemo.core.checked import checked

__all__ = ["NO_OTHERS", "find_checkpoint", "is_distributed", "load_checkpoint", "local_folder", "without_warning"]

NO_OTHERS: Final[Mapping[str, Stateful]] = {}
"""The other objects of a checkpoint, by default."""


def is_distributed() -> bool:
    """Return whether this process is one of a process group.

    Example:
        >>> is_distributed()
        False
    """
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@contextmanager
def without_warning() -> Iterator[None]:
    """Run a block in which torch.distributed.checkpoint doesn't warn that there is no process group.

    Example:
        >>> with without_warning():
        ...     warnings.warn("torch.distributed is disabled")
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is (disabled|unavailable)")
        yield


@checked
def local_folder(folder: str | os.PathLike[str]) -> Path:
    """Return a folder as a path.

    Raises:
        ValueError: if it is a URL.

    Example:
        >>> local_folder("run").name
        'run'
    """
    if "://" in str(folder):
        message = f"folder must be local, or on a file system that all ranks have mounted, got folder={str(folder)!r}."
        raise ValueError(message)
    return Path(folder)


@checked
def find_checkpoint(folder: str | os.PathLike[str], /) -> Path | None:
    """Return the newest whole checkpoint in a folder, or None if there is none or the folder does not exist.

    Every rank must call it: the first one searches, all verify the files' digests, each a part of them, and all get the
    same answer. The newest is the one with the latest modification time. What a killed process was writing is skipped,
    and so is a checkpoint of which a file is damaged or missing.

    Raises:
        NotADirectoryError: if `folder` is a file.

    Example:
        >>> find_checkpoint("no such folder") is None
        True
    """
    return _first_whole(local_folder(folder), without=None)


def _first_whole(folder: Path, *, without: Path | None) -> Path | None:
    """Return the newest whole checkpoint but one that is known to be damaged."""
    found: list[Any] = [[]]
    if not is_distributed() or torch.distributed.get_rank() == 0:
        found = [complete_checkpoints(folder)]
    if is_distributed():
        torch.distributed.broadcast_object_list(found, src=0)
    return next((path for path in found[0] if path != without and _damage_on_ranks(path) is None), None)


def _damage_on_ranks(path: Path) -> str | None:
    """Return what is wrong with a checkpoint, the same on all ranks, each of which verifies a part; None if nothing."""
    if not is_distributed():
        return damage(path)
    found: list[str | None] = [None] * torch.distributed.get_world_size()
    mine = damage(path, part=torch.distributed.get_rank(), num_parts=len(found))
    torch.distributed.all_gather_object(found, mine)
    return next((one for one in found if one is not None), None)


@checked
def load_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Stateful,
    *,
    others: Mapping[str, Stateful] = NO_OTHERS,
) -> None:
    """Load a checkpoint of a `CheckpointWriter` into a model, its optimizer and a loader; every rank must call it.

    Law: training continues at the very next sample with the same weights, on any number of ranks.

    Args:
        path: folder of the checkpoint, e.g. from `find_checkpoint`.
        model: the same model, sharded in any way or not.
        optimizer: the same kind of optimizer.
        batches: a loader of the same order.
        others: objects of the same names as those saved.

    Raises:
        FileNotFoundError: if there is no complete checkpoint.
        ValueError: if a file of it is damaged or missing (the message names the newest whole checkpoint beside it); or
            if it has other weights or other names, or the loader refuses its state: nothing is changed then.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(model.parameters())
        >>> load_checkpoint("step-1", model, optimizer, batches=optimizer)
        Traceback (most recent call last):
        FileNotFoundError: path must be a complete checkpoint, got path='step-1'.
    """
    if not Path(path, METADATA).exists():
        message = f"path must be a complete checkpoint, got path={str(path)!r}."
        raise FileNotFoundError(message)
    found = _damage_on_ranks(Path(path))
    if found is not None:
        other = _first_whole(Path(path).parent, without=Path(path))
        remedy = "There is no whole one beside it." if other is None else f"Resume from {str(other)!r}, the newest one."
        message = f"path must be a whole checkpoint, got path={str(path)!r}, {found}. {remedy}"
        raise ValueError(message)
    saved = FileSystemReader(path).read_metadata().state_dict_metadata

    def read(state: dict[str, Any]) -> None:
        with without_warning():
            load(state, storage_reader=FileSystemReader(path))

    restore(saved, read, model, optimizer, batches, others=others)
