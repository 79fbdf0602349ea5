"""Folders of distributed checkpoints: complete or absent, newest first, and no more than wanted."""

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.utils import _pytree as pytree

from bionemo.adapters.distributed.digests import METADATA, write_digest
from bionemo.core.files import full_disk_error, newest_first

__all__ = ["AtomicFolderWriter", "complete_checkpoints"]


def complete_checkpoints(folder: Path, /) -> list[Path]:
    """Return the complete checkpoints of a folder, newest first; an empty list if there is no such folder.

    Example:
        >>> complete_checkpoints(Path("no such folder"))
        []
    """
    entries = os.scandir(folder) if folder.exists() else ()
    written = (Path(entry.path, METADATA) for entry in entries if entry.name.startswith("step-"))
    return [path.parent for path in newest_first(written)]


class AtomicFolderWriter(FileSystemWriter):
    """The storage of one checkpoint, whose folder gets its name once all ranks' files are on disk.

    Until then it has a hidden name, as has a checkpoint that is being removed: a killed process leaves no folder that
    looks complete. The next save removes hidden folders.

    Args:
        path: folder of the checkpoint, named `step-N`. One that exists is replaced.
        keep: number of complete checkpoints that are kept beside each other; None for all.
    """

    def __init__(self, path: Path, *, keep: int | None) -> None:
        super().__init__(path.with_name(f".{path.name}.partial"), sync_files=True)
        self.complete_path = path
        self.keep = keep

    def stage(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Return a copy of the state on the CPU; not all releases of torch copy what is there already."""
        copied = pytree.tree_map_only(
            Tensor, lambda part: part.clone() if part.device.type == "cpu" else part, state_dict
        )
        return super().stage(copied)

    def prepare_local_plan(self, plan: Any) -> Any:
        """Return the plan of this rank; the folder is made later, by one rank."""
        return plan

    def prepare_global_plan(self, plans: list[Any]) -> list[Any]:
        """Make an empty folder. One rank calls this, before any rank writes."""
        for partial in self.complete_path.parent.glob(".step-*.partial"):
            shutil.rmtree(partial)
        Path(self.path).mkdir(parents=True)
        return super().prepare_global_plan(plans)

    def write_data(self, plan: Any, planner: Any) -> Any:
        """Write this rank's files, and beside each one its digest.

        Raises:
            OSError: if the disk is full. Torch's own error hides that, and its cause doesn't reach other ranks.
        """
        try:
            written = super().write_data(plan, planner)
        except RuntimeError as error:
            full = full_disk_error(error)
            if full is None:
                raise
            raise OSError(full.errno, full.strerror, self.path) from error
        for name in {result.storage_data.relative_path for result in written.wait()}:
            write_digest(Path(self.path, name))
        return written

    def finish(self, metadata: Any, results: Any) -> None:
        """Name the folder and remove old ones. One rank calls this, after all ranks have written."""
        super().finish(metadata, results)
        write_digest(Path(self.path, METADATA))
        if self.complete_path.exists():
            _remove(self.complete_path)
        Path(self.path).rename(self.complete_path)
        others = [path for path in complete_checkpoints(self.complete_path.parent) if path != self.complete_path]
        for path in () if self.keep is None else others[self.keep - 1 :]:
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a checkpoint: first its name, so that a killed process leaves no incomplete one."""
    hidden = path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial"))
    shutil.rmtree(hidden)
