"""Transformer sizes, and megatron-core's configurations built from them."""

import dataclasses
import subprocess
import sys
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from bionemo.adapters.megatron import TransformerSizes, transformer_config
from bionemo.core.record import fingerprint, from_json, to_json

SIZES = TransformerSizes(num_layers=2, hidden_size=24, num_attention_heads=4, num_query_groups=2)


def test_every_field_is_passed_on_and_all_others_keep_their_defaults() -> None:
    sizes = attrs.evolve(SIZES, hidden_dropout=0.3, extra={"normalization": "RMSNorm", "add_bias_linear": False})
    config = transformer_config(
        sizes, tensor_model_parallel_size=2, params_dtype=torch.bfloat16, use_cpu_initialization=True
    )
    given = {
        "num_layers": 2,
        "hidden_size": 24,
        "num_attention_heads": 4,
        "num_query_groups": 2,
        "hidden_dropout": 0.3,
        "attention_dropout": 0.1,
        "normalization": "RMSNorm",
        "add_bias_linear": False,
        "tensor_model_parallel_size": 2,
        "params_dtype": torch.bfloat16,
        "use_cpu_initialization": True,
    }
    assert {name: getattr(config, name) for name in given} == given
    plain = transformer_config(TransformerSizes(num_layers=2, hidden_size=24, num_attention_heads=4))
    derived = {
        "init_method",
        "output_layer_init_method",
        "embedding_init_method",
        "expert_tensor_parallel_size",
        "autocast_dtype",
    }
    for field in dataclasses.fields(config):
        if field.name not in given.keys() | derived:
            assert getattr(config, field.name) == getattr(plain, field.name), field.name


def test_the_configuration_is_new_each_time() -> None:
    first, second = transformer_config(SIZES), transformer_config(SIZES)
    first.num_layers = 9
    assert second.num_layers == SIZES.num_layers == 2
    assert hash(SIZES) == hash(attrs.evolve(SIZES))


def test_any_attrs_record_and_any_dataclass_can_be_used() -> None:
    @dataclasses.dataclass
    class Future:
        num_layers: int
        width: int = 3
        new: str = "default"

    @attrs.frozen
    class Mine:
        num_layers: int = 5
        width: int | None = None

    assert transformer_config(Mine(), Future) == Future(num_layers=5, width=3, new="default")
    assert transformer_config(Mine(), Future, new="given").new == "given"


@pytest.mark.parametrize(
    ("change", "runtime", "message"),
    [
        ({"hidden_size": 30}, {}, "hidden_size must be a multiple of num_attention_heads, got hidden_size=30 and"),
        ({"num_query_groups": 3}, {}, "num_attention_heads must be a multiple of num_query_groups"),
        ({"num_layers": 0}, {}, "num_layers must be in 1.*, got num_layers=0"),
        (
            {"hidden_dropout": 1.0},
            {},
            "hidden_dropout must be a fraction, at least 0 and below 1, got hidden_dropout=1.0",
        ),
        ({"attention_dropout": "0.1"}, {}, "attention_dropout must be a fraction, at least 0"),
        ({"hidden_dropout": float("nan")}, {}, "hidden_dropout must be a fraction, at least 0"),
        (
            {"extra": {"params_dtype": 3}},
            {},
            "must hold what the model is, got params_dtype: it says how it runs",
        ),
        ({"extra": {"context_parallel_size": 2}}, {}, "got context_parallel_size: it says how it runs"),
        ({"extra": "abc"}, {}, "extra must be a mapping from field names to values, or .* pairs with each"),
        ({"extra": None}, {}, "extra must be a mapping from field names to values, .* got extra=None"),
        ({"extra": ["ab"]}, {}, "extra must be a mapping from field names to values, .* got extra=.'ab'"),
        ({"extra": {1: 2}}, {}, "extra must be a mapping from field names to values, .* got extra={1: 2}"),
        ({"extra": [("a", 1), ("a", "x")]}, {}, "with each name once, got extra="),
        ({}, {"tensor_model_parallel_size": 0}, "tensor_model_parallel_size must be in 1.*, got"),
        ({"extra": {"hidden_size": 3}}, {}, "extra must not hold fields of TransformerSizes itself, got hidden_size"),
        ({"extra": {"num_leyers": 3}}, {}, "must have the fields of TransformerConfig, got num_leyers"),
        ({}, {"tensor_parallel": 3, "a": 1}, "must have the fields of TransformerConfig, got a, tensor_parallel"),
        ({}, {"hidden_size": 3}, "runtime must not hold fields that sizes has, got hidden_size"),
        ({}, {"tensor_model_parallel_size": 4}, "num_query_groups must be a multiple of tensor_model_parallel_size"),
        (
            {"num_query_groups": None},
            {"tensor_model_parallel_size": 3},
            "num_attention_heads must be a multiple of tensor_model_parallel_size, got num_attention_heads=4 and",
        ),
        (
            {"ffn_hidden_size": 33},
            {"tensor_model_parallel_size": 2},
            "ffn_hidden_size must be a multiple of tensor_model_parallel_size",
        ),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_invalid_fields_are_named(change: dict, runtime: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transformer_config(attrs.evolve(SIZES, **change), **runtime)


@pytest.mark.parametrize("size", [2.0, True, "2", None])
@pytest.mark.usefixtures("no_type_checks")
def test_sizes_must_be_integers(size: object) -> None:
    for name in ("num_layers", "hidden_size", "num_attention_heads"):
        with pytest.raises(TypeError, match=f"{name} must be an integer, got {name}={size!r}"):
            attrs.evolve(SIZES, **{name: size})


def test_with_kv_channels_hidden_size_need_not_be_a_multiple() -> None:
    sizes = TransformerSizes(num_layers=1, hidden_size=18, num_attention_heads=4, extra={"kv_channels": 8})
    assert transformer_config(sizes).kv_channels == 8


def test_what_megatron_core_changes_is_a_copy() -> None:
    sizes = attrs.evolve(SIZES, extra={"recompute_modules": ["mlp"], "activation_func_clamp_value": None})
    assert [name for name, _ in sizes.extra] == ["activation_func_clamp_value", "recompute_modules"]
    transformer_config(sizes).recompute_modules.append("x")
    assert dict(sizes.extra)["recompute_modules"] == ("mlp",)


def test_extra_is_hashable_and_shares_nothing_with_the_caller() -> None:
    frequencies, layout = [1, 0], [["embedding", "decoder"], ["decoder", "loss"]]
    extra = {"moe_layer_freq": frequencies, "pipeline_model_parallel_layout": layout}
    sizes = attrs.evolve(SIZES, extra=extra)
    expected = attrs.evolve(SIZES, extra=reversed(sizes.extra))
    assert hash(sizes) == hash(expected)
    frequencies.append(1)
    layout[0].clear()
    extra["normalization"] = "RMSNorm"
    assert sizes == expected
    assert sizes.extra == (
        ("moe_layer_freq", (1, 0)),
        ("pipeline_model_parallel_layout", (("embedding", "decoder"), ("decoder", "loss"))),
    )


def test_values_of_extra_arrive_as_the_types_of_megatron_core() -> None:
    extra = {
        "moe_layer_freq": [np.int64(1), 0],
        "window_size": [3, 0],
        "qk_clip": 1,
        "qk_clip_threshold": 50,
        "moe_aux_loss_coeff": 0,
        "no_rope_freq": 2,
        "activation_func": torch.nn.functional.silu,
    }
    config = transformer_config(attrs.evolve(SIZES, extra=extra))
    assert config.moe_layer_freq == [1, 0]
    assert type(config.moe_layer_freq[0]) is int
    assert config.window_size == (3, 0)
    assert config.qk_clip is True
    assert type(config.qk_clip_threshold) is float
    assert type(config.moe_aux_loss_coeff) is float
    assert config.no_rope_freq == [0, 1]  # megatron-core turns the period into one flag per layer
    assert config.activation_func is torch.nn.functional.silu


def test_nested_lists_and_annotations_of_text_are_understood() -> None:
    @dataclasses.dataclass
    class Future:
        num_layers: int
        layout: "list[list[str]] | None"
        pairs: "tuple[list[int], ...]"
        anything: Any

    @attrs.frozen
    class Mine:
        num_layers: int = 5
        layout: tuple[tuple[str, ...], ...] = (("a",), ())
        extra: tuple[tuple[str, Any], ...] = (("pairs", ((1,),)), ("anything", (2,)))

    assert transformer_config(Mine(), Future) == Future(5, [["a"], []], ((1,),), (2,))


@pytest.mark.parametrize("value", [{"a": 1}, {1, 2}, np.zeros(2), torch.ones(2), torch.nn.SiLU(), [{"a": 1}], object()])
@pytest.mark.usefixtures("no_type_checks")
def test_mutable_values_in_extra_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"extra must hold numbers, text, dtypes, .* got field=.* runtime argument"):
        attrs.evolve(SIZES, extra={"field": value})


def test_extra_is_read_from_json_as_a_mapping() -> None:
    text = """{"num_layers": 2, "hidden_size": 24, "num_attention_heads": 4, "num_query_groups": 2,
               "extra": {"moe_layer_freq": [1, 0], "normalization": "RMSNorm"}}"""
    expected = attrs.evolve(SIZES, extra={"normalization": "RMSNorm", "moe_layer_freq": [1, 0]})
    assert from_json(text, kinds=[TransformerSizes]) == expected
    assert from_json(to_json(expected), kinds=[TransformerSizes]) == expected
    assert len({fingerprint(sizes) for sizes in (SIZES, expected)}) == 2
    with pytest.raises(ValueError, match="extra must hold numbers, text, .* got normalization={'a': 1} of type dict"):
        from_json(text.replace('"RMSNorm"', '{"a": 1}'), kinds=[TransformerSizes])


def test_megatron_core_is_imported_on_first_use_without_warnings() -> None:
    script = """
import sys, warnings
warnings.simplefilter("error")
from bionemo.adapters.megatron import TransformerSizes, transformer_config
assert not [name for name in sys.modules if name.split(".")[0] == "megatron"]
print(transformer_config(TransformerSizes(num_layers=1, hidden_size=4, num_attention_heads=2)).kv_channels)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("2\n", "")


def test_without_megatron_core_the_error_names_the_extra() -> None:
    script = """
import sys
sys.modules["megatron"] = None
from bionemo.adapters.megatron import TransformerSizes, transformer_config
try:
    transformer_config(TransformerSizes(num_layers=1, hidden_size=4, num_attention_heads=2))
except ModuleNotFoundError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == (
        "megatron.core.transformer.transformer_config can't be imported: pip install 'bionemo-core[megatron]'\n"
    )
