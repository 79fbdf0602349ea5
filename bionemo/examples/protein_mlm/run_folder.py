"""The folder of a run: its settings, pipeline and checkpoint, each file written completely or not at all."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs
import torch
from filelock import FileLock, Timeout

from bionemo.adapters.lightning import AtomicCheckpointIO, check_checkpoint
from bionemo.core.files import write_atomically
from bionemo.data import record_differences
from bionemo.data.pipeline.record import differences_as_text
from bionemo.examples.protein_mlm.bad_input import BadInputError
from bionemo.examples.protein_mlm.command_line import LIMITS

__all__ = [
    "Settings",
    "check_same_order",
    "find_checkpoint",
    "load_settings",
    "locked",
    "make_folder",
    "new_folder",
    "write_run",
]

_FILES: Final = ("run.json", "pipeline.json", "metrics.csv", "loss.png", "checkpoint.ckpt")
"""The files that a run writes into its folder."""


def _check_limits(_: object, field: "attrs.Attribute[int]", value: int) -> None:
    low, high = LIMITS[field.name]
    if not low <= value <= high:
        message = f"{field.name} must be in {low}..{high}, got {field.name}={value}."
        raise ValueError(message)


@attrs.frozen(kw_only=True)
class Settings:
    """The settings of a run. All of them but `steps` decide what it trains on."""

    fasta: str | None = None
    steps: int = attrs.field(default=500, validator=_check_limits)
    batch_size: int = attrs.field(default=16, validator=_check_limits)
    max_length: int = attrs.field(default=512, validator=_check_limits)
    seed: int = attrs.field(default=42, validator=_check_limits)
    packed: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))


def new_folder() -> Path:
    """Create and return the first folder `runs/protein_mlm-N` that does not exist.

    Raises:
        BadInputError: if the folder can't be created.
    """
    number = 1
    while True:
        folder = Path("runs") / f"protein_mlm-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            message = f"{folder}: can't be used as a run folder ({error.strerror}). Choose another with --out."
            raise BadInputError(message) from error
        else:
            return folder


def make_folder(folder: Path, /) -> None:
    """Create the folder of a new run, or accept an existing folder that holds no run.

    Raises:
        BadInputError: if the folder already holds a run, or can't be created or written to.
    """
    try:
        if any((folder / name).exists() for name in _FILES):
            message = (
                f"{folder}: already holds a run, or files with the names of a run's files. "
                f"Resume it with --resume {folder}, or choose another folder with --out."
            )
            raise BadInputError(message)
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        message = f"{folder}: can't be used as a run folder ({error.strerror}). Choose another with --out."
        raise BadInputError(message) from error


@contextmanager
def locked(folder: Path, /) -> Iterator[None]:
    """Hold the lock of a run's folder: only one process trains in it. The lock ends with the process, however it ends.

    Raises:
        BadInputError: if another process holds it, or the folder can't be written to.
    """
    lock = FileLock(folder / "run.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        message = (
            f"{folder}: another process trains in this folder. Wait for its end or stop it, or start a new run in "
            "another folder with --out."
        )
        raise BadInputError(message) from error
    except OSError as error:
        message = f"{folder}: can't be used as a run folder ({error.strerror}). Choose another with --out."
        raise BadInputError(message) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # while it is locked: who has it open sees that it is gone
        lock.release()


def write_run(folder: Path, /, *, settings: Settings, record: Mapping[str, Any]) -> None:
    """Write `pipeline.json`, the record of what the run reads, then `run.json`, which marks the folder as a run."""
    _write_json(folder / "pipeline.json", record)
    _write_json(folder / "run.json", attrs.asdict(settings))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, lambda file: file.write(json.dumps(content, indent=2).encode()))


def _read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file of a run."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{path.parent}: there is no run to resume (no {path.name}). Start a new run with --out."
        raise BadInputError(message) from error
    except (ValueError, TypeError, OSError) as error:
        message = f"{path}: can't be read ({error}). Start a new run with --out."
        raise BadInputError(message) from error


def load_settings(folder: Path, /) -> Settings:
    """Return the settings of the run in a folder.

    Raises:
        BadInputError: if the folder holds no run, or its `run.json` is not valid.
    """
    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(_read_json(folder / "run.json"), Settings)
    except (cattrs.BaseValidationError, TypeError, ValueError) as error:
        message = f"{folder / 'run.json'}: not the settings of a run. Start a new run with --out."
        raise BadInputError(message) from error


def check_same_order(folder: Path, record: Mapping[str, Any], /) -> None:
    """Check that the run in a folder reads the same batches as `record`.

    Raises:
        BadInputError: if it doesn't; the message lists the fields that differ.
    """
    differences = record_differences(_read_json(folder / "pipeline.json"), record)
    if differences:
        message = (
            f"{folder}: the run was started with other settings or data: {differences_as_text(differences)}. "
            "Resume it with the original ones, or start a new run with --out."
        )
        raise BadInputError(message)


def find_checkpoint(folder: Path, /) -> Path | None:
    """Return the path of the checkpoint of the run in a folder, or None if there is none yet.

    Raises:
        BadInputError: if the checkpoint is truncated, damaged, unreadable, or not one of this program.
    """
    path = folder / "checkpoint.ckpt"
    if not path.exists():
        return None
    remedy = "Restore a good copy, or delete it to restart from step 0."
    damaged = BadInputError(f"{path}: the checkpoint is truncated or damaged. {remedy}")
    try:
        check_checkpoint(path)
        checkpoint = _load(path, remedy)
    except OSError as error:
        message = f"{path}: the checkpoint can't be read ({error.strerror}). Make it readable and try again."
        raise BadInputError(message) from error
    except ValueError as error:
        raise damaged from error
    if not (isinstance(checkpoint, dict) and "global_step" in checkpoint):
        message = f"{path}: not a checkpoint of a run: it holds no step. {remedy}"
        raise BadInputError(message)
    return path


def _load(path: Path, remedy: str) -> Any:
    """Return what an undamaged checkpoint holds."""
    try:
        return AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
    except (ValueError, RuntimeError) as error:
        kinds = ", ".join(torch.serialization.get_unsafe_globals_in_checkpoint(path)) or "other objects"
        message = (
            f"{path}: the checkpoint is whole, but holds {kinds}, which this program doesn't save and won't load. "
            f"{remedy}"
        )
        raise BadInputError(message) from error
