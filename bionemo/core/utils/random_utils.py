"""Re-exports of `bionemo.core.random` under the module path of bionemo-core 2.x."""

from bionemo.core.random import (
    bits_at,
    fold_in,
    get_seed_from_rng,
    integers_at,
    make_generator,
    random_global_context,
    random_numpy_context,
    random_python_context,
    random_torch_context,
    sample_by_weight,
    sample_with_replacement,
    sample_without_replacement,
    seed_from_generator,
    split,
    uniforms_at,
)

__all__ = [
    "bits_at",
    "fold_in",
    "get_seed_from_rng",
    "integers_at",
    "make_generator",
    "random_global_context",
    "random_numpy_context",
    "random_python_context",
    "random_torch_context",
    "sample_by_weight",
    "sample_with_replacement",
    "sample_without_replacement",
    "seed_from_generator",
    "split",
    "uniforms_at",
]
