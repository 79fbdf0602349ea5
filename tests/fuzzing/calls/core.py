"""Valid calls of random numbers, records and resources."""

from collections.abc import Iterator

import numpy as np
import torch

from bionemo import data
from bionemo.core import random as randomness
from bionemo.core import record, resources
from bionemo.core.model import config_yaml
from bionemo.core.utils import dtype as dtypes
from bionemo.core.utils import subprocess_utils
from bionemo.data import permute as permutation
from tests.fuzzing.calls.parts import SHORT, Call, LinearConfig, call, generator


def core_calls() -> Iterator[Call]:
    yield call(randomness.fold_in, seed=3, data=("x", 4))
    yield call(randomness.bits_at, seed=3, counter=4)
    words = {"seed": torch.arange(6).reshape(2, 3), "counter": torch.arange(3)}
    for function in (randomness.bits_at, randomness.uniforms_at):
        yield call(function, **words)
    yield call(randomness.integers_at, **words, length=9)
    yield call(randomness.fold_in, seed=torch.arange(3), data=(torch.arange(3), "x", 4))
    yield call(randomness.integers_at, seed=3, counter=4, length=9)
    yield call(randomness.uniforms_at, seed=3, counter=4, dtype=torch.float64)
    yield call(randomness.make_generator, seed=3, data=("x", 4), device="cpu")
    yield call(randomness.seed_from_generator, generator)
    yield call(randomness.seed_from_entropy, entropy=2**70)
    yield call(randomness.split, generator, num=2)
    yield call(randomness.get_seed_from_rng, lambda: {"rng": np.random.default_rng(3)}, dtype=np.int64)
    yield call(randomness.sample_by_weight, generator, weights=[1.5, 2], num_samples=3)
    yield call(randomness.sample_with_replacement, generator, length=9, num_samples=3)
    yield call(randomness.sample_without_replacement, generator, length=9, num_samples=3)
    yield call(randomness.random_torch_context, generator)
    for context in (
        randomness.random_numpy_context,
        randomness.random_python_context,
        randomness.random_global_context,
    ):
        yield call(context, seed=3)
    yield from (call(function, index=3, length=9, seed=4) for function in (permutation.permute, permutation.unpermute))
    yield call(dtypes.get_autocast_dtype, precision="bf16-mixed")
    yield call(subprocess_utils.run_subprocess_safely, command="true", timeout=9)
    yield from (call(function, record=SHORT) for function in (record.to_json, record.to_plain, record.fingerprint))
    yield call(record.external_arrays, record=SHORT)
    yield call(record.given_fields, record=SHORT)
    yield call(record.from_json, text=record.to_json(SHORT), kinds=[data.EpochOrder], arrays={})
    yield call(record.from_plain, plain=record.to_plain(SHORT), kinds=[data.EpochOrder], arrays={})
    yield call(record.parse_json, text="{}")
    yield call(record.plain_to_json, plain={"a": 1})
    yield call(record.type_name, kind=data.EpochOrder)
    fields = {"tag": "a/b", "urls": ["s3://bucket/key"], "sha256": "0" * 64, "size": 3, "processing": "none"}
    yield call(resources.Resource, **fields, owner="me", license="CC0", description="few")
    yield call(resources.UnpackLimits, max_bytes=3, max_ratio=3, max_files=3)
    yield call(config_yaml.config_to_yaml, config=LinearConfig())
    yield call(config_yaml.config_from_yaml, kind=LinearConfig, text="size: 3")
