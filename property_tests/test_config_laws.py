"""Laws of configurations as text."""

import attrs
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.model.config_text import config_from_json, config_from_yaml, config_id, config_to_json, config_to_yaml


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


@given(config=WHOLES, other=WHOLES)
def test_they_come_back_from_text_and_their_ids_are_equal_where_they_are(config: Whole, other: Whole) -> None:
    assert config_from_json(Whole, config_to_json(config)) == config
    assert config_from_yaml(Whole, config_to_yaml(config)) == config
    assert (config_id(config) == config_id(other)) == (config == other)
    assert config_id(config_from_yaml(Whole, config_to_yaml(config))) == config_id(config)
