"""A frozen record of a transformer's sizes, and megatron-core's mutable configuration made from it."""

import copy
import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from bionemo.adapters.megatron.imports import import_megatron
from bionemo.core.utils.checks import check_int

__all__ = ["TransformerRecord", "check_divides", "check_size", "to_megatron"]

Config = TypeVar("Config")


def _as_pairs(extra: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    pairs = [tuple(pair) for pair in (extra.items() if isinstance(extra, Mapping) else extra)]
    names = [pair[0] for pair in pairs if len(pair) == 2 and isinstance(pair[0], str)]  # noqa: PLR2004 - a pair
    if len(names) < len(pairs) or len(set(names)) < len(names):
        message = f"extra must be a mapping from names of fields, or such pairs, each name once, got {extra!r}."
        raise ValueError(message)
    for name in names:
        if name.endswith(("_parallel_size", "_dtype")):
            message = f"extra must hold what the model is, got {name}: it says how it runs. Make it a runtime argument."
            raise ValueError(message)
    return tuple(sorted(pairs, key=lambda pair: str(pair[0])))


def check_size(_: object, field: "attrs.Attribute[int]", size: int) -> None:
    """Check that a field of a record is a positive integer: an attrs validator.

    Raises:
        TypeError: if it is no integer.
        ValueError: if it isn't positive.

    Example:
        >>> TransformerRecord(num_layers=0, hidden_size=8, num_attention_heads=2)
        Traceback (most recent call last):
        ValueError: num_layers must be in 1..9223372036854775807, got num_layers=0.
    """
    check_int(size, name=field.name, low=1)


def _check_share(_: object, field: "attrs.Attribute[float]", share: float) -> None:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        message = f"{field.name} must be a share of 1, at least 0 and below 1, got {field.name}={share!r}."
        raise ValueError(message)


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
        extra: further fields of megatron-core's configuration by name, as a mapping; kept as sorted pairs. With
            `kv_channels`, `hidden_size` may be any.

    Raises:
        TypeError: if a size is no integer.
        ValueError: if a size isn't positive, one doesn't divide another, a share isn't one, or `extra` has a field that
            stands here, has one twice, or has one that says how a model runs: a parallel size or a dtype.

    Example:
        >>> extra = {"normalization": "RMSNorm"}
        >>> TransformerRecord(num_layers=2, hidden_size=8, num_attention_heads=2, extra=extra).extra
        (('normalization', 'RMSNorm'),)
    """

    num_layers: int = attrs.field(validator=check_size)
    hidden_size: int = attrs.field(validator=check_size)
    num_attention_heads: int = attrs.field(validator=check_size)
    ffn_hidden_size: int | None = attrs.field(default=None, validator=attrs.validators.optional(check_size))
    num_query_groups: int | None = attrs.field(default=None, validator=attrs.validators.optional(check_size))
    hidden_dropout: float = attrs.field(default=0.1, validator=_check_share)
    attention_dropout: float = attrs.field(default=0.1, validator=_check_share)
    extra: tuple[tuple[str, Any], ...] = attrs.field(default=(), converter=_as_pairs)

    @extra.validator
    def _check_extra(self, _: "attrs.Attribute[Any]", extra: tuple[tuple[str, Any], ...]) -> None:
        own = {field.name for field in attrs.fields(type(self))} & {name for name, _ in extra}
        if own:
            message = f"extra must not hold fields of the record itself, got {', '.join(sorted(own))}."
            raise ValueError(message)
        if "kv_channels" not in dict(extra):
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
    ranks = check_int(fields.get("tensor_model_parallel_size", 1), name="tensor_model_parallel_size", low=1)
    sizes = {name: fields.get(name) for name in ("num_attention_heads", "num_query_groups", "ffn_hidden_size")}
    check_divides(ranks, by="tensor_model_parallel_size", **sizes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "full scope is deprecated")  # megatron-core 0.16 warns of its own default
        return cls(**copy.deepcopy(fields))
