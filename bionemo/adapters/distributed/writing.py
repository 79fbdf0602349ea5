"""Checkpoints of a sharded model, its optimizer and a loader, written in the background."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs
import torch
import torch.distributed
from torch import nn
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_saver import async_save, save
from torch.distributed.checkpoint.stateful import Stateful

from bionemo.adapters.distributed.loading import NO_OTHERS, is_distributed, local_folder, without_warning
from bionemo.adapters.distributed.state import capture
from bionemo.adapters.distributed.storage import AtomicFolderWriter
from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int
from bionemo.core.fields import Documented, check_size, to_int
from bionemo.core.files import FolderLock, folder_lock
from bionemo.data.testing import check_same_on_ranks

__all__ = ["CheckpointWriter"]


def _to_folder(folder: str | os.PathLike[str]) -> Path:  # mypy takes no decorated function for a converter
    return local_folder(folder)


def _to_keep(keep: AnyInt | None) -> int | None:
    return None if keep is None else to_int(keep)


def _check_keep(instance: object, field: "attrs.Attribute[Any]", keep: int | None) -> None:
    if keep is not None:
        check_size(instance, field, keep)


@attrs.define(eq=False)
class CheckpointWriter(metaclass=Documented):
    """Writer of a run's checkpoints, which torch.distributed.checkpoint writes while the training continues.

    Each checkpoint is a folder `step-N`. It appears under this name once all ranks' files are on disk: a killed process
    leaves no folder that looks complete. Every rank writes its own part of a sharded model, and one rank the loader's
    state, which is equal on all.

    Use it in a `with` block, at whose end the last checkpoint is complete. All ranks make the same calls. Without a
    process group, `save` returns when the checkpoint is complete. One run at a time writes into a folder: the block, or
    the first `save`, locks it (see `bionemo.core.files.folder_lock`), and a run that is started twice is refused.

    Laws: a checkpoint holds the weights, the optimizer's state and the loader's position as they were when `save` was
    called; `load_checkpoint` restores them on any number of ranks.

    Args:
        folder: folder of the checkpoints, which all ranks share. It is created if it doesn't exist.
        keep: number of complete checkpoints that are kept, the newest ones; None for all.

    Example:
        >>> import tempfile
        >>> from bionemo.adapters.distributed import find_checkpoint, load_checkpoint
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> from bionemo.data.pipes import loader
        >>> order = EpochOrder(length=5, seed=7)
        >>> batches = loader(Pipeline(order=order, sources="abcde", batch_size=2, seed=42))
        >>> model = nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with CheckpointWriter(folder) as checkpoints:
        ...         for step, batch in zip(range(1, 4), batches):
        ...             _ = checkpoints.save(step, model, optimizer, batches)
        ...     path = find_checkpoint(folder)
        ...     load_checkpoint(path, model, optimizer, batches)
        ...     path.name, batches.consumed_samples
        ('step-3', 6)
    """

    folder: Path = attrs.field(converter=_to_folder)
    keep: int | None = attrs.field(default=2, converter=_to_keep, validator=_check_keep, kw_only=True)
    _group: ProcessGroup | None = attrs.field(default=None, init=False, repr=False)
    _pending: tuple[Path, Future[Any]] | None = attrs.field(default=None, init=False, repr=False)
    _lock: FolderLock | None = attrs.field(default=None, init=False, repr=False)
    _is_locked: bool = attrs.field(default=False, init=False, repr=False)

    @checked
    def save(
        self,
        step: AnyInt,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Stateful,
        *,
        others: Mapping[str, Stateful] = NO_OTHERS,
    ) -> Path:
        """Copy the state of the run, start to write it, and return the folder that the checkpoint will have.

        The copy is made before this returns. If the checkpoint before is still being written, this waits for it.

        Args:
            step: number of optimizer steps that were made; a checkpoint of the same step is replaced.
            model: a model, sharded by `fully_shard` or not.
            optimizer: its optimizer.
            batches: a loader whose state consists of plain values and is equal on all ranks.
            others: other objects with a state by name, e.g. a schedule of learning rates. What differs between ranks is
                saved from one of them.

        Raises:
            RuntimeError: if the checkpoint before could not be written, or another process writes into the folder.
            TypeError: if the loader's state doesn't consist of plain values.
            ValueError: if the step or the loader's state differs between ranks.
        """
        self.wait()
        path = self.folder / f"step-{check_int(step, name='step')}"
        self._begin()
        state = capture(model, optimizer, batches, others=others)
        try:
            check_same_on_ranks({"step": path.name, "batches": batches.state_dict()}, group=self._group)
        except AssertionError as error:
            message = f"batches must have the same state on every rank: {error} Give every rank the same pipeline."
            raise ValueError(message) from error
        storage = AtomicFolderWriter(path, keep=self.keep)
        if self._group is None:
            with without_warning(), _named_errors(path):
                save(state, storage_writer=storage)
        else:
            written: Any = async_save(state, storage_writer=storage, process_group=self._group)
            self._pending = path, written
        return path

    def wait(self) -> None:
        """Wait until the last checkpoint is complete.

        Raises:
            RuntimeError: if it could not be written; the message names the rank and the reason.
        """
        if self._pending is not None:
            (path, future), self._pending = self._pending, None
            with _named_errors(path):
                future.result()

    def _begin(self) -> None:
        """Lock the folder, on one rank, and make the group by which the ranks agree on checkpoints."""
        if is_distributed() and self._group is None:
            # The training's own group can't be used: it may not exist for the CPU, and is in use by another thread.
            self._group = torch.distributed.new_group(backend="gloo")
        if self._is_locked:
            return
        refusal: list[Any] = [None]
        if self._group is None or torch.distributed.get_rank() == 0:
            try:
                self._lock = folder_lock(self.folder)
            except (OSError, RuntimeError) as error:
                refusal = [error]
        if self._group is not None:
            torch.distributed.broadcast_object_list(refusal, src=0, group=self._group)
        if refusal[0] is not None:
            raise refusal[0]
        self._is_locked = True

    def __enter__(self) -> "CheckpointWriter":  # noqa: PYI034 - beartype refuses Self
        self._begin()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.wait()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"The last checkpoint is incomplete, too: {failure}")
        finally:
            if self._lock is not None:
                self._lock.release()
            self._lock, self._is_locked = None, False


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointException as error:
        rank, (reason, _) = next(iter(error.failures.items()))
        message = f"{path} could not be written, on rank {rank}: {type(reason).__name__}: {reason}"
        raise RuntimeError(message) from error
