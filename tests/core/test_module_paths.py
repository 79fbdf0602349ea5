"""The module paths of bionemo-core 2.x: what code that was written for it imports, and what it gets."""

import importlib
from typing import get_args

import pytest
import torch

PATHS = {
    "bionemo.core": ["BIONEMO_CACHE_DIR"],
    "bionemo.core.api": ["BionemoModelConfig", "BionemoTrainableModelConfig", "Model", "ModelOutput"],
    "bionemo.core.data.multi_epoch_dataset": [
        "EpochIndex",
        "IdentityMultiEpochDatasetWrapper",
        "MultiEpochDataset",
        "MultiEpochDatasetResampler",
        "MultiEpochDatasetWrapper",
        "SizedDataset",
    ],
    "bionemo.core.data.permute": ["permute"],
    "bionemo.core.data.resamplers": ["PRNGResampleDataset"],
    "bionemo.core.model.config": [
        *("BionemoModelConfig", "BionemoTrainableModelConfig", "LossType", "Model", "ModelOutput", "ModelType"),
    ],
    "bionemo.core.utils.batching_utils": ["pad_token_ids"],
    "bionemo.core.utils.dtypes": ["PrecisionTypes", "dtype_to_precision", "get_autocast_dtype", "precision_to_dtype"],
    "bionemo.core.utils.random_utils": ["get_seed_from_rng", "random_numpy_context"],
    "bionemo.core.utils.subprocess_utils": ["run_subprocess_safely"],
}


@pytest.mark.parametrize("path", PATHS)
def test_a_module_path_has_its_names(path: str) -> None:
    module = importlib.import_module(path)
    assert [name for name in PATHS[path] if not hasattr(module, name)] == []


def test_a_path_has_the_same_objects_as_its_successor() -> None:
    for old, new in (
        ("bionemo.core.data.multi_epoch_dataset", "bionemo.data.multi_epoch_dataset"),
        ("bionemo.core.data.resamplers", "bionemo.data.resamplers"),
    ):
        for name in PATHS[old]:
            assert getattr(importlib.import_module(old), name) is getattr(importlib.import_module(new), name)


@pytest.mark.usefixtures("no_type_checks")
def test_precisions_are_those_of_2x() -> None:
    dtypes = importlib.import_module("bionemo.core.utils.dtypes")
    names = ("fp16", "bf16", "fp32", "bf16-mixed", "fp32-mixed", "16-mixed", "fp16-mixed", 16, 32)
    assert get_args(dtypes.PrecisionTypes) == tuple(dtypes.precision_to_dtype) == names
    for name in names:
        bits = str(name).removesuffix("-mixed").removeprefix("fp")
        expected = {"16": torch.float16, "bf16": torch.bfloat16, "32": torch.float32}[bits]
        assert dtypes.precision_to_dtype[name] == dtypes.get_autocast_dtype(name) == expected
    assert dict(dtypes.dtype_to_precision) == {torch.float16: 16, torch.bfloat16: "bf16-mixed", torch.float32: 32}
    with pytest.raises(ValueError, match="precision must be"):
        dtypes.get_autocast_dtype("x")
