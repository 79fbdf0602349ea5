"""Records as JSON and YAML."""

import enum
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from bionemo.core.frozen_array import FrozenArray
from bionemo.core.model.config_yaml import config_from_yaml, config_to_yaml
from bionemo.core.record import ADDED, external_arrays, fingerprint, from_json, to_json, type_name
from bionemo.examples.protein_mlm.model import ProteinModelConfig


class Activation(enum.Enum):
    GELU = "gelu"


@attrs.frozen
class Layer:
    width: int = attrs.field(default=64, validator=attrs.validators.ge(1))
    dropout: float = 0.1


@attrs.frozen
class Wide(Layer):
    depth: int = 7


@attrs.frozen(kw_only=True)
class Everything:
    name: str
    layers: tuple[Layer, ...] = (Layer(), Layer(width=3, dropout=1e-5))
    activation: Activation = Activation.GELU
    dtype: torch.dtype = torch.bfloat16
    seed: int | None = None
    scales: dict[str, float] = attrs.field(factory=dict)
    is_tied: bool = True


@attrs.frozen
class Loose:
    part: Any = None
    layer: Layer | None = None
    number: int | float | str | None = None
    by_number: Mapping[int, float] = MappingProxyType({})
    array: FrozenArray | None = None


@attrs.frozen
class Untyped:
    value = attrs.field(default=None)


CONFIGS = [
    Everything(name="x"),
    Everything(name="é: -\n", seed=2**63 - 1, scales={"a": 1e300, "b": -0.0, "type": 3.0}, is_tied=False, layers=()),
    ProteinModelConfig(vocab_size=30, max_length=512),
    Loose(part=(1, (2.5, "x")), layer=Wide(width=2), number=1.5, by_number={1: 0.5, -3: 2.0}),
    Loose(part={"a": {"type": (Layer(), None)}}, number="010"),
    Untyped({(1, 2): "x", None: {True: 0}}),
    Loose(array=FrozenArray(np.arange(65)), part=FrozenArray(np.array([0.5, np.nan]))),
]
KINDS = [Everything, Layer, Loose, ProteinModelConfig, Untyped, Wide]


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_a_record_comes_back_from_json(config) -> None:
    text, arrays = to_json(config), external_arrays(config)
    restored = from_json(text, kinds=KINDS, arrays=arrays)
    assert restored == config
    assert to_json(restored) == text
    assert fingerprint(config) == fingerprint(attrs.evolve(config))


@pytest.mark.parametrize("config", CONFIGS[:3], ids=range(3))
def test_a_configuration_comes_back_from_yaml(config) -> None:
    assert config_from_yaml(type(config), config_to_yaml(config)) == config
    assert list(config_to_yaml(config).splitlines()[0].split(": ")) == ["type", type_name(type(config))]


def test_another_field_is_another_fingerprint() -> None:
    base = ProteinModelConfig(vocab_size=30, max_length=512)
    changes = [{"vocab_size": 31}, {"max_length": 5}, {"num_layers": 3}, {"dropout": 0.2}, {"num_heads": 2}]
    assert len({fingerprint(base), *(fingerprint(attrs.evolve(base, **change)) for change in changes)}) == 6
    assert fingerprint(base) == "c1f21d7a2dcf6f40d63029d417cc63cb56089f3f5d6252ccf5b0e319168eeef8"


@attrs.frozen
class Grown:
    """A class whose second field was added later."""

    width: int
    depth: int | None = attrs.field(default=None, metadata=ADDED)


def test_a_field_that_was_added_later_is_written_only_if_it_is_not_its_default() -> None:
    """So what was written before keeps its text and its fingerprint."""
    assert to_json(Grown(2)) == '{"type":"Grown","width":2}'.replace("Grown", type_name(Grown))
    assert '"depth":3' in to_json(Grown(2, 3))
    for record in (Grown(2), Grown(2, 3)):
        assert from_json(to_json(record), kinds=[Grown]) == record


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    script = (
        "from bionemo.core.record import fingerprint\n"
        "from bionemo.examples.protein_mlm.model import ProteinModelConfig\n"
        "print(fingerprint(ProteinModelConfig(vocab_size=30, max_length=512)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == fingerprint(CONFIGS[2])


def test_a_class_in_main_is_named_as_if_its_module_had_been_imported(tmp_path) -> None:
    script = tmp_path / "sizes.py"
    script.write_text(
        "import attrs\nfrom bionemo.core.record import fingerprint, from_json, to_json\n\n\n"
        "@attrs.frozen\nclass Sizes:\n    width: int = 3\n\n\n"
        "assert from_json(to_json(Sizes()), kinds=[Sizes]) == Sizes()\nprint(fingerprint(Sizes()))\n"
    )
    commands = [[str(script)], ["-m", "sizes"], ["-c", "import sizes"]]
    runs = [
        subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True, cwd=tmp_path)
        for command in commands
    ]
    assert len({run.stdout for run in runs}) == 1


def test_a_class_of_this_library_is_named_without_its_module() -> None:
    assert type_name(FrozenArray) == "FrozenArray"
    assert type_name(Layer).endswith("test_record.Layer")
    assert "." in type_name(Layer)


def test_defaults_and_the_class_name_may_be_left_out() -> None:
    assert config_from_yaml(Everything, "name: x") == Everything(name="x")
    assert from_json('{"name": "x", "layers": [{"width": 3}]}', kinds=[Everything]).layers == (Layer(width=3),)
    assert from_json('{"dropout": 1}', kinds=[Layer]) == Layer(dropout=1.0)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Layer, '{"widht": 3}', "with the fields width, dropout, got: unknown field widht"),
        (Everything, '{"name": "x", "layers": [{"depth": 3}]}', r"unknown field depth @ \$.layers\[0\]"),
        (Everything, "{}", r"name is missing @ \$.name"),
        (Layer, '{"width": "3"}', r"must be of type int, got '3' of type str @ \$.width"),
        (Layer, '{"width": 1.5}', r"must be of type int, got 1.5"),
        (Layer, '{"width": true}', r"must be of type int, got True"),
        (Layer, '{"dropout": "low"}', "must be of type float, got 'low'"),
        (Layer, '{"dropout": 1e400}', "must be finite, got inf"),
        (Loose, '{"number": 1e400}', "must be finite, got inf"),
        (Loose, '{"part": [{"a": -1e400}]}', "must be finite, got -inf"),
        (Loose, '{"number": [1]}', r"must be of type int or float or str or NoneType, got \(1,\)"),
        (Layer, '{"width": 0}', "'width' must be >= 1: 0"),
        (Everything, '{"name": "x", "dtype": "float12"}', "must be the name of a dtype, .*got 'float12'"),
        (Everything, '{"name": "x", "dtype": "nn"}', "must be the name of a dtype"),
        (Everything, '{"name": "x", "activation": "relu"}', "relu"),
        (Layer, '{"type": "elsewhere.Layer"}', "type must be one of .*Layer, got type='elsewhere.Layer'"),
        (Layer, "[3]", r"must hold the fields of Layer by name, got \[3\]"),
        (Layer, "{", "text must be (JSON|YAML), got '{'"),
        (Layer, '{"width": 3, "width": 5}', "(the key 'width' occurs twice|found duplicate key .width.)"),
        (Loose, '{"part": {"a": 1, "a": 1}}', "(the key 'a' occurs twice|found duplicate key .a.)"),
        (
            ProteinModelConfig,
            '{"vocab_size": 30, "max_length": 9, "num_heads": 5}',
            "hidden_size must be a multiple of num_heads, got hidden_size=64 and num_heads=5",
        ),
    ],
)
def test_an_invalid_text_is_refused_with_the_reason(kind: type, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(text, kinds=[kind])
    with pytest.raises(ValueError, match=message):
        config_from_yaml(kind, text)


@pytest.mark.parametrize(
    ("text", "number"), [("010", 10), ("0o10", 8), ("1e-5", 1e-5), ("1:30", "1:30"), ("yes", "yes"), ("~", None)]
)
def test_numbers_are_those_of_yaml_1_2(text: str, number: object) -> None:
    assert config_from_yaml(Loose, f"number: {text}") == Loose(number=number)
    assert config_from_yaml(Loose, config_to_yaml(Loose(number=text))) == Loose(number=text)


@pytest.mark.parametrize("text", ["number: .inf", "part: [.nan]", "by_number: {1: -.inf}", "layer: {dropout: .inf}"])
def test_a_number_in_yaml_must_be_finite(text: str) -> None:
    with pytest.raises(ValueError, match="a number in a record must be finite, got (inf|nan|-inf)"):
        config_from_yaml(Loose, text)


def test_field_names_are_strings_and_keys_of_mappings_have_any_type() -> None:
    with pytest.raises(ValueError, match="got: unknown field 1"):
        config_from_yaml(Layer, "1: 2")
    assert config_from_yaml(Loose, "by_number: {1: 2}") == Loose(by_number={1: 2.0})
    with pytest.raises(ValueError, match="must be of type int, got '1' of type str"):
        config_from_yaml(Loose, "by_number: {'1': 2}")
    with pytest.raises(ValueError, match="text must be YAML, got 'a: b: c'"):
        config_from_yaml(Layer, "a: b: c")


def bomb(levels: int) -> str:
    """Return a text of nested aliases: each level is ten times as large as the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(4),
        bomb(20),
        "width: &a [*a]",
        "width: " + "[" * 1000 + "]" * 1000,
        "width: " + "[" * 100 + "]" * 100,
        "width: '" + "x" * 2 * 10**6 + "'",
        "x" * 2 * 10**6,
    ],
    ids=["aliases", "more aliases", "circle", "deep", "nested", "long", "no mapping"],
)
@pytest.mark.parametrize("kind", [Layer, Loose])
def test_deep_and_huge_texts_get_a_short_error(kind: type, text: str) -> None:
    if kind is Loose and "[" * 100 + "]" in text:
        text = text.replace("width", "part")
    try:
        found = config_from_yaml(kind, text)
    except ValueError as error:
        assert len(str(error)) < 700  # noqa: PT017 - a text may also be valid
    else:
        assert kind is Loose
        assert config_from_yaml(Loose, config_to_yaml(found)) == found


@pytest.mark.usefixtures("no_type_checks")
def test_more_values_than_a_record_may_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="text must hold at most 1000000 values, got more: {'part': "):
        from_json('{"part": [0' + ", 0" * 10**6 + "]}", kinds=[Loose])


@pytest.mark.parametrize("depth", [100_000, 700])
def test_deep_json_gets_a_short_error(depth: int) -> None:
    for text in ("[" * depth, "[" * depth + "]" * depth, '{"width":' * depth + "3" + "}" * depth):
        with pytest.raises(ValueError, match="text must be|text must hold") as caught:
            from_json(text, kinds=[Layer])
        assert len(str(caught.value)) < 500


def test_a_record_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = ()
    for _ in range(5000):
        deep = (deep,)
    with pytest.raises(ValueError, match="record must be nested less deeply, got a Loose"):
        to_json(Loose(part=deep))


EQUAL = [
    (Layer(dropout=1), Layer(dropout=1.0)),
    (Layer(dropout=-0.0), Layer(dropout=0.0)),
    (Layer(width=np.int64(3)), Layer(width=3)),
    (Layer(width=True), Layer(width=1)),
    (Layer(dropout=np.float64(0.5)), Layer(dropout=0.5)),
    (Loose(number=1), Loose(number=1.0)),
    (Loose(number=True), Loose(number=1)),
    (Loose(number=-0.0), Loose(number=0)),
    (Loose(part=(1, True)), Loose(part=(1.0, 1))),
    (Loose(part={1: 0.0}), Loose(part={True: -0.0})),
    (Untyped(2.0**70), Untyped(2**70)),
    (Loose(by_number={1: 2}), Loose(by_number={1.0: 2.0})),
    (Loose(part={"a": 1, "b": 2}), Loose(part={"b": 2, "a": 1})),
]


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=range(len(EQUAL)))
def test_equal_records_have_equal_text(one, other) -> None:
    assert one == other
    assert to_json(one) == to_json(other)
    assert fingerprint(one) == fingerprint(other)


UNEQUAL = [
    (Loose(part={1: "a"}), Loose(part={"1": "a"})),
    (Loose(part={None: "a"}), Loose(part={"None": "a"})),
    (Loose(part="1"), Loose(part=1)),
    (Loose(part={"items": ((1, "a"),)}), Loose(part={1: "a"})),
    (Loose(part=()), Loose(part={})),
    (Loose(part=None), Loose(part="null")),
    (Untyped(2**60), Untyped(2**60 + 1)),
    (Loose(layer=Layer()), Loose(layer=Wide())),
    (Layer(), Wide()),
]


@pytest.mark.parametrize(("one", "other"), UNEQUAL, ids=range(len(UNEQUAL)))
def test_unequal_records_have_unequal_text(one, other) -> None:
    assert one != other
    assert to_json(one) != to_json(other)


def test_sets_are_written_in_the_same_order_in_every_process() -> None:
    script = (
        "import attrs\nfrom bionemo.core.record import fingerprint\n"
        "@attrs.frozen\nclass Kinds:\n    names: frozenset[str]\n"
        "print(fingerprint(Kinds(frozenset('abcdefgh'))))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in "12"
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    "record",
    [Loose(part=[1, 2]), Loose(part={1}), Loose(part=Activation.GELU), Loose(part=torch.int8), Layer(width=2.5)],
)
def test_a_record_that_would_not_come_back_unchanged_is_refused(record) -> None:
    with pytest.raises(TypeError, match="record must (hold plain values|come back from its text)"):
        fingerprint(record)


def test_a_class_with_a_field_that_can_not_be_read_is_refused() -> None:
    class Odd:
        pass

    @attrs.frozen
    class Holds:
        part: Odd | None = None

    with pytest.raises(ValueError, match="Holds"):
        from_json('{"part": 3}', kinds=[Holds])


def test_what_is_not_a_record_is_refused() -> None:
    @attrs.frozen
    class Typed:
        type: str = "x"

    with pytest.raises(TypeError, match="record must be an attrs record, got 3 of type int"):
        to_json(3)
    with pytest.raises(TypeError, match="must have no field called type, got Typed"):
        to_json(Typed())
    for write in (to_json, config_to_yaml):
        with pytest.raises(TypeError, match="must hold plain values"):
            write(Loose(part=object()))
        with pytest.raises(ValueError, match="a number in a record must be finite, got nan"):
            write(Layer(dropout=float("nan")))
    lines = config_to_yaml(Layer()).splitlines()
    assert [line.split(":")[0] for line in lines] == ["type", "width", "dropout"]  # in the order of the fields
