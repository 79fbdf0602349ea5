"""Explicit randomness: seeds, generators, draws by counter, sampling, and contexts that seed global states."""

from bionemo.core.random.contexts import random_global_context as random_global_context
from bionemo.core.random.contexts import random_numpy_context as random_numpy_context
from bionemo.core.random.contexts import random_python_context as random_python_context
from bionemo.core.random.contexts import random_torch_context as random_torch_context
from bionemo.core.random.draws import bits_at as bits_at
from bionemo.core.random.draws import integers_at as integers_at
from bionemo.core.random.draws import uniforms_at as uniforms_at
from bionemo.core.random.generators import get_seed_from_rng as get_seed_from_rng
from bionemo.core.random.generators import make_generator as make_generator
from bionemo.core.random.generators import seed_from_generator as seed_from_generator
from bionemo.core.random.generators import split as split
from bionemo.core.random.hashing import fold_in as fold_in
from bionemo.core.random.sampling import sample_by_weight as sample_by_weight
from bionemo.core.random.sampling import sample_with_replacement as sample_with_replacement
from bionemo.core.random.sampling import sample_without_replacement as sample_without_replacement

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
