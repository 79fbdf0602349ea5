"""Other libraries to measure against, each in a folder of its own, so that none hides this one.

bionemo-core 2.4.5 has our distribution's name. Its files, and the extensions of the others, are loaded by their path.
"""

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / ".cache" / "peers"


class Peer(NamedTuple):
    """Something to measure, or the reason why it can't be."""

    name: str
    function: Any
    reason: str = ""


def _install(folder_name: str, *requirements: str) -> Path:
    folder = FOLDER / folder_name
    if not folder.exists():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(folder),
            *requirements,
        ]
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command
    return folder


def _load(path: Path) -> ModuleType:
    name = path.name.split(".")[0]  # an extension knows itself by this name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"path must be that of a Python file or extension, got {path}."
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _peer(name: str, requirement: str, pattern: str, pick: Callable[[ModuleType], Any]) -> Peer:
    try:
        (path,) = _install(requirement, requirement).glob(pattern)
        return Peer(name, pick(_load(path)))
    except subprocess.CalledProcessError as error:
        return Peer(name, None, f"not installed: {error.stderr.strip().splitlines()[-1]}")
    except (ImportError, AttributeError, ValueError) as error:
        return Peer(name, None, f"not loaded: {error}")


def bionemo_permute() -> Peer:
    """Return bionemo-core 2.4.5's `permute(index, length, seed)`."""
    path = "bionemo/core/data/permute.py"
    return _peer("bionemo-core 2.4.5 permute", "bionemo-core==2.4.5", path, lambda module: module.permute)


def bionemo_resampler() -> Peer:
    """Return bionemo-core 2.4.5's `PRNGResampleDataset`."""
    path = "bionemo/core/data/resamplers.py"
    return _peer(
        "bionemo-core 2.4.5 PRNGResampleDataset",
        "bionemo-core==2.4.5",
        path,
        lambda module: module.PRNGResampleDataset,
    )


def grain_shuffle() -> Peer:
    """Return grain's compiled `index_shuffle(index, last, seed, rounds)`."""
    return _peer(
        "grain 0.2.18 index_shuffle",
        "grain==0.2.18",
        "grain/_src/python/experimental/index_shuffle/python/index_shuffle_module.*so",
        lambda module: module.index_shuffle,
    )


def megatron_blend() -> Peer:
    """Return Megatron's compiled `build_blending_indices`."""
    return _peer(
        "megatron-core 0.16.1 build_blending_indices",
        "megatron-core==0.16.1",
        "megatron/core/datasets/helpers_cpp.*so",
        lambda module: module.build_blending_indices,
    )


def grain_dataset() -> Peer:
    """Return grain's `MapDataset`."""
    name = "grain 0.2.18 MapDataset"
    needs = ("absl-py", "array-record", "cloudpickle", "etils", "portpicker", "protobuf")
    try:
        sys.path.append(str(_install("grain==0.2.18 with what it needs", "grain==0.2.18", *needs)))
        return Peer(name, importlib.import_module("grain").MapDataset)
    except subprocess.CalledProcessError as error:
        return Peer(name, None, f"not installed: {error.stderr.strip().splitlines()[-1]}")
    except ImportError as error:
        return Peer(name, None, f"not loaded: {error}")
