"""Settings and fixtures of all tests."""

import os
from collections.abc import Iterator

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

collect_ignore = [
    "tests/dependent_package",  # another distribution, which isn't installed
    "tests/compiled_cases.py",  # a program that needs arguments
]

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
