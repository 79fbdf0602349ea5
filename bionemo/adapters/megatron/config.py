"""Transformer sizes as a frozen record, and the mutable megatron-core configuration built from them."""

import copy
import dataclasses
import enum
import re
import warnings
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeAlias, TypeVar

import attrs
import numpy as np
import torch

from bionemo.adapters.megatron.imports import import_megatron
from bionemo.core.checks import check_int, shown
from bionemo.core.fields import check_size, to_int

__all__ = ["TransformerSizes", "check_divides", "transformer_config"]

Config = TypeVar("Config")

_Immutable: TypeAlias = bool | int | float | str | torch.dtype | enum.Enum | FunctionType | BuiltinFunctionType | None


def _sorted_pairs(extra: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """Return the fields in `extra` as pairs sorted by name, with values that nobody can change."""
    items = extra.items() if isinstance(extra, Mapping) else extra
    is_listed = isinstance(items, Iterable) and not isinstance(items, np.ndarray | torch.Tensor)
    pairs: list[Any] = list(items) if is_listed else [None]
    names = [
        pair[0]
        for pair in pairs
        if isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)  # noqa: PLR2004 - a pair
    ]
    if len(names) < len(pairs) or len(set(names)) < len(names):
        message = (
            "extra must be a mapping from field names to values, or (name, value) pairs with each name once, "
            f"got extra={shown(extra)}."
        )
        raise ValueError(message)
    for name in names:
        if name.endswith(("_parallel_size", "_dtype")):
            message = f"extra must hold what the model is, got {name}: it says how it runs. Make it a runtime argument."
            raise ValueError(message)
    return tuple(sorted((name, _frozen(value, name)) for name, value in pairs))


def _frozen(value: Any, name: str) -> Any:
    """Return a value with lists as tuples, at any depth."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return tuple(_frozen(part, name) for part in value)
    if not isinstance(value, _Immutable):
        message = (
            f"extra must hold numbers, text, dtypes, enum members, functions and lists of these, "
            f"got {name}={shown(value)} of type {type(value).__name__}. Pass it as a runtime argument."
        )
        raise TypeError(message)
    return value


def _check_fraction(_: object, field: "attrs.Attribute[float]", fraction: float) -> None:
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction < 1:
        message = f"{field.name} must be a fraction, at least 0 and below 1, got {field.name}={shown(fraction)}."
        raise ValueError(message)


@attrs.frozen(kw_only=True)
class TransformerSizes:
    """The sizes of a transformer, named as in megatron-core's `TransformerConfig`.

    They say what the model is. Where and in which dtype it runs are arguments of `transformer_config`.

    Args:
        num_layers: number of transformer layers.
        hidden_size: width of the embeddings; a multiple of `num_attention_heads`.
        num_attention_heads: number of attention heads; a multiple of `num_query_groups`.
        ffn_hidden_size: width inside a layer's feed-forward network; None for four times `hidden_size`.
        num_query_groups: number of key and value heads; None for one per attention head.
        hidden_dropout: fraction of activations dropped in training.
        attention_dropout: fraction of attention weights dropped in training.
        extra: other fields of megatron-core's configuration, a mapping from name to value. They are kept as pairs
            sorted by name, with lists as tuples, so that the record stays hashable. With `kv_channels`, `hidden_size`
            need not be a multiple.

    Raises:
        TypeError: if a size is no integer, or a value in `extra` is mutable, e.g. a mapping.
        ValueError: if a size isn't positive or doesn't divide another one, a dropout is no fraction, or `extra` names a
            field twice, names one of the fields above, or says how a model runs: a parallel size or a dtype.

    Example:
        >>> extra = {"normalization": "RMSNorm", "moe_layer_freq": [1, 0]}
        >>> TransformerSizes(num_layers=2, hidden_size=8, num_attention_heads=2, extra=extra).extra
        (('moe_layer_freq', (1, 0)), ('normalization', 'RMSNorm'))
    """

    num_layers: int = attrs.field(converter=to_int, validator=check_size)
    hidden_size: int = attrs.field(converter=to_int, validator=check_size)
    num_attention_heads: int = attrs.field(converter=to_int, validator=check_size)
    ffn_hidden_size: int | None = attrs.field(
        default=None, converter=attrs.converters.optional(to_int), validator=attrs.validators.optional(check_size)
    )
    num_query_groups: int | None = attrs.field(
        default=None, converter=attrs.converters.optional(to_int), validator=attrs.validators.optional(check_size)
    )
    hidden_dropout: float = attrs.field(default=0.1, validator=_check_fraction)
    attention_dropout: float = attrs.field(default=0.1, validator=_check_fraction)
    extra: tuple[tuple[str, Any], ...] = attrs.field(default=(), converter=_sorted_pairs)

    @extra.validator
    def _check_extra(self, _: "attrs.Attribute[Any]", extra: tuple[tuple[str, Any], ...]) -> None:
        own = {field.name for field in attrs.fields(type(self))} & {name for name, _ in extra}
        if own:
            message = f"extra must not hold fields of {type(self).__name__} itself, got {', '.join(sorted(own))}."
            raise ValueError(message)
        if "kv_channels" not in dict(extra):
            check_divides(self.num_attention_heads, hidden_size=self.hidden_size, by="num_attention_heads")
        if self.num_query_groups is not None:
            check_divides(self.num_query_groups, num_attention_heads=self.num_attention_heads, by="num_query_groups")


def check_divides(divisor: int, /, *, by: str, **sizes: int | None) -> None:
    """Check that a number divides each of some named sizes; a size of None is skipped.

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


def transformer_config(sizes: Any, cls: type[Config] | None = None, /, **runtime: Any) -> Config:
    """Return megatron-core's configuration of a transformer: a new object, which megatron-core may change.

    Args:
        sizes: a `TransformerSizes`, or any attrs record with the field names of `cls`. A field that is None is left
            out; a field `extra` holds (name, value) pairs of further fields. Tuples become lists if the annotation in
            `cls` says so.
        cls: megatron-core's class, `TransformerConfig` by default. Fields that `sizes` lacks keep their defaults.
        **runtime: how the model runs: `tensor_model_parallel_size`, `params_dtype`, `use_cpu_initialization`, ...

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        TypeError: if `sizes` is no attrs record, or `cls` no dataclass.
        ValueError: if `cls` lacks a field (the error names it), a field is given twice, or the tensor-parallel size
            doesn't divide the number of heads or the width of the feed-forward network.

    Example:
        >>> sizes = TransformerSizes(num_layers=2, hidden_size=8, num_attention_heads=2)
        >>> config = transformer_config(sizes, use_cpu_initialization=True)
        >>> config.ffn_hidden_size, config.kv_channels
        (32, 4)
    """
    if not attrs.has(type(sizes)):
        message = f"sizes must be an attrs record, e.g. TransformerSizes, got sizes={shown(sizes)}."
        raise TypeError(message)
    if cls is not None and not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        message = f"cls must be a dataclass of megatron-core, e.g. TransformerConfig, got cls={shown(cls)}."
        raise TypeError(message)
    if cls is None:
        cls = import_megatron("megatron.core.transformer.transformer_config").TransformerConfig
    named = {field.name: getattr(sizes, field.name) for field in attrs.fields(type(sizes))}
    fields = dict(named.pop("extra", ())) | {name: value for name, value in named.items() if value is not None}
    twice = fields.keys() & runtime.keys()
    if twice:
        message = f"runtime must not hold fields that sizes has, got {', '.join(sorted(twice))}."
        raise ValueError(message)
    hints = {field.name: str(field.type) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted((fields | runtime).keys() - hints.keys())
    if unknown:
        message = (
            f"sizes and runtime must have the fields of {cls.__name__}, got {', '.join(unknown)}. "
            "Check the spelling and the version of megatron-core."
        )
        raise ValueError(message)
    fields = {name: _as_annotated(value, hints[name]) for name, value in fields.items()} | runtime
    ranks = check_int(fields.get("tensor_model_parallel_size", 1), name="tensor_model_parallel_size", low=1)
    shared = {name: fields.get(name) for name in ("num_attention_heads", "num_query_groups", "ffn_hidden_size")}
    check_divides(ranks, by="tensor_model_parallel_size", **shared)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "full scope is deprecated")  # megatron-core 0.16 warns of its own default
        return cls(**copy.deepcopy(fields))


def _as_annotated(value: Any, hint: str) -> Any:
    """Return a value of a frozen record as the type that megatron-core's annotation names.

    Tuples become lists if the annotation names a list before any tuple: megatron-core tests for lists by `isinstance`
    and appends to some. An int becomes a bool or a float if that is the only number named: the text of a record has
    True as 1 and 1.0 as 1. The annotation is read as text, because a class may hold it as text that can't be evaluated.
    """
    if isinstance(value, tuple):
        container = re.search(r"\b(list|tuple)\b", hint, re.IGNORECASE)
        is_list = container is not None and container[1].lower() == "list"
        return [_as_annotated(part, hint) for part in value] if is_list else value
    if type(value) is int:
        kinds = set(re.findall(r"\b(bool|int|float)\b", hint))
        if kinds == {"float"}:
            return float(value)
        if kinds == {"bool"} and value in {0, 1}:
            return bool(value)
    return value
