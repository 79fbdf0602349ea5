"""The public module paths of bionemo-core 2.x."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bionemo.core.utils.random_utils", "bionemo.core.random"),
        ("bionemo.core.utils.batching_utils", "bionemo.core.padding"),
    ],
)
def test_the_old_module_path_has_the_same_objects(old: str, new: str) -> None:
    old_module, new_module = importlib.import_module(old), importlib.import_module(new)
    assert sorted(old_module.__all__) == sorted(new_module.__all__)
    for name in new_module.__all__:
        assert getattr(old_module, name) is getattr(new_module, name)


def test_the_names_of_version_2_are_importable() -> None:
    from bionemo.core.utils.batching_utils import pad_token_ids
    from bionemo.core.utils.dtype import PrecisionTypes, get_autocast_dtype
    from bionemo.core.utils.random_utils import get_seed_from_rng, random_numpy_context

    assert all((pad_token_ids, PrecisionTypes, get_autocast_dtype, random_numpy_context, get_seed_from_rng))
