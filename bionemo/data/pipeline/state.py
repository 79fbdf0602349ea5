"""The state of a loader: one position, and the record of the pipeline."""

import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from bionemo.core.checks import AnyInt, as_int, check_int
from bionemo.data.pipeline.batch import end_position
from bionemo.data.pipeline.extension import agreement
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.record import (
    differences_as_text,
    fingerprint,
    fingerprint_of_spec,
    pipeline_spec,
    record_differences,
)

__all__ = ["check_state", "loader_state"]

_FREE_FIELDS: Final = ("batch_size", "drop_last")
"""Fields of a pipeline's record that may change within a run: the position alone says where it resumes."""

_OPTIONAL_FIELDS: Final = ("index", "fingerprints", "seed_global_states")
"""Fields that are compared only if both records have them."""

_WARNED_FIELDS: Final = ("transforms", "collate", "batch_transform", "seed_global_states")
"""Fields whose change only warns: a function may be renamed, and functions may draw from no global state."""


def loader_state(pipeline: Pipeline[Any], consumed_samples: AnyInt, /) -> dict[str, Any]:
    """Return the state of a loader at a position, in plain values.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> list(loader_state(pipeline, 4))
        ['consumed_samples', 'pipeline', 'order_id']
    """
    return {
        "consumed_samples": as_int(consumed_samples),
        "pipeline": pipeline_spec(pipeline),
        "order_id": fingerprint(pipeline.order),
    }


def check_state(pipeline: Pipeline[Any], state: Mapping[str, Any], /) -> int:
    """Return the number of consumed samples of a loader's state, if the state fits the pipeline.

    It fits if the pipeline would have delivered the same samples up to this position. So a run may be extended: by a
    larger `num_samples`, or by changes of a mixture's weights that lie ahead.

    Warns:
        UserWarning: if a transform, `collate` or `batch_transform` has another name, or `seed_global_states`
            has changed.

    Raises:
        ValueError: if the state is of another order, seed or data (the message lists the fields that differ), or is not
            a loader's state.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> check_state(pipeline, loader_state(pipeline, 4))
        4
    """
    saved, consumed_samples = _read(state)
    agreed = agreement(pipeline.order, saved.get("order"))
    free = (*_FREE_FIELDS, "order") if agreed and consumed_samples <= agreed else _FREE_FIELDS
    differences = {
        name: values
        for name, values in record_differences(saved, pipeline_spec(pipeline)).items()
        if name.split(".")[0] not in free and not (name.split(".")[0] in _OPTIONAL_FIELDS and None in values)
    }
    names = {name: values for name, values in differences.items() if name.split(".")[0] in _WARNED_FIELDS}
    fatal = {name: values for name, values in differences.items() if name not in names}
    if fatal or state["order_id"] != fingerprint_of_spec(saved):
        message = (
            f"state must be of the same order, but differs in {differences_as_text(fatal) or 'its order_id'}. "
            "Restore what differs, or begin at a position with start=."
        )
        if 0 < agreed < consumed_samples:
            message += f" The orders agree below position {agreed}, and the state is at {consumed_samples}."
        if any(name.startswith("fingerprints.") for name in fatal):
            message += " If the data is the same, say so with Source(dataset, fingerprint=...)."
        raise ValueError(message)
    if names:
        warnings.warn(
            f"the loader continues with other functions: {differences_as_text(names)}.", UserWarning, stacklevel=3
        )
    return check_int(consumed_samples, name="consumed_samples", high=end_position(pipeline))


def _read(state: Any) -> tuple[dict[str, Any], int]:
    """Return the record and the position of a state."""
    fields: dict[str, Any] = {"consumed_samples": int | np.integer, "pipeline": dict, "order_id": str}
    given = state if isinstance(state, Mapping) else {}
    wrong = [name for name, kind in fields.items() if not isinstance(given.get(name), kind)]
    if wrong:
        found = f"a {type(state).__name__} in which {', '.join(wrong)} is missing or of another type"
        message = f"state must be what a loader's state_dict() returned, a dict with {', '.join(fields)}, got {found}."
        raise ValueError(message)
    return given["pipeline"], check_int(given["consumed_samples"], name="consumed_samples")
