"""Records that build megatron-core's models."""

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

import attrs
import torch
from torch import nn

from bionemo.adapters.megatron.attention import CoreAttention
from bionemo.adapters.megatron.config import TransformerRecord, check_divides, check_size, to_megatron
from bionemo.adapters.megatron.imports import import_megatron
from bionemo.adapters.megatron.parallel import parallel_state
from bionemo.core.model.config import BionemoTrainableModelConfig
from bionemo.core.model.loss import TokenCrossEntropy
from bionemo.core.utils.random_utils import make_generator, random_torch_context, seed_from_generator

__all__ = ["BertConfig", "GPTConfig", "as_megatron"]


def _runtime(given: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a model runs in this process: by its groups of processes, and as was given."""
    state = parallel_state()
    if sizes := [name for name in given if name.endswith("_parallel_size")]:
        message = f"parallel sizes must be those of model_parallel(), got {', '.join(sizes)}. Give them there."
        raise ValueError(message)
    several = {
        "context_parallel_size": state.get_context_parallel_world_size(),
        "virtual_pipeline_model_parallel_size": state.get_virtual_pipeline_model_parallel_world_size() or 1,
    }
    for name, size in several.items():
        if size > 1:
            message = f"{name} must be 1 for the models of these records, got {name}={size}."
            raise ValueError(message)
    halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
    sent = [dtype for name, dtype in halves.items() if given.get(name, extra.get(name))]
    return {
        "tensor_model_parallel_size": state.get_tensor_model_parallel_world_size(),
        "pipeline_model_parallel_size": state.get_pipeline_model_parallel_world_size(),
        "expert_model_parallel_size": state.get_expert_model_parallel_world_size(),
        "pipeline_dtype": sent[0] if sent else given.get("params_dtype", torch.float32),
        "use_cpu_initialization": True,
        "calculate_per_token_loss": True,
        "finalize_model_grads_func": import_megatron("megatron.core.distributed").finalize_model_grads,
        **given,
    }


@attrs.frozen(kw_only=True)
class _LanguageModelConfig(BionemoTrainableModelConfig[Any, TokenCrossEntropy]):
    """What GPT and BERT have in common."""

    ignored: ClassVar[tuple[str, ...]]
    """Fields of megatron-core's configuration that say what a layer is, but don't reach its local ones."""

    transformer: TransformerRecord = attrs.field(validator=attrs.validators.instance_of(TransformerRecord))
    vocabulary_size: int = attrs.field(validator=check_size)
    max_length: int = attrs.field(validator=check_size)
    position_embedding_type: Literal["learned_absolute", "rope", "none"] = attrs.field(
        default="rope", validator=attrs.validators.in_(("learned_absolute", "rope", "none"))
    )
    share_embeddings_and_output_weights: bool = False

    def configure_model(self, *, layer_spec: Any = None, **runtime: Any) -> Any:
        """Return this process's part of a new model, on the CPU: call it through `build_model`, on every rank alike.

        Law: with equal generators the parts of tensor-parallel ranks are those of the whole model.

        Args:
            layer_spec: megatron-core's, for layers of Transformer Engine, whose own attention decides what it makes of
                masks and where its dropout is drawn; None for its local layers with `CoreAttention`.
            **runtime: fields of megatron-core's configuration that say how the model runs: `params_dtype`, ... The
                parallel sizes are those of the groups of processes.

        Raises:
            ModuleNotFoundError: if megatron-core isn't installed.
            RuntimeError: if its groups of processes are not there: see `model_parallel`.
            ValueError: if the ranks can't share the heads, the vocabulary or the layers; if the groups are of
                context-parallel or virtual stages; if a field of `extra` isn't known, or wouldn't reach the layers.
        """
        config: Any = to_megatron(self.transformer, **_runtime(runtime, dict(self.transformer.extra)))
        ranks, stages = config.tensor_model_parallel_size, config.pipeline_model_parallel_size
        check_divides(ranks, by="tensor_model_parallel_size", vocabulary_size=self.vocabulary_size)
        check_divides(stages, by="pipeline_model_parallel_size", num_layers=config.num_layers)
        if layer_spec is None:
            self._check_reaches_layers(config)
        if self.position_embedding_type == "rope" and config.kv_channels % 2:
            message = f"a head's width must be even for rotary positions, got kv_channels={config.kv_channels}."
            raise ValueError(message)
        state, generator = parallel_state(), torch.default_generator
        if stage := state.get_pipeline_model_parallel_rank():  # else its layers would be those of the first
            generator = make_generator(seed_from_generator(generator), "stage", stage)
        with random_torch_context(generator):
            return self._build(
                config=config,
                transformer_layer_spec=self._local_spec(config) if layer_spec is None else layer_spec,
                vocab_size=self.vocabulary_size,
                max_sequence_length=self.max_length,
                pre_process=state.is_pipeline_first_stage(),
                post_process=state.is_pipeline_last_stage(),
                share_embeddings_and_output_weights=self.share_embeddings_and_output_weights,
                position_embedding_type=self.position_embedding_type,
            )

    def _check_reaches_layers(self, config: Any) -> None:
        usual = {field.name: field.default for field in dataclasses.fields(config)}
        for name in self.ignored:
            if getattr(config, name, usual.get(name)) != usual.get(name):
                message = f"{name} must not be given for a {type(self).__name__}: it doesn't reach its local layers."
                raise ValueError(message)

    @abstractmethod
    def _build(self, **arguments: Any) -> Any:
        """Return the model."""

    @abstractmethod
    def _local_spec(self, config: Any) -> Any:
        """Return megatron-core's local layers, with an attention that runs on any device."""

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        """Return the cross-entropy over the labelled tokens."""
        return TokenCrossEntropy


def _with_core_attention(spec: Any) -> Any:
    spec = copy.deepcopy(spec)
    spec.submodules.self_attention.submodules.core_attention = CoreAttention
    return spec


_OTHER_LAYERS: Final = (
    "multi_latent_attention",
    "experimental_attention_variant",
    "heterogeneous_block_specs",
    "mtp_num_layers",
    "moe_layer_freq",
)


class GPTConfig(_LanguageModelConfig):
    """A causal language model: megatron-core's `GPTModel`, which here is called with a batch.

    A batch is a mapping with int64 `ids` (rows, tokens), the bool `mask` that is True at real tokens where rows are
    padded, and for the loss `labels`, as `causal_labels` makes them. Every tensor-parallel rank answers with the logits
    of the whole vocabulary. The answer at real tokens doesn't depend on the padding, whatever its side. Autograd goes
    through it, `torch.func`'s transforms don't, for megatron-core's functions lack them. A loop of your own in which
    tensor-parallel ranks train with `qk_layernorm` must sum the gradients of those norms over the ranks, as
    megatron-core's schedules do. Weights shared between the first and last stage need a GPU.

    Args:
        transformer: the sizes of the layers.
        vocabulary_size: number of tokens; a multiple of the tensor-parallel size.
        max_length: tokens in a row, at most.
        position_embedding_type: "rope", "learned_absolute" or "none".
        share_embeddings_and_output_weights: whether the last layer's weights are those of the first.

    Raises:
        TypeError: if a size is no integer, or `transformer` no record.
        ValueError: if a size isn't positive, or the positions are of another kind.
    """

    ignored = _OTHER_LAYERS

    def _build(self, **arguments: Any) -> Any:
        return import_megatron("bionemo.adapters.megatron.models").BatchGPTModel(**arguments)

    def _local_spec(self, config: Any) -> Any:
        specs = import_megatron("megatron.core.models.gpt.gpt_layer_specs")
        return _with_core_attention(
            specs.get_gpt_layer_local_spec(
                num_experts=config.num_moe_experts,
                moe_grouped_gemm=config.moe_grouped_gemm,
                qk_layernorm=config.qk_layernorm,
                qk_l2_norm=config.qk_l2_norm,
                normalization=config.normalization,
            )
        )


class BertConfig(_LanguageModelConfig):
    """A masked-language model: megatron-core's `BertModel` without its second head, which here is called with a batch.

    A batch is as that of a `GPTConfig`, with the `labels` of `mask_tokens`. The answer at real tokens doesn't depend on
    the padding; with learned positions not on padding behind the tokens. Its fields are those of a `GPTConfig`.
    """

    ignored = (*_OTHER_LAYERS, "num_moe_experts", "qk_layernorm", "qk_l2_norm")

    def _build(self, **arguments: Any) -> Any:
        models = import_megatron("bionemo.adapters.megatron.models")
        return models.BatchBertModel(num_tokentypes=0, add_binary_head=False, **arguments)

    def _local_spec(self, config: Any) -> Any:
        return _with_core_attention(import_megatron("megatron.core.models.bert.bert_layer_specs").bert_layer_local_spec)


_NO_LAYERS: Final = TransformerRecord(num_layers=1, hidden_size=1, num_attention_heads=1)
"""What schedules read nothing of."""


def as_megatron(model: nn.Module, /, **runtime: Any) -> Any:
    """Return a module of torch as one that megatron-core's schedules train, whole on every rank.

    Args:
        model: called with a batch.
        **runtime: fields of megatron-core's configuration that say how it runs.

    Returns:
        A `MegatronModule`, which shares the module's parameters.

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        RuntimeError: if its groups of processes are not there: see `model_parallel`.
        ValueError: if a field isn't one of megatron-core's configuration, or ranks are to share the model.

    Example:
        >>> from bionemo.adapters.megatron import model_parallel
        >>> with model_parallel():
        ...     as_megatron(nn.Linear(2, 3))(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """
    runtime = _runtime(runtime, {})
    for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size"):
        if runtime[name] != 1:
            message = f"{name} must be 1 for a module that is whole on every rank, got {name}={runtime[name]}."
            raise ValueError(message)
    return import_megatron("bionemo.adapters.megatron.models").BatchModule(model, to_megatron(_NO_LAYERS, **runtime))
