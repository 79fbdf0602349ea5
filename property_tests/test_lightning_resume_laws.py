"""A Lightning run that is stopped anywhere and resumed is the uninterrupted run: `make resume` tries thousands."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.adapters.lives import HOOKS, Setup, Stop, differences, live_on, uninterrupted

pytestmark = [
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:the order has ended"),
    pytest.mark.filterwarnings("ignore:.*has been ended|.*consider increasing the value of the `num_workers`"),
]

SETUPS = st.builds(
    Setup,
    limit=st.sampled_from(["epochs", "steps", "both", "early stopping", "order"]),
    accumulated=st.sampled_from([1, 3]),
    is_finite=st.booleans(),
    validated=st.sampled_from(["never", "each epoch", "every 2 batches", "every 2 epochs"]),
    module=st.sampled_from(["ours", "plain"]),
    schedule=st.sampled_from(["by epoch", "by metric, each epoch", "by metric, each step"]),
    num_sanity_val_steps=st.sampled_from([0, 2]),
)
STOPS = st.lists(
    st.builds(
        Stop,
        hook=st.sampled_from(HOOKS),
        batches=st.integers(0, 12),
        how=st.sampled_from(["saved", "exception", "saved and finished"]),
    ),
    min_size=1,
    max_size=3,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads cost more than they bring in models of a few weights."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("uninterrupted")


@settings(max_examples=max(settings().max_examples, 100))
@given(setup=SETUPS, stops=STOPS)
@example(  # a validation between accumulated batches, which early stopping must not count twice
    Setup(limit="early stopping", accumulated=3, validated="every 2 batches", module="plain"),
    [Stop(hook="on_before_optimizer_step", batches=1, how="saved and finished")],
)
@example(  # early stopping looks at the metric of a validation that an earlier life ran
    Setup(limit="early stopping", accumulated=3, validated="each epoch", module="plain"),
    [Stop(hook="on_validation_end", batches=7, how="exception")],
)
@example(  # nothing is left of an epoch but its end
    Setup(limit="steps", is_finite=True, validated="every 2 batches", module="plain"),
    [Stop(hook="on_validation_end", batches=2, how="exception")],
)
@example(  # a schedule by a metric makes its step after the hook that saves
    Setup(module="plain", validated="each epoch", schedule="by metric, each epoch"),
    [Stop(hook="on_train_epoch_end", batches=3), Stop(hook="on_train_batch_end", batches=9)],
)
@example(  # a run that was stopped early
    Setup(limit="early stopping", validated="each epoch"),
    [Stop(hook="on_train_end", batches=5, how="saved and finished")],
)
@example(  # an order that has ended
    Setup(limit="order", is_finite=True, accumulated=3, validated="each epoch"),
    [Stop(hook="on_train_end", batches=8, how="saved and finished")],
)
def test_any_history_of_lives_is_the_uninterrupted_run(folder: Path, setup: Setup, stops: list[Stop]) -> None:
    whole = uninterrupted(setup, folder)
    with tempfile.TemporaryDirectory() as lives:
        found = live_on(setup, stops, Path(lives))
    event(f"{setup.limit}, accumulated {setup.accumulated}, {setup.module}")
    event(f"{stops[0].how} in {stops[0].hook}")
    assert differences(whole, found, setup) == []
