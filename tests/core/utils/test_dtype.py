"""Names of precisions."""

from typing import get_args

import pytest
import torch

from bionemo.core.utils.dtype import PrecisionTypes, get_autocast_dtype

NAMES = {
    torch.float16: ("fp16", "16", 16, "16-mixed", "fp16-mixed", "16-true", "fp16-true", "transformer-engine-float16"),
    torch.bfloat16: ("bf16", "bf16-mixed", "bf16-true", "transformer-engine"),
    torch.float32: ("fp32", "32", 32, "fp32-mixed", "32-true"),
    torch.float64: ("fp64", "64", 64, "64-true"),
}


def test_every_name_has_its_dtype() -> None:
    assert {name: dtype for dtype, names in NAMES.items() for name in names} == {
        name: get_autocast_dtype(name) for name in get_args(PrecisionTypes)
    }


def test_every_precision_of_lightning_is_known() -> None:
    from lightning.fabric.connector import _PRECISION_INPUT_INT, _PRECISION_INPUT_STR, _PRECISION_INPUT_STR_ALIAS

    for kind in (_PRECISION_INPUT_INT, _PRECISION_INPUT_STR, _PRECISION_INPUT_STR_ALIAS):
        for name in get_args(kind):
            assert get_autocast_dtype(name).is_floating_point


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn])
def test_a_floating_point_dtype_is_returned_unchanged(dtype: torch.dtype) -> None:
    assert get_autocast_dtype(dtype) is dtype


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("precision", ["bf8", "", "FP16", 8, 16.0, True, None, torch.int64, torch.bool, ["16"]])
def test_anything_else_is_refused_with_the_known_names(precision: object) -> None:
    with pytest.raises(
        ValueError, match=r"precision must be .* one of 'fp16', 'bf16'.*'64', .*16, 32, 64.*, got precision="
    ):
        get_autocast_dtype(precision)
