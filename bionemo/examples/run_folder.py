"""The folder of a run: its settings, its order and its checkpoint, each written whole or not at all."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs

from bionemo.adapters.lightning import AtomicCheckpointIO
from bionemo.core.utils.files import write_atomically
from bionemo.data.record import differences_as_text, record_differences
from bionemo.examples.bad_input import BadInputError
from bionemo.examples.command_line import LIMITS

__all__ = [
    "Settings",
    "check_same_order",
    "find_checkpoint",
    "load_settings",
    "make_folder",
    "new_folder",
    "write_run",
]


_FILES: Final = ("run.json", "pipeline.json", "metrics.csv", "loss.png", "checkpoint.ckpt")
"""What a run writes into its folder."""


def _check_limits(_: object, field: "attrs.Attribute[int]", value: int) -> None:
    low, high = LIMITS[field.name]
    if not low <= value <= high:
        message = f"{field.name} must be in {low}..{high}, got {field.name}={value}."
        raise ValueError(message)


@attrs.frozen(kw_only=True)
class Settings:
    """What a run was asked for; all but the steps decides what it trains on."""

    fasta: str | None = None
    steps: int = attrs.field(default=500, validator=_check_limits)
    batch_size: int = attrs.field(default=16, validator=_check_limits)
    max_length: int = attrs.field(default=512, validator=_check_limits)
    seed: int = attrs.field(default=42, validator=_check_limits)


def new_folder() -> Path:
    """Make and return the first folder `runs/protein_mlm-N` that does not exist.

    Raises:
        BadInputError: if it can't be made.
    """
    number = 1
    while True:
        folder = Path("runs") / f"protein_mlm-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            message = f"{folder}: can't be the folder of a run ({error.strerror}). Choose another by --out."
            raise BadInputError(message) from error
        else:
            return folder


def make_folder(folder: Path, /) -> None:
    """Make the folder of a new run, or take it if it stands and holds none.

    Raises:
        BadInputError: if it holds a run already, or can't be made or written to.
    """
    try:
        if any((folder / name).exists() for name in _FILES):
            message = (
                f"{folder}: holds a run already, or files of its names. "
                f"Go on by --resume {folder}, or choose another --out."
            )
            raise BadInputError(message)
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        message = f"{folder}: can't be the folder of a run ({error.strerror}). Choose another --out."
        raise BadInputError(message) from error


def write_run(folder: Path, /, *, settings: Settings, record: Mapping[str, Any]) -> None:
    """Write `pipeline.json`, the canonical record and `order_id`, and then `run.json`, a run's mark."""
    _write_json(folder / "pipeline.json", record)
    _write_json(folder / "run.json", attrs.asdict(settings))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, lambda file: file.write(json.dumps(content, indent=2).encode()))


def _read_json(path: Path) -> dict[str, Any]:
    """Return what a file of a run holds."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{path.parent}: there is no run to resume (no {path.name}). Start a new one by --out."
        raise BadInputError(message) from error
    except (ValueError, TypeError, OSError) as error:
        message = f"{path}: can't be read ({error}). Start a new run by --out."
        raise BadInputError(message) from error


def load_settings(folder: Path, /) -> Settings:
    """Return what the run in a folder was asked for.

    Raises:
        BadInputError: if the folder holds no run, or its `run.json` can't be read.
    """
    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(_read_json(folder / "run.json"), Settings)
    except (cattrs.BaseValidationError, TypeError, ValueError) as error:
        message = f"{folder / 'run.json'}: not the settings of a run. Start a new run by --out."
        raise BadInputError(message) from error


def check_same_order(folder: Path, record: Mapping[str, Any], /) -> None:
    """Check that what the run in a folder reads is what `record` says.

    Raises:
        BadInputError: if it isn't, with the fields that differ.
    """
    differences = record_differences(_read_json(folder / "pipeline.json"), record)
    if differences:
        message = (
            f"{folder}: the run has another order: {differences_as_text(differences)}. "
            "Resume it with its own settings, or start a new run by --out."
        )
        raise BadInputError(message)


def find_checkpoint(folder: Path, /) -> Path | None:
    """Return the checkpoint of the run in a folder; None if it has none yet.

    Raises:
        BadInputError: if the checkpoint isn't whole.
    """
    path = folder / "checkpoint.ckpt"
    if not path.exists():
        return None
    damaged = BadInputError(
        f"{path}: the checkpoint is cut short or damaged. Put a whole one there, or delete it to start the run anew."
    )
    try:
        checkpoint = AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
    except OSError as error:
        message = f"{path}: the checkpoint can't be read ({error.strerror}). Make it readable and try again."
        raise BadInputError(message) from error
    except (ValueError, RuntimeError) as error:
        raise damaged from error
    if not (isinstance(checkpoint, dict) and "global_step" in checkpoint):
        raise damaged
    return path
