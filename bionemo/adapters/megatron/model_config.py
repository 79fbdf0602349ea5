"""Frozen configurations that build megatron-core's models."""

import copy
import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar, Final, Literal

import attrs
import torch

from bionemo.adapters.megatron.attention import PortableDotProductAttention
from bionemo.adapters.megatron.config import TransformerSizes, check_divides, transformer_config
from bionemo.adapters.megatron.imports import import_megatron
from bionemo.adapters.megatron.parallel import parallel_state
from bionemo.adapters.megatron.runtime import runtime_fields
from bionemo.core.fields import check_bool, check_choice, check_instance, check_size, to_bool, to_int
from bionemo.core.model.config import BionemoTrainableModelConfig
from bionemo.core.model.cross_entropy import TokenCrossEntropy
from bionemo.core.random import make_generator, random_torch_context, seed_from_generator

__all__ = ["MegatronBertConfig", "MegatronGPTConfig"]


@attrs.frozen(kw_only=True)
class _LanguageModelConfig(BionemoTrainableModelConfig[Any, TokenCrossEntropy]):
    """The fields and the construction that GPT and BERT have in common."""

    ignored: ClassVar[tuple[str, ...]]
    """Fields of megatron-core's configuration that would have no effect on the local layers."""

    transformer: TransformerSizes = attrs.field(validator=check_instance(TransformerSizes))
    vocab_size: int = attrs.field(converter=to_int, validator=check_size)
    max_length: int = attrs.field(converter=to_int, validator=check_size)
    position_embedding_type: Literal["learned_absolute", "rope", "none"] = attrs.field(
        default="rope", validator=check_choice("learned_absolute", "rope", "none")
    )
    share_embeddings_and_output_weights: bool = attrs.field(default=False, converter=to_bool, validator=check_bool)

    def configure_model(self, *, layer_spec: Any = None, **runtime: Any) -> Any:
        """Return this process's part of a new model, on the CPU. Call it through `build_model`, on every rank.

        Law: with equal generators, the parts of the tensor-parallel ranks together are the model of a single process.

        Args:
            layer_spec: megatron-core's layer specification, e.g. for Transformer Engine, whose attention handles masks
                and draws dropout in its own way; None for the local layers with `PortableDotProductAttention`.
            **runtime: fields of megatron-core's configuration that say how the model runs: `params_dtype`, ... The
                parallel sizes are always those of the process groups.

        Raises:
            ModuleNotFoundError: if megatron-core isn't installed.
            RuntimeError: if its process groups don't exist: see `model_parallel`.
            ValueError: if the parallel sizes don't divide the heads, the vocabulary or the layers; if the groups have
                virtual stages; if a field in `extra` is unknown or would have no effect.
        """
        config: Any = transformer_config(self.transformer, **runtime_fields(runtime, dict(self.transformer.extra)))
        ranks, stages = config.tensor_model_parallel_size, config.pipeline_model_parallel_size
        check_divides(ranks, by="tensor_model_parallel_size", vocab_size=self.vocab_size)
        check_divides(stages, by="pipeline_model_parallel_size", num_layers=config.num_layers)
        if layer_spec is None:
            self._check_has_effect(config)
        if self.position_embedding_type == "rope" and config.kv_channels % 2:
            message = f"kv_channels must be even for rotary positions, got kv_channels={config.kv_channels}."
            raise ValueError(message)
        state, generator = parallel_state(), torch.default_generator
        if stage := state.get_pipeline_model_parallel_rank():  # or its layers would equal those of the first stage
            generator = make_generator(seed_from_generator(generator), "stage", stage)
        with random_torch_context(generator):
            return self._build(
                config=config,
                transformer_layer_spec=self._local_spec(config) if layer_spec is None else layer_spec,
                vocab_size=self.vocab_size,
                max_sequence_length=self.max_length,
                pre_process=state.is_pipeline_first_stage(),
                post_process=state.is_pipeline_last_stage(),
                share_embeddings_and_output_weights=self.share_embeddings_and_output_weights,
                position_embedding_type=self.position_embedding_type,
            )

    def _check_has_effect(self, config: Any) -> None:
        usual = {field.name: field.default for field in dataclasses.fields(config)}
        for name in self.ignored:
            if getattr(config, name, usual.get(name)) != usual.get(name):
                message = (
                    f"{name} must not be given for a {type(self).__name__}: it has no effect on its local layers. "
                    "Pass a layer_spec that uses it."
                )
                raise ValueError(message)

    @abstractmethod
    def _build(self, **arguments: Any) -> Any:
        """Return the model."""

    @abstractmethod
    def _local_spec(self, config: Any) -> Any:
        """Return the specification of megatron-core's local layers, with attention that runs on any device."""

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        """Return the class of the cross-entropy over labelled tokens."""
        return TokenCrossEntropy


def _with_portable_attention(spec: Any) -> Any:
    spec = copy.deepcopy(spec)  # BERT's is a global of megatron-core
    spec.submodules.self_attention.submodules.core_attention = PortableDotProductAttention
    return spec


_OTHER_LAYERS: Final = (
    "multi_latent_attention",
    "experimental_attention_variant",
    "heterogeneous_block_specs",
    "mtp_num_layers",
    "moe_layer_freq",
)


class MegatronGPTConfig(_LanguageModelConfig):
    """Configuration of a causal language model: megatron-core's `GPTModel`, called with a batch.

    A batch is a mapping with int64 `ids` of shape (rows, tokens), a bool `mask` (True = real token) if rows are padded,
    and, for the loss, `labels` from `next_token_labels`. Every tensor-parallel rank returns the logits of the whole
    vocabulary. A batch of `collate_packed` is one axis of tokens, and the logits have one row per token.
    Context-parallel ranks need such batches.

    Laws: the logits at real tokens don't depend on the padding, on either side, nor on packing.

    Autograd works; `torch.func`'s transforms don't, because megatron-core's autograd functions don't support them. With
    `qk_layernorm` on several tensor-parallel ranks, a training loop of your own must sum the gradients of those norms
    over the ranks, as megatron-core's schedules do. Sharing weights between the first and the last stage needs a GPU.

    Args:
        transformer: sizes of the layers.
        vocab_size: number of tokens in the vocabulary; a multiple of the tensor-parallel size.
        max_length: largest number of tokens in a row.
        position_embedding_type: "rope", "learned_absolute" or "none".
        share_embeddings_and_output_weights: whether the output layer uses the weights of the token embedding.

    Raises:
        TypeError: if a size is no integer, `transformer` no `TransformerSizes`, or the last option no bool.
        ValueError: if a size isn't positive, or `position_embedding_type` is another one.

    Example:
        >>> sizes = TransformerSizes(num_layers=2, hidden_size=8, num_attention_heads=2)
        >>> config = MegatronGPTConfig(transformer=sizes, vocab_size=24, max_length=16)
        >>> config.position_embedding_type
        'rope'
    """

    ignored = _OTHER_LAYERS

    def _build(self, **arguments: Any) -> Any:
        return import_megatron("bionemo.adapters.megatron.models").BatchGPTModel(**arguments)

    def _local_spec(self, config: Any) -> Any:
        specs = import_megatron("megatron.core.models.gpt.gpt_layer_specs")
        return _with_portable_attention(
            specs.get_gpt_layer_local_spec(
                num_experts=config.num_moe_experts,
                moe_grouped_gemm=config.moe_grouped_gemm,
                qk_layernorm=config.qk_layernorm,
                qk_l2_norm=config.qk_l2_norm,
                normalization=config.normalization,
            )
        )


class MegatronBertConfig(_LanguageModelConfig):
    """Configuration of a masked language model: megatron-core's `BertModel` with one head, called with a batch.

    Fields and batches are those of a `MegatronGPTConfig`, with `labels` from `mask_tokens`.

    Law: the logits at real tokens don't depend on the padding. With learned positions this holds for padding on the
    right only.
    """

    ignored = (*_OTHER_LAYERS, "num_moe_experts", "qk_layernorm", "qk_l2_norm")

    def _build(self, **arguments: Any) -> Any:
        models = import_megatron("bionemo.adapters.megatron.models")
        return models.BatchBertModel(num_tokentypes=0, add_binary_head=False, **arguments)

    def _local_spec(self, config: Any) -> Any:
        return _with_portable_attention(
            import_megatron("megatron.core.models.bert.bert_layer_specs").bert_layer_local_spec
        )
