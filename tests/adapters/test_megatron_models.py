"""Megatron-core's models built from configurations, in one process."""

from collections.abc import Iterator

import attrs
import pytest
import torch
import torch.distributed

from bionemo.adapters.megatron import (
    MegatronBertConfig,
    MegatronGPTConfig,
    MegatronWrapper,
    PortableDotProductAttention,
    TransformerSizes,
    model_parallel,
    rank_and_world_size,
)
from bionemo.adapters.megatron.imports import import_megatron
from bionemo.core.model.config import build_model
from bionemo.core.model.config_yaml import config_from_yaml, config_to_yaml
from bionemo.core.model.functional import apply, init_params
from bionemo.core.random import make_generator
from bionemo.core.record import fingerprint, from_json, to_json
from bionemo.data import collate_packed

SIZES = TransformerSizes(num_layers=2, hidden_size=16, num_attention_heads=4, num_query_groups=2)
CONFIGS = [
    kind(transformer=SIZES, vocab_size=24, max_length=16, position_embedding_type=positions)
    for kind in (MegatronGPTConfig, MegatronBertConfig)
    for positions in ("rope", "learned_absolute", "none")
]
LENGTHS = (7, 3, 0, 1)


@pytest.fixture
def groups() -> Iterator[None]:
    with model_parallel():
        yield


def make_batch(padding: tuple[int, int] = (0, 0), padding_value: int = 0) -> dict[str, torch.Tensor]:
    """Return four rows, with `padding` more columns before and after them."""
    ids = torch.randint(24, (4, 7), generator=make_generator(3))
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    return {
        "ids": torch.nn.functional.pad(ids.where(mask, padding_value), padding, value=padding_value),
        "mask": torch.nn.functional.pad(mask, padding, value=False),
    }


def is_learned_bert(config: object) -> bool:
    return isinstance(config, MegatronBertConfig) and config.position_embedding_type == "learned_absolute"


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_the_model_is_megatron_cores_and_returns_logits(config) -> None:
    gpt, bert = (import_megatron(f"megatron.core.models.{name}.{name}_model") for name in ("gpt", "bert"))
    model = build_model(config, generator=make_generator(1))
    assert isinstance(model, gpt.GPTModel if isinstance(config, MegatronGPTConfig) else bert.BertModel)
    assert any(isinstance(module, PortableDotProductAttention) for module in model.modules())
    assert model(make_batch()).shape == (4, 7, 24)
    assert model.config.calculate_per_token_loss


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_logits_at_real_tokens_do_not_depend_on_the_padding(config) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    batch = make_batch()
    expected = model(batch)[batch["mask"]]
    assert expected.isfinite().all()
    sides = [(0, 0), (0, 5)] if is_learned_bert(config) else [(0, 0), (0, 5), (4, 0), (2, 3)]
    for padding in sides:
        other = make_batch(padding, padding_value=9)
        torch.testing.assert_close(model(other)[other["mask"]], expected, atol=1e-6, rtol=1e-5)
    alone = {"ids": batch["ids"][:1]}  # without padding no mask is needed
    torch.testing.assert_close(model(alone)[0], expected[:7], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"divisible_by": 4, "length": 20}], ids=["whole", "padded"])
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_logits_at_real_tokens_do_not_depend_on_packing(config, options: dict) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    batch = make_batch()
    rows = [row[: int(mask.sum())] for row, mask in zip(batch["ids"], batch["mask"], strict=True)]
    packed = collate_packed([row for row in rows if len(row)], **options)
    logits = model(packed)
    assert logits.shape == (*packed["ids"].shape, 24)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[packed["mask"]], model(batch)[batch["mask"]], atol=1e-6, rtol=1e-5)


@pytest.mark.usefixtures("groups")
def test_packed_samples_that_are_too_long_and_padded_rows_of_context_parallel_ranks_are_refused(monkeypatch) -> None:
    model = build_model(CONFIGS[0], generator=make_generator(1))
    assert model(collate_packed([range(16), range(16)])).shape == (32, 24)
    with pytest.raises(ValueError, match="at most max_length=16 tokens"):
        model(collate_packed([range(17)]))
    with pytest.raises(ValueError, match="batch must be what collate_packed returned, got no tensor 'positions'"):
        model({"ids": torch.arange(3), "cu_seqlens": torch.tensor([0, 3])})
    monkeypatch.setattr(import_megatron("megatron.core.parallel_state"), "get_context_parallel_world_size", lambda: 2)
    with pytest.raises(ValueError, match="batch must be packed with context parallelism, got a padded one. Collate it"):
        build_model(CONFIGS[0], generator=make_generator(1))(make_batch())


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_gpt_sees_earlier_tokens_only_and_bert_all_of_them(config) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    ids = make_batch()["ids"]
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 24
    is_same = (model({"ids": ids}) == model({"ids": changed})).all(-1).all(0)
    assert is_same.tolist() == [isinstance(config, MegatronGPTConfig)] * 5 + [False] * 2
    if isinstance(config, MegatronGPTConfig) and config.position_embedding_type == "none":
        assert not is_same[5:].any()


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_the_order_of_tokens_matters_except_to_bert_without_positions(config) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    last = model({"ids": torch.tensor([[1, 2, 3]])})[0, -1], model({"ids": torch.tensor([[2, 1, 3]])})[0, -1]
    has_no_order = config.position_embedding_type == "none" and isinstance(config, MegatronBertConfig)
    differ = not torch.allclose(*last, atol=1e-6)
    assert differ or config.position_embedding_type == "none"
    assert not (differ and has_no_order)


@pytest.mark.usefixtures("groups")
def test_weights_come_from_the_generator_and_the_global_state_is_unchanged() -> None:
    state = torch.get_rng_state()
    first, second = (build_model(CONFIGS[0], generator=make_generator(1)).state_dict() for _ in range(2))
    other = build_model(CONFIGS[0], generator=make_generator(2)).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    tensors = [name for name, value in first.items() if isinstance(value, torch.Tensor)]
    assert all(torch.equal(first[name], second[name]) for name in tensors)
    assert not torch.equal(first["embedding.word_embeddings.weight"], other["embedding.word_embeddings.weight"])


@pytest.mark.usefixtures("groups")
def test_runtime_arguments_set_the_dtype() -> None:
    model = build_model(CONFIGS[0], generator=make_generator(1), params_dtype=torch.bfloat16, bf16=True)
    assert model.output_layer.weight.dtype == torch.bfloat16
    expected = build_model(CONFIGS[0], generator=make_generator(1)).eval()(make_batch())
    in_half = import_megatron("megatron.core.transformer.module").Float16Module(model.config, model).eval()
    assert {parameter.dtype for parameter in in_half.parameters()} == {torch.bfloat16}
    assert model.rotary_pos_emb.inv_freq.dtype == torch.float32
    torch.testing.assert_close(in_half(make_batch()), expected, atol=0.02, rtol=0.02)
    with pytest.raises(ValueError, match="must have the fields of TransformerConfig, got precision"):
        build_model(CONFIGS[0], generator=make_generator(1), precision=16)


@pytest.mark.parametrize("extra", [{"normalization": "RMSNorm"}, {"qk_layernorm": True}, {"rotary_interleaved": True}])
@pytest.mark.usefixtures("groups")
def test_extra_fields_reach_the_layers(extra: dict) -> None:
    config = attrs.evolve(CONFIGS[0], transformer=attrs.evolve(SIZES, extra=extra))
    usual, changed = (build_model(part, generator=make_generator(1)).eval() for part in (CONFIGS[0], config))
    batch = make_batch()
    assert changed(batch)[batch["mask"]].isfinite().all()
    assert not torch.equal(usual(batch), changed(batch))
    if "qk_layernorm" in extra:
        assert any("q_layernorm.weight" in name for name, _ in changed.named_parameters())


@pytest.mark.usefixtures("groups")
def test_shared_weights_are_those_of_the_embedding() -> None:
    config = attrs.evolve(CONFIGS[1], share_embeddings_and_output_weights=True)
    names = [name for name, _ in build_model(config, generator=make_generator(1)).named_parameters()]
    assert "embedding.word_embeddings.weight" in names
    assert "output_layer.weight" not in names


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[3]])
@pytest.mark.usefixtures("groups")
def test_the_model_can_be_applied_as_a_pure_function_of_its_parameters(config) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    batch = make_batch()
    params = init_params(config, generator=make_generator(1))
    torch.testing.assert_close(apply(config, params, batch), model(batch))


@pytest.mark.parametrize("config", CONFIGS)
def test_configurations_round_trip_through_text(config) -> None:
    config = attrs.evolve(config, transformer=attrs.evolve(SIZES, extra={"normalization": "RMSNorm", "qk_clip": False}))
    assert config_from_yaml(type(config), config_to_yaml(config)) == config
    assert from_json(to_json(config), kinds=[type(config)]) == config
    assert len({fingerprint(part) for part in [*CONFIGS, config]}) == len(CONFIGS) + 1


@pytest.mark.usefixtures("no_type_checks")
def test_extra_can_be_written_by_hand_in_yaml() -> None:
    text = """
vocab_size: 24
max_length: 16
transformer:
  num_layers: 2
  hidden_size: 16
  num_attention_heads: 4
  num_query_groups: 2
  extra: {normalization: RMSNorm, moe_layer_freq: [1, 0]}
"""
    sizes = attrs.evolve(SIZES, extra={"normalization": "RMSNorm", "moe_layer_freq": [1, 0]})
    config = config_from_yaml(MegatronGPTConfig, text)
    assert config == MegatronGPTConfig(transformer=sizes, vocab_size=24, max_length=16)
    assert hash(config) == hash(attrs.evolve(config))
    with pytest.raises(ValueError, match="extra must be a mapping from field names to values, .* got extra=None"):
        config_from_yaml(MegatronGPTConfig, text.replace("{normalization: RMSNorm, moe_layer_freq: [1, 0]}", ""))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be in 1.*, got vocab_size=0"),
        ({"max_length": 0}, "max_length must be in 1.*, got max_length=0"),
        (
            {"position_embedding_type": "sine"},
            "position_embedding_type must be 'learned_absolute' or 'rope' or 'none', got position_embedding_type=",
        ),
    ],
)
def test_invalid_values_of_fields_are_refused(field: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attrs.evolve(CONFIGS[0], **field)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"transformer": {"num_layers": 2}}, "transformer must be a TransformerSizes, got .* of type dict"),
        ({"transformer": None}, "transformer must be a TransformerSizes, got transformer=None of type NoneType"),
        ({"vocab_size": 2.5}, "vocab_size must be an integer, got vocab_size=2.5"),
        ({"share_embeddings_and_output_weights": 1}, "share_embeddings_and_output_weights must be True or False"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_fields_of_another_type_are_refused(field: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        attrs.evolve(CONFIGS[0], **field)


def test_without_process_groups_the_error_says_how_to_make_them() -> None:
    with pytest.raises(RuntimeError, match=r"process groups must exist. Call this inside a model_parallel\(\) block"):
        build_model(CONFIGS[0], generator=make_generator(1))
    with pytest.raises(RuntimeError, match="process groups must exist"):
        MegatronWrapper(torch.nn.Linear(2, 2))


def test_process_groups_are_destroyed_also_after_an_error() -> None:
    with pytest.raises(KeyError), model_parallel():
        assert rank_and_world_size() == (0, 1)
        with pytest.raises(RuntimeError, match="process groups must not exist yet"), model_parallel():
            pass
        assert rank_and_world_size() == (0, 1)
        raise KeyError
    assert not torch.distributed.is_initialized()
    several = (
        r"multiple of the product .*, got 1 and tensor_model_parallel_size=2. Start .* with torchrun --nproc-per-node=2"
    )
    with pytest.raises(RuntimeError, match=several), model_parallel(tensor_model_parallel_size=2):
        pass
    assert not torch.distributed.is_initialized()
    with model_parallel():
        assert rank_and_world_size() == (0, 1)


@pytest.mark.usefixtures("groups")
def test_virtual_stages_are_refused() -> None:
    state = import_megatron("megatron.core.parallel_state")
    state.set_virtual_pipeline_model_parallel_world_size(2)
    with pytest.raises(ValueError, match="virtual_pipeline_model_parallel_size must be 1 for the models of this"):
        build_model(CONFIGS[0], generator=make_generator(1))


def test_torch_distributed_stays_initialized_if_it_was() -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        with model_parallel():
            assert rank_and_world_size() == (0, 1)
        assert torch.distributed.is_initialized()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("groups")
def test_a_wrapped_torch_module_is_a_megatron_module() -> None:
    from megatron.core.transformer.module import MegatronModule

    linear = torch.nn.Linear(2, 3)
    model = MegatronWrapper(linear, timers=None)
    assert isinstance(model, MegatronModule)
    assert list(model.parameters()) == list(linear.parameters())
    assert torch.equal(model(torch.ones(2)), linear(torch.ones(2)))
    with pytest.raises(ValueError, match="must be those of model_parallel.., got tensor_model_parallel_size"):
        MegatronWrapper(linear, tensor_model_parallel_size=2)


@pytest.mark.parametrize("kind", ["tensor", "pipeline"])
@pytest.mark.usefixtures("groups")
def test_wrapping_is_refused_if_ranks_split_models(monkeypatch, kind: str) -> None:
    state = import_megatron("megatron.core.parallel_state")
    monkeypatch.setattr(state, f"get_{kind}_model_parallel_world_size", lambda: 2)
    with pytest.raises(ValueError, match=f"{kind}_model_parallel_size must be 1 for a module that is whole"):
        MegatronWrapper(torch.nn.Linear(2, 3))


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (
            "tensor",
            attrs.evolve(CONFIGS[0], vocab_size=25),
            "vocab_size must be a multiple of tensor_mod",
        ),
        ("tensor", attrs.evolve(CONFIGS[3], vocab_size=25), "vocab_size=25 and tensor_model_parallel_size=2"),
        (
            "pipeline",
            attrs.evolve(CONFIGS[0], transformer=attrs.evolve(SIZES, num_layers=3)),
            "num_layers must be a",
        ),
    ],
)
@pytest.mark.usefixtures("groups")
def test_sizes_that_ranks_cannot_share_are_refused(monkeypatch, kind: str, config, message: str) -> None:
    state = import_megatron("megatron.core.parallel_state")
    monkeypatch.setattr(state, f"get_{kind}_model_parallel_world_size", lambda: 2)
    with pytest.raises(ValueError, match=message):
        build_model(config, generator=make_generator(1))


@pytest.mark.parametrize(
    ("config", "extra"),
    [(CONFIGS[0], {"multi_latent_attention": True}), (CONFIGS[0], {"mtp_num_layers": 1})]
    + [(CONFIGS[3], extra) for extra in ({"qk_layernorm": True}, {"qk_l2_norm": True})],
)
@pytest.mark.usefixtures("groups")
def test_fields_without_effect_on_the_layers_are_refused(config, extra: dict) -> None:
    config = attrs.evolve(config, transformer=attrs.evolve(SIZES, extra=extra))
    with pytest.raises(ValueError, match=f"{next(iter(extra))} must not be given for a {type(config).__name__}"):
        build_model(config, generator=make_generator(1))


@pytest.mark.usefixtures("groups")
def test_rotary_positions_need_an_even_head_width() -> None:
    config = attrs.evolve(CONFIGS[0], transformer=attrs.evolve(SIZES, hidden_size=12))
    with pytest.raises(ValueError, match="kv_channels must be even for rotary positions, got kv_channels=3"):
        build_model(config, generator=make_generator(1))


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        (torch.ones(2, 3), TypeError, 'must be a mapping with "ids", .* got a Tensor'),
        ({"input_ids": torch.ones(2, 3)}, TypeError, "got with input_ids"),
        (
            {"ids": torch.ones(2, 3)},
            ValueError,
            r"ids must be integers of shape \(rows, tokens\), .*float32 \(2, 3\), no mask",
        ),
        ({"ids": torch.ones(2, dtype=torch.int64)}, ValueError, r"got torch.int64 \(2,\), no mask"),
        (
            {"ids": torch.ones(2, 3, dtype=torch.int64), "mask": torch.ones(2, 4)},
            ValueError,
            r"int64 \(2, 3\), mask \(2, 4\)",
        ),
        ({"ids": torch.tensor([[1, 24]])}, ValueError, "ids must be in the vocabulary, 0..23, got 1..24"),
        ({"ids": torch.tensor([[-5, 3]])}, ValueError, "got -5..3"),
        (
            {"ids": torch.zeros(2, 17, dtype=torch.int64)},
            ValueError,
            r"at most max_length=16 tokens, got ids \(2, 17\)",
        ),
    ],
)
@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[3]])
@pytest.mark.usefixtures("groups", "no_type_checks")
def test_invalid_batches_are_refused(config, batch: object, error: type, message: str) -> None:
    model = build_model(config, generator=make_generator(1))
    with pytest.raises(error, match=message):
        model(batch)


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[3]])
@pytest.mark.usefixtures("groups")
def test_masks_may_be_numbers(config) -> None:
    model, batch = build_model(config, generator=make_generator(1)).eval(), make_batch()
    for dtype in (torch.int64, torch.float32):
        assert torch.equal(model(batch | {"mask": batch["mask"].to(dtype)}), model(batch))


@pytest.mark.usefixtures("groups")
def test_rotary_angles_move_with_the_model() -> None:
    model = build_model(CONFIGS[0], generator=make_generator(1)).eval()
    assert model.rotary_pos_emb(4).device.type == "cpu"
    model.to("meta")
    assert model.rotary_pos_emb(4).device.type == "meta"


@pytest.mark.usefixtures("groups")
def test_megatron_cores_own_layer_specification_is_unchanged() -> None:
    build_model(CONFIGS[3], generator=make_generator(1))
    spec = import_megatron("megatron.core.models.bert.bert_layer_specs").bert_layer_local_spec
    assert spec.submodules.self_attention.submodules.core_attention is not PortableDotProductAttention


@pytest.mark.usefixtures("groups")
def test_stages_send_activations_in_the_dtype_they_compute_in() -> None:
    for runtime, sent in (
        ({}, torch.float32),
        ({"bf16": True}, torch.bfloat16),
        ({"fp16": True}, torch.float16),
        ({"params_dtype": torch.bfloat16}, torch.bfloat16),
    ):
        model = build_model(CONFIGS[0], generator=make_generator(1), **runtime)
        assert model.config.pipeline_dtype == sent


@pytest.mark.usefixtures("groups")
def test_later_stages_draw_different_weights(monkeypatch) -> None:
    state = import_megatron("megatron.core.parallel_state")
    first = build_model(CONFIGS[2], generator=make_generator(1))
    monkeypatch.setattr(state, "get_pipeline_model_parallel_rank", lambda: 1)
    monkeypatch.setattr(state, "is_pipeline_first_stage", lambda: True)
    later = build_model(CONFIGS[2], generator=make_generator(1))
    assert not torch.equal(first.embedding.word_embeddings.weight, later.embedding.word_embeddings.weight)
