"""The law of Lightning runs: a run that is stopped anywhere and resumed equals the run without a stop.

`make resume` tries thousands of histories.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.adapters.stopped_runs import HOOKS, Setup, Stop, differences, train_uninterrupted, train_with_stops

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
    lr_scheduler=st.sampled_from(["per epoch", "by metric, per epoch", "by metric, per step"]),
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
    """Use one thread: with several, models of a few weights are slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("uninterrupted")


@settings(max_examples=20 if settings().max_examples < 100 else settings().max_examples)
@given(setup=SETUPS, stops=STOPS)
@example(  # early stopping must not count a validation between accumulated batches twice
    Setup(limit="early stopping", accumulated=3, validated="every 2 batches", module="plain"),
    [Stop(hook="on_before_optimizer_step", batches=1, how="saved and finished")],
)
@example(  # early stopping reads the metric of a validation that an earlier fit ran
    Setup(limit="early stopping", accumulated=3, validated="each epoch", module="plain"),
    [Stop(hook="on_validation_end", batches=7, how="exception")],
)
@example(  # only the end of an epoch is left
    Setup(limit="steps", is_finite=True, validated="every 2 batches", module="plain"),
    [Stop(hook="on_validation_end", batches=2, how="exception")],
)
@example(  # a scheduler that follows a metric steps after the hook that saves
    Setup(module="plain", validated="each epoch", lr_scheduler="by metric, per epoch"),
    [Stop(hook="on_train_epoch_end", batches=3), Stop(hook="on_train_batch_end", batches=9)],
)
@example(  # a fit that is saved again before its first batch must not step a scheduler twice
    Setup(module="plain", lr_scheduler="by metric, per epoch"),
    [Stop(hook="on_train_epoch_end", batches=0), Stop(hook="on_train_start", batches=0)],
)
@example(  # a run that was stopped early
    Setup(limit="early stopping", validated="each epoch"),
    [Stop(hook="on_train_end", batches=5, how="saved and finished")],
)
@example(  # a validation that was done is skipped in its own epoch only
    Setup(accumulated=3, validated="every 2 batches", module="plain"),
    [Stop(hook="on_train_batch_start", batches=2)],
)
@example(  # an order that has ended
    Setup(limit="order", is_finite=True, accumulated=3, validated="each epoch"),
    [Stop(hook="on_train_end", batches=8, how="saved and finished")],
)
def test_a_stopped_and_resumed_run_equals_the_run_without_stops(folder: Path, setup: Setup, stops: list[Stop]) -> None:
    whole = train_uninterrupted(setup, folder)
    with tempfile.TemporaryDirectory() as stopped:
        found = train_with_stops(setup, stops, Path(stopped))
    event(f"{setup.limit}, accumulated {setup.accumulated}, {setup.module}")
    event(f"{stops[0].how} in {stops[0].hook}")
    assert differences(whole, found, setup) == []
