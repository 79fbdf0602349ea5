"""Settings and fixtures of all tests."""

import importlib
import os
import warnings
from collections.abc import Iterator

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

collect_ignore = [
    "tests/dependent_package",  # another distribution, which isn't installed
    "tests/compiled_cases.py",  # a program that needs arguments
]

# While our modules are imported under the hook that checks types, Python looks for the byte code of all others under
# another name too, and compiles torch and its kind anew. A worker that runs many tests imports them before.
LARGE = [
    "accelerate",
    "anndata",
    "botocore.session",
    "datasets",
    "lightning.pytorch",
    "matplotlib.pyplot",
    "megatron.core.models.gpt",
    "scipy.stats",
    "torch._dynamo",
    "torchmetrics",
    "transformers.trainer",
]
if "PYTEST_XDIST_WORKER" in os.environ:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in LARGE:
            importlib.import_module(name)

# No deadlines: no test may fail because a machine is slow. In CI the examples are always the same, elsewhere random.
settings.register_profile("dev", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("many", settings.get_profile("dev"), max_examples=3334)
settings.register_profile("more", settings.get_profile("dev"), max_examples=1000)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture
def no_type_checks() -> Iterator[None]:
    """Switch off the type checker of the test run: users don't have it, and see our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)  # noqa: FBT003 - the library's signature
    yield
    jaxtyping.config.update("jaxtyping_disable", False)  # noqa: FBT003
