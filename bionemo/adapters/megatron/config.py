"""A frozen record of a transformer's sizes, and megatron-core's mutable configuration made from it."""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from bionemo.adapters.megatron.imports import import_megatron

__all__ = ["TransformerRecord", "check_divides", "to_megatron"]

Config = TypeVar("Config")


def _as_pairs(extra: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    pairs = extra.items() if isinstance(extra, Mapping) else extra
    return tuple(sorted((str(name), value) for name, value in pairs))


@attrs.frozen(kw_only=True)
class TransformerRecord:
    """The sizes of a transformer, by the names of megatron-core's `TransformerConfig`.

    It holds what the model is; where and in which dtype it runs is an argument of `to_megatron`.

    Args:
        num_layers: transformer layers.
        hidden_size: width of the embeddings; a multiple of `num_attention_heads`.
        num_attention_heads: attention heads; a multiple of `num_query_groups`.
        ffn_hidden_size: width within a layer's feed-forward network; None for four times `hidden_size`.
        num_query_groups: heads of keys and values; None for as many as attention heads.
        hidden_dropout: share of activations dropped in training.
        attention_dropout: share of attention weights dropped in training.
        extra: further fields of megatron-core's configuration by name, as a mapping; kept as sorted pairs.

    Raises:
        ValueError: if a size isn't positive, one doesn't divide another, or `extra` has a field that stands here.

    Example:
        >>> extra = {"normalization": "RMSNorm"}
        >>> TransformerRecord(num_layers=2, hidden_size=8, num_attention_heads=2, extra=extra).extra
        (('normalization', 'RMSNorm'),)
    """

    num_layers: int = attrs.field(validator=attrs.validators.ge(1))
    hidden_size: int = attrs.field(validator=attrs.validators.ge(1))
    num_attention_heads: int = attrs.field(validator=attrs.validators.ge(1))
    ffn_hidden_size: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    num_query_groups: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )
    hidden_dropout: float = attrs.field(default=0.1, validator=[attrs.validators.ge(0.0), attrs.validators.lt(1.0)])
    attention_dropout: float = attrs.field(default=0.1, validator=[attrs.validators.ge(0.0), attrs.validators.lt(1.0)])
    extra: tuple[tuple[str, Any], ...] = attrs.field(default=(), converter=_as_pairs)

    @extra.validator
    def _check_extra(self, _: "attrs.Attribute[Any]", extra: tuple[tuple[str, Any], ...]) -> None:
        own = {field.name for field in attrs.fields(type(self))} & {name for name, _ in extra}
        if own:
            message = f"extra must not hold fields of the record itself, got {', '.join(sorted(own))}."
            raise ValueError(message)
        check_divides(self.num_attention_heads, hidden_size=self.hidden_size, by="num_attention_heads")
        if self.num_query_groups is not None:
            check_divides(self.num_query_groups, num_attention_heads=self.num_attention_heads, by="num_query_groups")


def check_divides(divisor: int, /, *, by: str, **sizes: int | None) -> None:
    """Check that a number divides sizes, which are given by their names; None is no size.

    Raises:
        ValueError: if it doesn't.

    Example:
        >>> check_divides(3, by="num_attention_heads", hidden_size=8)
        Traceback (most recent call last):
        ValueError: hidden_size must be a multiple of num_attention_heads, got hidden_size=8 and num_attention_heads=3.
    """
    for name, size in sizes.items():
        if size is not None and size % divisor:
            message = f"{name} must be a multiple of {by}, got {name}={size} and {by}={divisor}."
            raise ValueError(message)


def to_megatron(record: Any, cls: type[Config] | None = None, /, **runtime: Any) -> Config:
    """Return megatron-core's configuration of a record: a new object, which megatron-core may change.

    Args:
        record: a `TransformerRecord`, or any attrs record whose fields are named as those of `cls`; None in a field and
            a field `extra` of pairs count as in a `TransformerRecord`.
        cls: megatron-core's class, `TransformerConfig` by default; what a newer one has besides keeps its default.
        **runtime: how it runs: `tensor_model_parallel_size`, `params_dtype`, `use_cpu_initialization`, ...

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        ValueError: if a field is not one of `cls` (it is named), is given twice, or the heads can't be shared by the
            tensor-parallel ranks.

    Example:
        >>> record = TransformerRecord(num_layers=2, hidden_size=8, num_attention_heads=2)
        >>> config = to_megatron(record, use_cpu_initialization=True)
        >>> config.ffn_hidden_size, config.kv_channels
        (32, 4)
    """
    if cls is None:
        cls = import_megatron("megatron.core.transformer.transformer_config").TransformerConfig
    named = {field.name: getattr(record, field.name) for field in attrs.fields(type(record))}
    fields = dict(named.pop("extra", ())) | {name: value for name, value in named.items() if value is not None}
    twice = fields.keys() & runtime.keys()
    if twice:
        message = f"runtime must not hold fields of the record, got {', '.join(sorted(twice))}."
        raise ValueError(message)
    fields |= runtime
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(fields.keys() - known)
    if unknown:
        message = (
            f"fields must be those of {cls.__name__}, got {', '.join(unknown)}. "
            "It may be of another version of megatron-core, or misspelt."
        )
        raise ValueError(message)
    ranks = fields.get("tensor_model_parallel_size", 1)
    sizes = {name: fields.get(name) for name in ("num_attention_heads", "num_query_groups", "ffn_hidden_size")}
    check_divides(ranks, by="tensor_model_parallel_size", **sizes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "full scope is deprecated")  # megatron-core 0.16 warns of its own default
        return cls(**fields)
