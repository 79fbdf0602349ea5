"""Records as megatron-core's configurations."""

import dataclasses
import subprocess
import sys

import attrs
import pytest
import torch

from bionemo.adapters.megatron import TransformerRecord, to_megatron

RECORD = TransformerRecord(num_layers=2, hidden_size=24, num_attention_heads=4, num_query_groups=2)


def test_every_field_arrives_and_all_others_keep_their_defaults() -> None:
    record = attrs.evolve(RECORD, hidden_dropout=0.3, extra={"normalization": "RMSNorm", "add_bias_linear": False})
    config = to_megatron(record, tensor_model_parallel_size=2, params_dtype=torch.bfloat16, use_cpu_initialization=True)
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
    plain = to_megatron(TransformerRecord(num_layers=2, hidden_size=24, num_attention_heads=4))
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
    first, second = to_megatron(RECORD), to_megatron(RECORD)
    first.num_layers = 9
    assert second.num_layers == RECORD.num_layers == 2
    assert hash(RECORD) == hash(attrs.evolve(RECORD))


def test_another_class_and_another_record_will_do() -> None:
    @dataclasses.dataclass
    class Future:
        num_layers: int
        width: int = 3
        new: str = "default"

    @attrs.frozen
    class Mine:
        num_layers: int = 5
        width: int | None = None

    assert to_megatron(Mine(), Future) == Future(num_layers=5, width=3, new="default")
    assert to_megatron(Mine(), Future, new="given").new == "given"


@pytest.mark.parametrize(
    ("change", "runtime", "message"),
    [
        ({"hidden_size": 30}, {}, "hidden_size must be a multiple of num_attention_heads, got hidden_size=30 and"),
        ({"num_query_groups": 3}, {}, "num_attention_heads must be a multiple of num_query_groups"),
        ({"num_layers": 0}, {}, "num_layers must be in 1.*, got num_layers=0"),
        (
            {"hidden_dropout": 1.0},
            {},
            "must be a share of 1, at least 0 and below 1, got hidden_dropout=1.0",
        ),
        ({"attention_dropout": "0.1"}, {}, "attention_dropout must be a share of 1"),
        ({"hidden_dropout": float("nan")}, {}, "hidden_dropout must be a share of 1"),
        (
            {"extra": {"params_dtype": 3}},
            {},
            "must hold what the model is, got params_dtype: it says how it runs",
        ),
        ({"extra": {"context_parallel_size": 2}}, {}, "got context_parallel_size: it says how it runs"),
        ({"extra": "abc"}, {}, "extra must be a mapping from names of fields, or such pairs, each name once"),
        ({"extra": [("a", 1), ("a", "x")]}, {}, "each name once, got"),
        ({}, {"tensor_model_parallel_size": 0}, "tensor_model_parallel_size must be in 1.*, got"),
        ({"extra": {"hidden_size": 3}}, {}, "extra must not hold fields of the record itself, got hidden_size"),
        ({"extra": {"num_leyers": 3}}, {}, "must be those of TransformerConfig, got num_leyers"),
        ({}, {"tensor_parallel": 3, "a": 1}, "must be those of TransformerConfig, got a, tensor_parallel"),
        ({}, {"hidden_size": 3}, "runtime must not hold fields of the record, got hidden_size"),
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
def test_what_does_not_fit_is_named(change: dict, runtime: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_megatron(attrs.evolve(RECORD, **change), **runtime)


@pytest.mark.parametrize("size", [2.0, True, "2", None])
@pytest.mark.usefixtures("no_type_checks")
def test_sizes_are_integers(size: object) -> None:
    for name in ("num_layers", "hidden_size", "num_attention_heads"):
        with pytest.raises(TypeError, match=f"{name} must be an integer, got {name}={size!r}"):
            attrs.evolve(RECORD, **{name: size})


def test_a_width_of_heads_of_their_own_frees_the_hidden_size() -> None:
    record = TransformerRecord(num_layers=1, hidden_size=18, num_attention_heads=4, extra={"kv_channels": 8})
    assert to_megatron(record).kv_channels == 8


def test_what_megatron_changes_is_not_the_record() -> None:
    record = attrs.evolve(RECORD, extra={"recompute_modules": ["mlp"], "activation_func_clamp_value": None})
    assert [name for name, _ in record.extra] == ["activation_func_clamp_value", "recompute_modules"]
    to_megatron(record).recompute_modules.append("x")
    assert dict(record.extra)["recompute_modules"] == ["mlp"]


def test_megatron_is_imported_when_it_is_needed_and_in_silence() -> None:
    script = """
import sys, warnings
warnings.simplefilter("error")
from bionemo.adapters.megatron import TransformerRecord, to_megatron
assert not [name for name in sys.modules if name.split(".")[0] == "megatron"]
print(to_megatron(TransformerRecord(num_layers=1, hidden_size=4, num_attention_heads=2)).kv_channels)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("2\n", "")


def test_without_megatron_the_error_names_the_extra() -> None:
    script = """
import sys
sys.modules["megatron"] = None
from bionemo.adapters.megatron import TransformerRecord, to_megatron
try:
    to_megatron(TransformerRecord(num_layers=1, hidden_size=4, num_attention_heads=2))
except ModuleNotFoundError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == (
        "megatron.core.transformer.transformer_config can't be imported: pip install 'bionemo-core[megatron]'\n"
    )
