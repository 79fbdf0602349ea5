"""Libraries to compare with, each installed into a folder of its own, so that none shadows this one.

bionemo-core 2.4.5 has the name of our distribution, so its files are loaded by path; so are the others' extensions.
"""

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / ".cache" / "peers"
GRAIN = ("grain==0.2.18", "absl-py", "array-record", "cloudpickle", "etils", "portpicker", "protobuf")
MOSAIC = ("mosaicml-streaming==0.13.0", "Brotli", "python-snappy", "cramjam", "zstd", "xxhash", "catalogue")
LITDATA = ("litdata==0.2.76", "lightning-utilities", "obstore")


class Peer(NamedTuple):
    """A function to compare with, or the reason why it isn't available."""

    name: str
    function: Any
    reason: str = ""


def install(folder_name: str, *requirements: str) -> Path:
    """Return the folder that distributions are installed into, without what they depend on; at first, install them."""
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
    name = path.name.split(".")[0]  # an extension module must be loaded under its own name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"path must be that of a Python file or extension, got {path}."
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _peer(name: str, make: Callable[[], Any]) -> Peer:
    try:
        return Peer(name, make())
    except subprocess.CalledProcessError as error:
        return Peer(name, None, f"not installed: {error.stderr.strip().splitlines()[-1]}")
    except (ImportError, AttributeError, ValueError) as error:
        return Peer(name, None, f"not loaded: {error}")


def _module(requirement: str, pattern: str) -> ModuleType:
    """Load the one file of a distribution that matches a pattern, without its package."""
    (path,) = install(requirement, requirement).glob(pattern)
    return _load(path)


def bionemo_permute() -> Peer:
    """Return bionemo-core 2.4.5's `permute(index, length, seed)`."""
    path = "bionemo/core/data/permute.py"
    return _peer("bionemo-core 2.4.5 permute", lambda: _module("bionemo-core==2.4.5", path).permute)


def bionemo_resampler() -> Peer:
    """Return bionemo-core 2.4.5's `PRNGResampleDataset`."""
    path = "bionemo/core/data/resamplers.py"
    name = "bionemo-core 2.4.5 PRNGResampleDataset"
    return _peer(name, lambda: _module("bionemo-core==2.4.5", path).PRNGResampleDataset)


def bionemo_pad() -> Peer:
    """Return bionemo-core 2.4.5's `pad_token_ids`."""
    path = "bionemo/core/utils/batching_utils.py"
    return _peer("bionemo-core 2.4.5 pad_token_ids", lambda: _module("bionemo-core==2.4.5", path).pad_token_ids)


def grain_shuffle() -> Peer:
    """Return grain's compiled `index_shuffle(index, last, seed, rounds)`."""
    path = "grain/_src/python/experimental/index_shuffle/python/index_shuffle_module.*so"
    return _peer("grain 0.2.18 index_shuffle", lambda: _module("grain==0.2.18", path).index_shuffle)


def megatron_blend() -> Peer:
    """Return Megatron's compiled `build_blending_indices`."""
    path, name = "megatron/core/datasets/helpers_cpp.*so", "megatron-core 0.16.1 build_blending_indices"
    return _peer(name, lambda: _module("megatron-core==0.16.1", path).build_blending_indices)


def grain_dataset() -> Peer:
    """Return grain's `MapDataset`."""

    def make() -> Any:
        sys.path.append(str(grain_folder()))
        return importlib.import_module("grain").MapDataset

    return _peer("grain 0.2.18 MapDataset", make)


def grain_packing() -> Peer:
    """Return grain's module, for `experimental.BestFitPackIterDataset`."""

    def make() -> Any:
        grain_dataset()  # installs it
        return importlib.import_module("grain")

    return _peer("grain 0.2.18 BestFitPackIterDataset", make)


def trl_packing() -> Peer:
    """Return TRL's `pack_dataset`."""

    def make() -> Any:
        sys.path.append(str(install("trl==1.16.0", "trl==1.16.0")))
        return importlib.import_module("trl.data_utils").pack_dataset

    return _peer("TRL 1.16.0 pack_dataset(strategy='bfd')", make)


def scdataset() -> Peer:
    """Return scDataset's loader of the cells in an h5ad file, as a function of the path and options.

    It delivers dense rows and labels by scDataset's own adapter for AnnData, or the rows of a CSR matrix.
    """

    def make() -> Any:
        sys.path.append(str(scdataset_folder()))
        module, transforms = map(importlib.import_module, ("scdataset", "scdataset.transforms"))

        def load(path: Path, *, block_size: int, batch_size: int, fetch_factor: int, dense: bool) -> Any:
            cells = importlib.import_module("anndata").read_h5ad(path, backed="r")
            options: dict[str, Any] = {"fetch_callback": lambda data, indices: data.X[indices]}
            if dense:
                options = {"fetch_transform": partial(transforms.adata_to_mindex, columns=["label"])}
            strategy = module.BlockShuffling(block_size=block_size)
            return module.scDataset(cells, strategy, batch_size, fetch_factor, seed=1, **options)

        return load

    return _peer("scDataset 0.3.0", make)


def huggingface_dataset() -> Peer:
    """Return Hugging Face's module `datasets`, for `Dataset.from_dict` and `load_from_disk`; tests need it anyway."""

    def make() -> Any:
        module = importlib.import_module("datasets")
        module.disable_progress_bars()
        return module

    return _peer("Hugging Face datasets", make)


def without_vision() -> None:
    """Stand in for torchvision, which MosaicML Streaming imports for images, and which needs another build of torch."""
    for name in ("", ".datasets", ".transforms", ".transforms.functional"):
        module: Any = ModuleType(f"torchvision{name}")
        module.__spec__, module.VisionDataset, module.to_tensor = ModuleSpec(module.__name__, None), object, None
        sys.modules[module.__name__] = module


def mosaic_folder() -> Path:
    """Return the folder of MosaicML Streaming."""
    return install(" ".join(MOSAIC), *MOSAIC)


def mosaic() -> Peer:
    """Return MosaicML's module `streaming`."""

    def make() -> Any:
        sys.path.append(str(mosaic_folder()))
        without_vision()
        return importlib.import_module("streaming")

    return _peer("mosaicml-streaming 0.13.0", make)


def litdata_folder() -> Path:
    """Return the folder of litdata."""
    return install(" ".join(LITDATA), *LITDATA)


def litdata() -> Peer:
    """Return the module `litdata`."""

    def make() -> Any:
        sys.path.append(str(litdata_folder()))
        return importlib.import_module("litdata")

    return _peer("litdata 0.2.76", make)


def grain_folder() -> Path:
    """Return the folder of grain and what it depends on."""
    return install("grain==0.2.18 with dependencies", *GRAIN)


def scdataset_folder() -> Path:
    """Return the folder of scDataset."""
    return install("scdataset==0.3.0", "scdataset==0.3.0")
