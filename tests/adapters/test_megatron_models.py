"""Megatron-core's models from records, in one process."""

from collections.abc import Iterator

import attrs
import pytest
import torch
import torch.distributed

from bionemo.adapters.megatron import (
    BertConfig,
    CoreAttention,
    GPTConfig,
    TransformerRecord,
    as_megatron,
    data_parallel_place,
    model_parallel,
)
from bionemo.adapters.megatron.imports import import_megatron
from bionemo.core.model.config import build_model
from bionemo.core.model.config_text import config_from_yaml, config_id, config_to_yaml
from bionemo.core.model.functional import apply, init_params
from bionemo.core.utils.random_utils import make_generator

SIZES = TransformerRecord(num_layers=2, hidden_size=16, num_attention_heads=4, num_query_groups=2)
CONFIGS = [
    kind(transformer=SIZES, vocabulary_size=24, max_length=16, position_embedding_type=positions)
    for kind in (GPTConfig, BertConfig)
    for positions in ("rope", "learned_absolute", "none")
]
LENGTHS = (7, 3, 0, 1)


@pytest.fixture
def groups() -> Iterator[None]:
    with model_parallel():
        yield


def make_batch(padding: tuple[int, int] = (0, 0), padding_value: int = 0) -> dict[str, torch.Tensor]:
    """Return four rows, with so many more cells before and behind them."""
    ids = torch.randint(24, (4, 7), generator=make_generator(3))
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    return {
        "ids": torch.nn.functional.pad(ids.where(mask, padding_value), padding, value=padding_value),
        "mask": torch.nn.functional.pad(mask, padding, value=False),
    }


def is_learned_bert(config: object) -> bool:
    return isinstance(config, BertConfig) and config.position_embedding_type == "learned_absolute"


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_the_model_is_megatrons_and_answers_with_logits(config) -> None:
    gpt, bert = (import_megatron(f"megatron.core.models.{name}.{name}_model") for name in ("gpt", "bert"))
    model = build_model(config, generator=make_generator(1))
    assert isinstance(model, gpt.GPTModel if isinstance(config, GPTConfig) else bert.BertModel)
    assert any(isinstance(module, CoreAttention) for module in model.modules())
    assert model(make_batch()).shape == (4, 7, 24)
    assert model.config.calculate_per_token_loss


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_the_answer_at_real_tokens_does_not_depend_on_the_padding(config) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    batch = make_batch()
    expected = model(batch)[batch["mask"]]
    assert expected.isfinite().all()
    sides = [(0, 0), (0, 5)] if is_learned_bert(config) else [(0, 0), (0, 5), (4, 0), (2, 3)]
    for padding in sides:
        other = make_batch(padding, padding_value=9)
        torch.testing.assert_close(model(other)[other["mask"]], expected, atol=1e-6, rtol=1e-5)
    alone = {"ids": batch["ids"][:1]}  # without padding a mask isn't needed
    torch.testing.assert_close(model(alone)[0], expected[:7], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_gpt_reads_what_came_before_alone_and_bert_all(config) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    ids = make_batch()["ids"]
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 24
    is_same = (model({"ids": ids}) == model({"ids": changed})).all(-1).all(0)
    assert is_same.tolist() == [isinstance(config, GPTConfig)] * 5 + [False] * 2
    if isinstance(config, GPTConfig) and config.position_embedding_type == "none":
        assert not is_same[5:].any()


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("groups")
def test_where_a_token_stands_counts_but_without_positions(config) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    last = model({"ids": torch.tensor([[1, 2, 3]])})[0, -1], model({"ids": torch.tensor([[2, 1, 3]])})[0, -1]
    is_blind = config.position_embedding_type == "none" and isinstance(config, BertConfig)
    differ = not torch.allclose(*last, atol=1e-6)
    assert differ or config.position_embedding_type == "none"
    assert not (differ and is_blind)


@pytest.mark.usefixtures("groups")
def test_weights_come_from_the_generator_and_no_global_state_moves() -> None:
    state = torch.get_rng_state()
    first, second = (build_model(CONFIGS[0], generator=make_generator(1)).state_dict() for _ in range(2))
    other = build_model(CONFIGS[0], generator=make_generator(2)).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    tensors = [name for name, value in first.items() if isinstance(value, torch.Tensor)]
    assert all(torch.equal(first[name], second[name]) for name in tensors)
    assert not torch.equal(first["embedding.word_embeddings.weight"], other["embedding.word_embeddings.weight"])


@pytest.mark.usefixtures("groups")
def test_runtime_arguments_say_how_it_runs() -> None:
    model = build_model(CONFIGS[0], generator=make_generator(1), params_dtype=torch.bfloat16, bf16=True)
    assert model.output_layer.weight.dtype == torch.bfloat16
    expected = build_model(CONFIGS[0], generator=make_generator(1)).eval()(make_batch())
    in_half = import_megatron("megatron.core.transformer.module").Float16Module(model.config, model).eval()
    assert {parameter.dtype for parameter in in_half.parameters()} == {torch.bfloat16}
    assert model.rotary_pos_emb.inv_freq.dtype == torch.float32
    torch.testing.assert_close(in_half(make_batch()), expected, atol=0.02, rtol=0.02)
    with pytest.raises(ValueError, match="must be those of TransformerConfig, got precision"):
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
def test_shared_weights_are_those_of_the_first_layer() -> None:
    config = attrs.evolve(CONFIGS[1], share_embeddings_and_output_weights=True)
    names = [name for name, _ in build_model(config, generator=make_generator(1)).named_parameters()]
    assert "embedding.word_embeddings.weight" in names
    assert "output_layer.weight" not in names


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[3]])
@pytest.mark.usefixtures("groups")
def test_it_is_a_pure_function_of_its_parameters(config) -> None:
    model = build_model(config, generator=make_generator(1)).eval()
    batch = make_batch()
    params = init_params(config, generator=make_generator(1))
    torch.testing.assert_close(apply(config, params, batch), model(batch))


@pytest.mark.parametrize("config", CONFIGS)
def test_records_go_to_text_and_back(config) -> None:
    config = attrs.evolve(config, transformer=attrs.evolve(SIZES, extra={"normalization": "RMSNorm", "qk_clip": False}))
    assert config_from_yaml(type(config), config_to_yaml(config)) == config
    assert len({config_id(part) for part in [*CONFIGS, config]}) == len(CONFIGS) + 1


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"vocabulary_size": 0}, "vocabulary_size must be in 1.*, got vocabulary_size=0"),
        ({"max_length": 0}, "max_length must be in 1.*, got max_length=0"),
        ({"position_embedding_type": "sine"}, "'position_embedding_type' must be in"),
    ],
)
def test_fields_that_cannot_be_are_refused(field: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attrs.evolve(CONFIGS[0], **field)


def test_without_groups_the_error_names_them() -> None:
    with pytest.raises(RuntimeError, match=r"groups of processes must be there. Do this within model_parallel\(\)"):
        build_model(CONFIGS[0], generator=make_generator(1))
    with pytest.raises(RuntimeError, match="groups of processes must be there"):
        as_megatron(torch.nn.Linear(2, 2))


def test_groups_are_taken_apart_also_behind_an_error() -> None:
    with pytest.raises(KeyError), model_parallel():
        assert data_parallel_place() == (0, 1)
        with pytest.raises(RuntimeError, match="must not be there yet"), model_parallel():
            pass
        assert data_parallel_place() == (0, 1)
        raise KeyError
    assert not torch.distributed.is_initialized()
    several = r"multiple of the product .*, got 1 and tensor_model_parallel_size=2. Start .* --nproc-per-node=2"
    with pytest.raises(RuntimeError, match=several), model_parallel(tensor_model_parallel_size=2):
        pass
    assert not torch.distributed.is_initialized()
    with model_parallel():
        assert data_parallel_place() == (0, 1)


@pytest.mark.usefixtures("groups")
def test_several_stages_on_a_rank_are_refused() -> None:
    state = import_megatron("megatron.core.parallel_state")
    state.set_virtual_pipeline_model_parallel_world_size(2)
    with pytest.raises(ValueError, match="virtual_pipeline_model_parallel_size must be 1 for the models of these"):
        build_model(CONFIGS[0], generator=make_generator(1))


def test_processes_that_were_started_are_left_running() -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        with model_parallel():
            assert data_parallel_place() == (0, 1)
        assert torch.distributed.is_initialized()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("groups")
def test_a_module_of_torch_is_one_of_megatrons() -> None:
    from megatron.core.transformer.module import MegatronModule

    linear = torch.nn.Linear(2, 3)
    model = as_megatron(linear, timers=None)
    assert isinstance(model, MegatronModule)
    assert list(model.parameters()) == list(linear.parameters())
    assert torch.equal(model(torch.ones(2)), linear(torch.ones(2)))
    with pytest.raises(ValueError, match="must be those of model_parallel.., got tensor_model_parallel_size"):
        as_megatron(linear, tensor_model_parallel_size=2)


@pytest.mark.parametrize("kind", ["tensor", "pipeline"])
@pytest.mark.usefixtures("groups")
def test_ranks_that_share_a_model_cannot_train_a_whole_one(monkeypatch, kind: str) -> None:
    state = import_megatron("megatron.core.parallel_state")
    monkeypatch.setattr(state, f"get_{kind}_model_parallel_world_size", lambda: 2)
    with pytest.raises(ValueError, match=f"{kind}_model_parallel_size must be 1 for a module that is whole"):
        as_megatron(torch.nn.Linear(2, 3))


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (
            "tensor",
            attrs.evolve(CONFIGS[0], vocabulary_size=25),
            "vocabulary_size must be a multiple of tensor_mod",
        ),
        ("tensor", attrs.evolve(CONFIGS[3], vocabulary_size=25), "vocabulary_size=25 and tensor_model_parallel_size=2"),
        (
            "pipeline",
            attrs.evolve(CONFIGS[0], transformer=attrs.evolve(SIZES, num_layers=3)),
            "num_layers must be a",
        ),
        ("context", CONFIGS[0], "context_parallel_size must be 1 for the models of these records, got context_p"),
    ],
)
@pytest.mark.usefixtures("groups")
def test_what_ranks_cannot_share_is_refused(monkeypatch, kind: str, config, message: str) -> None:
    state = import_megatron("megatron.core.parallel_state")
    name = "get_context_parallel_world_size" if kind == "context" else f"get_{kind}_model_parallel_world_size"
    monkeypatch.setattr(state, name, lambda: 2)
    with pytest.raises(ValueError, match=message):
        build_model(config, generator=make_generator(1))


@pytest.mark.parametrize(
    ("config", "extra"),
    [(CONFIGS[0], {"multi_latent_attention": True}), (CONFIGS[0], {"mtp_num_layers": 1})]
    + [(CONFIGS[3], extra) for extra in ({"qk_layernorm": True}, {"qk_l2_norm": True})],
)
@pytest.mark.usefixtures("groups")
def test_fields_that_would_not_reach_the_layers_are_refused(config, extra: dict) -> None:
    config = attrs.evolve(config, transformer=attrs.evolve(SIZES, extra=extra))
    with pytest.raises(ValueError, match=f"{next(iter(extra))} must not be given for a {type(config).__name__}"):
        build_model(config, generator=make_generator(1))


@pytest.mark.usefixtures("groups")
def test_rotary_positions_want_an_even_width() -> None:
    config = attrs.evolve(CONFIGS[0], transformer=attrs.evolve(SIZES, hidden_size=12))
    with pytest.raises(ValueError, match="must be even for rotary positions, got kv_channels=3"):
        build_model(config, generator=make_generator(1))


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        (torch.ones(2, 3), TypeError, 'must be a mapping with "ids", .* got a Tensor'),
        ({"input_ids": torch.ones(2, 3)}, TypeError, "got with input_ids"),
        ({"ids": torch.ones(2, 3)}, ValueError, r"must be integers \(rows, tokens\), .*float32 \(2, 3\), no mask"),
        ({"ids": torch.ones(2, dtype=torch.int64)}, ValueError, r"got torch.int64 \(2,\), no mask"),
        (
            {"ids": torch.ones(2, 3, dtype=torch.int64), "mask": torch.ones(2, 4)},
            ValueError,
            r"int64 \(2, 3\), mask \(2, 4\)",
        ),
        ({"ids": torch.tensor([[1, 24]])}, ValueError, "ids must be in 0..23, those of the vocabulary, got 1..24"),
        ({"ids": torch.tensor([[-5, 3]])}, ValueError, "got -5..3"),
        ({"ids": torch.zeros(2, 17, dtype=torch.int64)}, ValueError, r"at most max_length=16 long, got ids \(2, 17\)"),
    ],
)
@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[3]])
@pytest.mark.usefixtures("groups", "no_type_checks")
def test_batches_that_do_not_fit_are_refused(config, batch: object, error: type, message: str) -> None:
    model = build_model(config, generator=make_generator(1))
    with pytest.raises(error, match=message):
        model(batch)


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[3]])
@pytest.mark.usefixtures("groups")
def test_masks_of_numbers_are_masks(config) -> None:
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
def test_megatrons_layers_stay_as_they_are() -> None:
    build_model(CONFIGS[3], generator=make_generator(1))
    spec = import_megatron("megatron.core.models.bert.bert_layer_specs").bert_layer_local_spec
    assert spec.submodules.self_attention.submodules.core_attention is not CoreAttention


@pytest.mark.usefixtures("groups")
def test_stages_send_what_they_compute_in() -> None:
    for runtime, sent in (
        ({}, torch.float32),
        ({"bf16": True}, torch.bfloat16),
        ({"fp16": True}, torch.float16),
        ({"params_dtype": torch.bfloat16}, torch.bfloat16),
    ):
        model = build_model(CONFIGS[0], generator=make_generator(1), **runtime)
        assert model.config.pipeline_dtype == sent


@pytest.mark.usefixtures("groups")
def test_layers_of_a_later_stage_are_others_from_the_first_draw_on(monkeypatch) -> None:
    state = import_megatron("megatron.core.parallel_state")
    first = build_model(CONFIGS[2], generator=make_generator(1))
    monkeypatch.setattr(state, "get_pipeline_model_parallel_rank", lambda: 1)
    monkeypatch.setattr(state, "is_pipeline_first_stage", lambda: True)
    later = build_model(CONFIGS[2], generator=make_generator(1))
    assert not torch.equal(first.embedding.word_embeddings.weight, later.embedding.word_embeddings.weight)
