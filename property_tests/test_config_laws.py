"""Laws of records written as JSON and YAML."""

from typing import Any

import attrs
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from bionemo.core.model.config_yaml import config_from_yaml, config_to_yaml
from bionemo.core.record import fingerprint, from_json, to_json


@attrs.frozen
class Part:
    size: int = 1
    rate: float = 0.5
    name: str = ""


@attrs.frozen
class Whole:
    part: Part = Part()
    parts: tuple[Part, ...] = ()
    dtype: torch.dtype = torch.float32
    limit: int | None = None
    by_name: dict[str, float] = attrs.field(factory=dict)
    names: frozenset[str] = frozenset()
    is_on: bool = True


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PARTS = st.builds(Part, size=st.integers(), rate=FLOATS, name=st.text())
WHOLES = st.builds(
    Whole,
    part=PARTS,
    parts=st.lists(PARTS, max_size=3).map(tuple),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.int8]),
    limit=st.none() | st.integers(),
    by_name=st.dictionaries(st.text(), FLOATS, max_size=3),
    names=st.frozensets(st.text(), max_size=3),
    is_on=st.booleans(),
)


@example(
    Whole(part=Part(name="\x06" + "\U00010000" * 7 + "0 0")), Whole(part=Part(name="\x85"))
)  # folded, and a line break
@given(config=WHOLES, other=WHOLES)
def test_configurations_round_trip_and_fingerprints_are_equal_if_and_only_if_configurations_are(
    config: Whole, other: Whole
) -> None:
    assert from_json(to_json(config), kinds=[Whole, Part]) == config
    assert config_from_yaml(Whole, config_to_yaml(config)) == config
    assert (fingerprint(config) == fingerprint(other)) == (config == other)
    assert fingerprint(config_from_yaml(Whole, config_to_yaml(config))) == fingerprint(config)


@attrs.frozen
class Anything:
    value: Any = None
    number: int | float | bool | None = None


KEYS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, -0.0, 1.0, 0.5]) | st.text(max_size=2)
VALUES = st.recursive(
    KEYS | FLOATS,
    lambda parts: st.lists(parts, max_size=3).map(tuple) | st.dictionaries(KEYS, parts, max_size=3),
    max_leaves=6,
)
ANYTHING = st.builds(Anything, value=VALUES, number=st.sampled_from([None, 0, -0.0, 1, 1.0, True, 0.5, False]))


@given(record=ANYTHING, other=ANYTHING)
def test_values_of_any_type_round_trip_and_their_json_is_equal_if_and_only_if_they_are(
    record: Anything, other: Anything
) -> None:
    assert from_json(to_json(record), kinds=[Anything]) == record
    assert (to_json(record) == to_json(other)) == (record == other)
