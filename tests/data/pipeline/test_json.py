"""Orders to JSON and back."""

import json

import attrs
import numpy as np
import pytest

from bionemo.data import (
    EpochOrder,
    MixtureOrder,
    Pipeline,
    SampleIndex,
    WeightedOrder,
    external_arrays,
    fingerprint,
    from_json,
    pipeline_spec,
    to_json,
)


@attrs.frozen
class Alternating:
    """A user's order."""

    num_samples: int | None = None
    num_sources: int = 2

    def index_at(self, position, /):
        return SampleIndex(position % 2, position * 0, position // 2)


LARGE = WeightedOrder(weights=np.linspace(0, 1, 1000), seed=3)


def test_large_arrays_are_stored_apart_from_the_text(tmp_path) -> None:
    order = MixtureOrder(orders=(LARGE, WeightedOrder(weights=[0.1, 0.2], seed=3)), weights=(1, 1), num_samples=10)
    text = to_json(order)
    assert len(text) < 1000
    assert list(external_arrays(order)) == [LARGE.weights.digest]
    np.savez(tmp_path / "weights.npz", **external_arrays(order))
    with np.load(tmp_path / "weights.npz") as arrays:
        assert from_json(text, arrays=arrays) == order
    assert "0.1" in text


@pytest.mark.parametrize("size", [63, 64, 65])
def test_arrays_of_up_to_64_elements_are_written_out(size: int) -> None:
    order = WeightedOrder(weights=np.arange(1.0, size + 1), seed=1)
    assert len(external_arrays(order)) == (size > 64)
    assert from_json(to_json(order), arrays=external_arrays(order)) == order


@attrs.frozen
class Odd(Alternating):
    """A user's order with fields of every kind."""

    _rate: float = 0.5
    sites: tuple = ()
    made: int = attrs.field(init=False, default=3)


def test_fields_are_written_by_the_names_of_their_arguments() -> None:
    order = Odd(rate=0.25, sites=(np.int64(3), 4))
    record = json.loads(to_json(order))["order"]
    assert {name: record[name] for name in ("rate", "sites")} == {"rate": 0.25, "sites": [3, 4]}
    assert "made" not in record
    assert from_json(to_json(order), kinds=[Odd]) == order
    with pytest.raises(ValueError, match="a number in a record must be finite, got nan"):
        to_json(Odd(rate=float("nan")))


def test_a_field_called_type_is_refused() -> None:
    @attrs.frozen
    class Hiding(Alternating):
        type: str = "EpochOrder"

    with pytest.raises(TypeError, match="a record must have no field called type, got Hiding"):
        to_json(Hiding())


def test_a_users_order_is_restored_if_its_class_is_passed() -> None:
    order = MixtureOrder(orders=(Alternating(), EpochOrder(length=3, seed=1)), weights=(1, 1))
    assert from_json(to_json(order), kinds=[Alternating]) == order
    with pytest.raises(ValueError, match=r"type must be one of .*EpochOrder.*got type='.*Alternating'. Pass your own"):
        from_json(to_json(order))


def test_the_text_is_canonical() -> None:
    text = to_json(EpochOrder(seed=7, length=10))
    assert (
        text == '{"algorithm":3,"order":{"length":10,"num_samples":null,"seed":7,"shuffle":true,"type":"EpochOrder"}}'
    )
    assert to_json(from_json(json.dumps(json.loads(text), indent=4))) == text


def test_integers_of_any_size_and_floats_come_back_unchanged() -> None:
    order = EpochOrder(length=2**62, seed=2**63 - 1, num_samples=2**62)
    assert from_json(to_json(order)) == order
    weights = [0.1, 1 / 3, 5e-324, 1e308, 0.0]
    order = WeightedOrder(weights=weights, seed=1)
    assert from_json(to_json(order)).weights.array.tolist() == weights


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": 1}, "record must be of algorithm version 3, got version 1, whose orders or masks differ"),
        ({"order": [1]}, r"record must hold an order, got \(1,\)"),
        (
            {"order": {"type": "EpochOrder", "length": 10}},
            "text must hold a valid EpochOrder, with the fields length, .*got: seed is missing",
        ),
        ({"order": {"type": "EpochOrder", "length": 10, "seed": 7}}, "record must hold an order unchanged"),
        ({"order": {"type": "EpochOrder", "length": 10, "seed": 7, "bad": 1}}, "got: unknown field bad"),
        ({"order": {"type": "EpochOrder", "length": 0, "seed": 7}}, "got length=0"),
        ({"order": {"type": "EpochOrder", "length": 1.5, "seed": 7}}, "length must be an integer, got length=1.5"),
        ({"order": {"length": 10}}, "record must hold an order, got {'length': 10}"),
        ({"more": 1}, "text must be the JSON of an order"),
        ({"order": {"type": "FrozenArray", "values": [1.0]}}, "array must have values, dtype and shape that fit"),
        ({"order": {"type": "FrozenArray", "values": [1.0], "dtype": "x", "shape": [1]}}, "array must have values"),
    ],
)
def test_a_text_that_is_not_an_order_is_refused(changes: dict, message: str) -> None:
    record = json.loads(to_json(EpochOrder(length=10, seed=7))) | changes
    with pytest.raises(ValueError, match=message):
        from_json(json.dumps(record))
    with pytest.raises(ValueError, match="Expecting value"):
        from_json("")


def test_a_missing_or_wrong_array_is_refused() -> None:
    with pytest.raises(ValueError, match=f"arrays must hold the array of sha256={LARGE.weights.digest}, got 0"):
        from_json(to_json(LARGE))
    with pytest.raises(ValueError, match=f"array must be the one that was written, of sha256={LARGE.weights.digest}"):
        from_json(to_json(LARGE), arrays={LARGE.weights.digest: np.zeros(1000)})
    small = json.loads(to_json(WeightedOrder(weights=[1, 2], seed=1)))
    small["order"]["weights"]["values"] = [1.0, 3.0]
    with pytest.raises(ValueError, match="array must be the one that was written"):
        from_json(json.dumps(small))
    assert fingerprint(LARGE) == fingerprint(from_json(to_json(LARGE), arrays=external_arrays(LARGE)))


def test_an_array_alone_is_not_an_order() -> None:
    record = json.loads(to_json(WeightedOrder(weights=[1, 2], seed=1)))
    with pytest.raises(ValueError, match="record must hold an order, got FrozenArray"):
        from_json(json.dumps(record | {"order": record["order"]["weights"]}))


def test_the_json_of_a_pipeline_is_its_spec_and_its_fingerprint_differs_by_field() -> None:
    order = EpochOrder(length=5, seed=7, num_samples=5)
    pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
    assert json.loads(to_json(pipeline)) == pipeline_spec(pipeline)
    changes = [{"seed": 43}, {"batch_size": 3}, {"collate": list}, {"drop_last": True}, {"sources": ["a"] * 5}]
    others = [attrs.evolve(pipeline, **change) for change in changes]
    assert (
        len({fingerprint(made) for made in (pipeline, *others)}) == 5
    )  # of a data set its length counts, and not more
    assert fingerprint(attrs.evolve(pipeline)) == fingerprint(pipeline)
    weighted = Pipeline(order=LARGE, sources=range(1000), batch_size=2, seed=1)
    assert LARGE.weights.digest in to_json(weighted)


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"a": 1}', '{"type": "EpochOrder", "length": 3, "seed": 1}'])
def test_a_text_that_is_not_the_json_of_an_order_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="text must be the JSON of an order, made by to_json, got"):
        from_json(text)


def test_other_records_come_back_if_their_classes_are_given() -> None:
    @attrs.frozen
    class Sizes:
        width: int = 3

    assert from_json(to_json(Sizes(width=4)), kinds=[Sizes]) == Sizes(width=4)
    for text in ("[]", "3", "null"):
        with pytest.raises(ValueError, match="text must hold the fields of Sizes by name, got"):
            from_json(text, kinds=[Sizes])
