"""Explicit randomness: seeds, generators, draws by counter, sampling, and contexts that seed global states."""

from bionemo.core.random.contexts import (
    random_global_context,
    random_numpy_context,
    random_python_context,
    random_torch_context,
)
from bionemo.core.random.draws import bits_at, integers_at, uniforms_at
from bionemo.core.random.generators import (
    get_seed_from_rng,
    make_generator,
    seed_from_entropy,
    seed_from_generator,
    split,
)
from bionemo.core.random.hashing import fold_in
from bionemo.core.random.sampling import sample_by_weight, sample_with_replacement, sample_without_replacement

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
    "seed_from_entropy",
    "seed_from_generator",
    "split",
    "uniforms_at",
]
