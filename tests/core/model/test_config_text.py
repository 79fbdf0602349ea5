"""Configurations as text."""

import enum
import subprocess
import sys
from typing import Any

import attrs
import numpy as np
import pytest
import torch
import yaml

from bionemo.core.model.config_text import (
    config_from_json,
    config_from_yaml,
    config_id,
    config_to_json,
    config_to_yaml,
)
from bionemo.examples.protein_model import ProteinModelConfig


class Activation(enum.Enum):
    GELU = "gelu"


@attrs.frozen
class Layer:
    width: int = attrs.field(default=64, validator=attrs.validators.ge(1))
    dropout: float = 0.1


@attrs.frozen(kw_only=True)
class Everything:
    name: str
    layers: tuple[Layer, ...] = (Layer(), Layer(width=3, dropout=1e-5))
    activation: Activation = Activation.GELU
    dtype: torch.dtype = torch.bfloat16
    seed: int | None = None
    scales: dict[str, float] = attrs.field(factory=dict)
    is_tied: bool = True


CONFIGS = [
    Everything(name="x"),
    Everything(name="é: -\n", seed=2**63 - 1, scales={"a": 1e300, "b": -0.0}, is_tied=False, layers=()),
    ProteinModelConfig(vocabulary_size=30, max_length=512),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_it_comes_back_without_a_loss(config) -> None:
    for there, back in ((config_to_json, config_from_json), (config_to_yaml, config_from_yaml)):
        assert back(type(config), there(config)) == config
        assert there(back(type(config), there(config))) == there(config)
    assert config_id(config) == config_id(attrs.evolve(config))


def test_another_field_is_another_id() -> None:
    base = ProteinModelConfig(vocabulary_size=30, max_length=512)
    changes = [{"vocabulary_size": 31}, {"max_length": 5}, {"num_layers": 3}, {"dropout": 0.2}, {"num_heads": 2}]
    assert len({config_id(base), *(config_id(attrs.evolve(base, **change)) for change in changes)}) == 6
    assert config_id(base) == "b48c2f5fe47aa638af08d26fcff58eebe2d2321297474ca16cf51dde8c316894"


def test_an_id_is_the_same_in_another_process() -> None:
    script = (
        "from bionemo.core.model.config_text import config_id\n"
        "from bionemo.examples.protein_model import ProteinModelConfig\n"
        "print(config_id(ProteinModelConfig(vocabulary_size=30, max_length=512)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == config_id(CONFIGS[2])


def test_defaults_may_be_left_out_and_the_class_as_well() -> None:
    assert config_from_yaml(Everything, "name: x") == Everything(name="x")
    assert config_from_json(Everything, '{"name": "x", "layers": [{"width": 3}]}').layers == (Layer(width=3),)
    assert config_from_json(Layer, '{"dropout": 1}') == Layer(dropout=1.0)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Layer, '{"widht": 3}', "Extra fields in constructor for Layer: widht"),
        (Everything, '{"name": "x", "layers": [{"depth": 3}]}', r"depth @ \$.layers\[0\]"),
        (Everything, "{}", r"name is missing @ \$.name"),
        (Layer, '{"width": "3"}', r"must be of type int, got '3' of type str @ \$.width"),
        (Layer, '{"width": 1.5}', r"must be of type int, got 1.5"),
        (Layer, '{"width": true}', r"must be of type int, got True"),
        (Layer, '{"dropout": "low"}', "must be of type float, got 'low'"),
        (Layer, '{"dropout": .inf}', "must be finite, got inf|text must be JSON"),
        (Layer, '{"dropout": 1e400}', "must be finite, got inf|must be of type float"),
        (Layer, '{"width": 0}', "'width' must be >= 1: 0"),
        (Everything, '{"name": "x", "dtype": "float12"}', "must be the name of a dtype, .*got 'float12'"),
        (Everything, '{"name": "x", "dtype": "nn"}', "must be the name of a dtype"),
        (Everything, '{"name": "x", "activation": "relu"}', "relu"),
        (Layer, '{"type": "elsewhere.Layer"}', "must be that of a .*Layer, got one of elsewhere.Layer"),
        (Layer, "[3]", r"must hold the fields of Layer by name, got \[3\]"),
        (Layer, "{", "text must be (JSON|YAML), got '{'"),
        (
            ProteinModelConfig,
            '{"vocabulary_size": 30, "max_length": 9, "num_heads": 5}',
            "hidden_size must be a multiple of num_heads, got hidden_size=64 and num_heads=5",
        ),
    ],
)
def test_a_text_that_does_not_fit_is_named(kind: type, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_json(kind, text)
    if text:
        with pytest.raises(ValueError, match=message):
            config_from_yaml(kind, text)


def test_what_yaml_reads_as_text_says_how_to_write_it() -> None:
    with pytest.raises(ValueError, match=r"got '1e-5' of type str \(YAML 1.1 .*write 1.0e-5\) @ \$.dropout"):
        config_from_yaml(Layer, "dropout: 1e-5")
    with pytest.raises(ValueError, match="text must be YAML, got 'a: b: c'"):
        config_from_yaml(Layer, "a: b: c")


def test_equal_configurations_have_equal_ids() -> None:
    pairs = [
        (Layer(dropout=1), Layer(dropout=1.0)),
        (Layer(dropout=-0.0), Layer(dropout=0.0)),
        (Layer(width=np.int64(3)), Layer(width=3)),
        (Layer(dropout=np.float64(0.5)), Layer(dropout=0.5)),
    ]
    for one, two in pairs:
        assert one == two
        assert config_id(one) == config_id(two)
        assert config_to_yaml(one) == config_to_yaml(two)


def test_sets_are_written_in_one_sequence() -> None:
    script = (
        "import attrs\nfrom bionemo.core.model.config_text import config_id\n"
        "@attrs.frozen\nclass Kinds:\n    names: frozenset[str]\n"
        "print(config_id(Kinds(frozenset('abcdefgh'))))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(found) == 1


def test_what_would_not_come_back_is_refused() -> None:
    @attrs.frozen
    class Deep(Layer):
        depth: int = 7

    @attrs.frozen
    class Loose:
        part: Any = None
        layer: Layer | None = None
        by_number: dict[int, str] = attrs.field(factory=dict)

    for config in (Loose(part=(1, 2)), Loose(layer=Deep()), Loose(by_number={1: "a"}), Loose(part=Layer())):
        with pytest.raises(TypeError, match="config must (hold plain values|come back from its text)"):
            config_id(config)
    assert config_from_json(Loose, config_to_json(Loose(layer=Layer(width=3)))) == Loose(layer=Layer(width=3))


def test_a_class_whose_fields_can_not_be_told_apart_is_refused() -> None:
    class Odd:
        pass

    @attrs.frozen
    class Holds:
        part: Odd | None = None

    with pytest.raises(ValueError, match="Holds"):
        config_from_json(Holds, '{"part": 3}')


def test_what_is_no_config_is_refused() -> None:
    @attrs.frozen
    class Typed:
        type: str = "x"

    @attrs.frozen
    class Holds:
        part: object = None

    with pytest.raises(TypeError, match="config must be an attrs record, got 3"):
        config_to_json(3)
    with pytest.raises(TypeError, match="must have no field called type, got Typed"):
        config_to_json(Typed())
    for write in (config_to_json, config_to_yaml):
        with pytest.raises(TypeError, match="config must hold plain values"):
            write(Holds(part=object()))
    with pytest.raises(ValueError, match="Out of range float values"):
        config_to_json(Layer(dropout=float("nan")))
    assert list(yaml.safe_load(config_to_yaml(Layer()))) == ["type", "width", "dropout"]  # in the record's sequence
