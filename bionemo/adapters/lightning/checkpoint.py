"""Checkpoint files that are written whole or not at all, and checked before they are loaded."""

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

import fsspec  # type: ignore[import-untyped]
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from bionemo.adapters.lightning.digest import damage, has_digest, is_archive, save_with_digest, size
from bionemo.core.checked import checked
from bionemo.core.files import newest_first, write_atomically

__all__ = ["AtomicCheckpointIO", "check_checkpoint", "check_destinations", "find_checkpoint"]

_SCHEMES: Final = frozenset(fsspec.available_protocols())
"""The starts of URLs that Lightning can write to, e.g. "s3"."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint files that are written whole or not at all, and checked before they are loaded.

    A checkpoint is written under a temporary name in its own folder and renamed once it is on disk: a killed process
    leaves the old file or the new one. (Lightning itself writes to the system's temporary folder first; if that is
    another file system, the final move is a copy, which isn't atomic.)

    The file is the zip archive of `torch.save`. Its comment is `sha256:` and the digest of all bytes before the
    comment: `torch.load` still reads the file, and `head -c -71 FILE | sha256sum` prints the digest. `load_checkpoint`
    verifies the digest before it loads anything: a single changed, missing or added byte is an error.

    Limits:
        - A checkpoint without a digest, e.g. from Lightning's default plugin, is checked by the CRCs of its archive,
          which cover every record. A file written under `torch.serialization.set_crc32_options(False)` has none.
        - A checkpoint that lost exactly its digest and the digest's length is treated as one without a digest.
        - A file in the format of torch before 1.6 is not an archive and can't be checked.
        - `LightningModule.load_from_checkpoint` and `torch.load` don't use this plugin. Call `check_checkpoint` first.
        - The digest detects accidental damage, not tampering.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "step=1.ckpt"
        ...     AtomicCheckpointIO().save_checkpoint({"global_step": 1}, path)
        ...     AtomicCheckpointIO().load_checkpoint(path)
        {'global_step': 1}
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint to a local file.

        Raises:
            TypeError: if `storage_options` is given: it is for remote storage.
            ValueError: if `path` is not a local path.
            OSError: if the file can't be written, e.g. to a full disk; an existing file is left unchanged.
        """
        if storage_options is not None:
            message = f"storage_options must be None for local files, got storage_options={storage_options!r}."
            raise TypeError(message)
        path = _local(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: save_with_digest(checkpoint, file))

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Callable[..., Any] | torch.device | str | dict[str, str] | None = lambda storage, _: storage,
        weights_only: bool | None = None,  # noqa: FBT001 - the signature is Lightning's
    ) -> dict[str, Any]:
        """Return the contents of a checkpoint, after verifying that its bytes are those that were written.

        Args:
            path: a local file.
            map_location: device of the tensors, as for `torch.load`; the CPU by default.
            weights_only: as for `torch.load`.

        Raises:
            FileNotFoundError: if there is no such file.
            OSError: if it can't be read, e.g. because it is a folder.
            ValueError: if it is damaged (the message names the newest whole checkpoint in its folder); if it holds
                objects that `weights_only` does not allow (the message names their types); or if it is not local.
        """
        path = _local(path)
        with path.open("rb") as file:
            _check(path, file)
            file.seek(0)
            try:
                checkpoint: dict[str, Any] = torch.load(file, map_location=map_location, weights_only=weights_only)
            except Exception as error:
                message = _explanation(path, file, error)
                if message is None:
                    raise
                raise ValueError(message) from error
        return checkpoint


@checked
def check_checkpoint(path: str | os.PathLike[str], /) -> None:
    """Check that the bytes of a checkpoint are those that were written, without loading anything.

    A checkpoint of `AtomicCheckpointIO` is checked by its digest, any other by the CRCs of its archive. The file is
    read once, in constant memory.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it can't be read, e.g. because it is a folder.
        ValueError: if it is damaged or not a checkpoint; the message names the newest whole checkpoint in its folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "step=1.ckpt"
        ...     AtomicCheckpointIO().save_checkpoint({"global_step": 1}, path)
        ...     check_checkpoint(path)
    """
    path = _local(path)
    with path.open("rb") as file:
        _check(path, file)


@checked
def find_checkpoint(folder: str | os.PathLike[str], /) -> Path | None:
    """Return the newest whole checkpoint in a folder, or None if there is none or the folder does not exist.

    Only files named `*.ckpt` in the folder itself are considered, not those in subfolders. The newest is the one with
    the latest modification time; ties are broken by name, comparing numbers as numbers: `step=10` is newer than
    `step=9`. Damaged checkpoints and the `.partial` files of killed processes are skipped.

    Raises:
        NotADirectoryError: if `folder` is a file.
        OSError: if the folder or one of the checkpoints can't be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for step in (9, 10):
        ...         AtomicCheckpointIO().save_checkpoint({"global_step": step}, Path(folder) / f"step={step}.ckpt")
        ...     newest = find_checkpoint(folder)
        ...     _ = newest.write_bytes(newest.read_bytes()[:-1])  # remove the last byte
        ...     newest.name, find_checkpoint(folder).name
        ('step=10.ckpt', 'step=9.ckpt')
    """
    return _first_whole(_newest_first(_local(folder, name="folder", kind="folder")))


def _first_whole(paths: Iterable[Path]) -> Path | None:
    """Return the first path that is a whole checkpoint, or None."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:  # another process may remove it
            if damage(file) is None:
                return path
    return None


def _newest_first(folder: Path) -> list[Path]:
    """Return the paths of a folder's `*.ckpt` files, newest first; an empty list if there is no such folder."""
    entries = os.scandir(folder) if folder.exists() else ()
    return newest_first(Path(entry.path) for entry in entries if entry.name.endswith(".ckpt") and entry.is_file())


def check_destinations(trainer: Any, /) -> None:
    """Check that a trainer whose checkpoints are written by `AtomicCheckpointIO` writes them to local folders.

    Raises:
        ValueError: if the folder of one of its callbacks is a URL.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> check_destinations(Trainer(logger=False, accelerator="cpu", plugins=[AtomicCheckpointIO()]))
    """
    if isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO):
        for callback in trainer.checkpoint_callbacks:
            _local(getattr(callback, "dirpath", None) or "", name="dirpath", kind="folder")


def _local(path: str | os.PathLike[str], *, name: str = "path", kind: str = "file") -> Path:
    """Return a path after checking that it is local.

    `Path("s3://a")` is `s3:/a`, which Lightning resolves in the working directory: no local folder is named like that.
    """
    schemes = {part[:-1].lower() for part in Path(path).parts if part.endswith(":")}
    if "://" in str(path) or schemes & _SCHEMES:
        message = (
            f"{name} must be a local {kind}, got {name}={str(path)!r}. Give a local one. To train with remote "
            "checkpoints, leave AtomicCheckpointIO out: Lightning's own plugin writes to URLs."
        )
        raise ValueError(message)
    return Path(path)


def _check(path: Path, file: BinaryIO) -> None:
    """Raise a ValueError if an open checkpoint is damaged."""
    found = damage(file)
    if found is not None:
        got = f"a file of {size(file):,} bytes {found}" if size(file) else "a file of 0 bytes"
        message = f"path must be a whole checkpoint, got path={str(path)!r}, {got}. {_remedy(path)}"
        raise ValueError(message)


def _remedy(path: Path) -> str:
    """Return the part of a message that says how to recover from a damaged checkpoint."""
    folder = str(path.parent)
    try:
        found = _first_whole(other for other in _newest_first(path.parent) if other != path)
    except OSError as error:
        return f"Resume from another checkpoint; those in {folder!r} can't be searched ({error})."
    if found is None:
        return f"There is no whole checkpoint in {folder!r}: resume from a copy elsewhere, or restart the training."
    return f"Resume from {str(found)!r}, the newest whole checkpoint in the same folder."


def _explanation(path: Path, file: BinaryIO, error: Exception) -> str | None:
    """Return why torch can't load a file in which no damage was found, or None if torch's own error says it best."""
    got = f"got path={str(path)!r}, a file of {size(file):,} bytes"
    if is_archive(file) and str(error).startswith("Weights only load failed"):
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path) or re.findall(r"<class '(.+?)'>", str(error))
        types = ", ".join(named) or "objects of other types"
        return (
            f"path must hold only tensors and plain values if weights_only is on, {got} that is whole and holds "
            f"{types}. If you trust its author, load it with weights_only=False, e.g. by "
            "trainer.fit(..., weights_only=False)."
        )
    if has_digest(file) or isinstance(error, ImportError):
        return None
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"path must be a checkpoint that torch can load, {got} without a digest ({reason}). {_remedy(path)}"
