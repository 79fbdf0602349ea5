"""How a data set is indexed: by position, or by a label or key, which would select other samples."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, StackDataset, Subset

__all__ = [
    "by_position",
    "check_by_epoch",
    "check_by_position",
    "gives_many",
    "has_method",
    "is_labelled",
    "speaks_for",
]

_FRAMES: Final = frozenset({"cudf", "geopandas", "modin", "pandas"})
"""Packages with data frames and series, which `[...]` indexes by label and `iloc` by position."""

_VALUES: Final = "Pass list(dataset.values())."
_ONE_ARRAY: Final = 'Pass one of its arrays, e.g. dataset["ids"].'

_KEYED: Final = {
    "Bio.Entity": ("identifier", "Pass list(dataset)."),
    "dask.FrameBase": ("column", "Pass dataset.compute()."),
    "datasets.DatasetDict": ("split", 'Pass one of its splits, e.g. dataset["train"].'),
    "duckdb.DuckDBPyRelation": ("column", "Pass dataset.fetchall()."),
    "h5py.Group": ("name", _ONE_ARRAY),
    "pandas.BaseGroupBy": ("column", "Pass [group for _, group in dataset]."),
    "pandas.HDFStore": ("key", 'Pass one of its tables, e.g. dataset["proteins"].'),
    "pyarrow.RecordBatch": ("column", "Pass dataset.to_pylist()."),
    "pyarrow.Table": ("column", "Pass dataset.to_pylist()."),
    "scipy._spbase": ("row and column", "Pass [dataset[[row]] for row in range(dataset.shape[0])], of a csr_array."),
    "torch.ModuleDict": ("key", _VALUES),
    "torch.ParameterDict": ("key", _VALUES),
    "torch_geometric.Data": ("key", "Pass a list of graphs."),
    "torch_geometric.HeteroData": ("key", "Pass a list of graphs."),
    "xarray.Dataset": ("variable", _ONE_ARRAY),
    "zarr.Group": ("name", _ONE_ARRAY),
}
"""Containers that aren't indexed by position, as package.class: what they are indexed by, and what to pass instead."""

_MAPS_BY_POSITION: Final = frozenset({"tensordict"})
"""Packages whose mappings return the row at a position when indexed by an int."""


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _owner(kind: type, name: str) -> type:
    """Return the first class in the MRO of a type that defines a name; `object` if none does."""
    return next((base for base in kind.__mro__ if name in vars(base)), object)


def has_method(kind: type, name: str, /) -> bool:
    """Return whether a type has a method for its instances; `hasattr` also finds the methods of a metaclass.

    Example:
        >>> from enum import Enum
        >>> Kind = Enum("Kind", ["A"])
        >>> hasattr(Kind, "__len__"), has_method(Kind, "__len__")
        (True, False)
    """
    return any(name in vars(base) for base in kind.__mro__)


def is_labelled(kind: type, /) -> bool:
    """Return whether a type is a Series or DataFrame, of pandas or a similar package, which `[...]` reads by label.

    False for a subclass that overrides `__getitem__`: it is read by its own method.

    Example:
        >>> is_labelled(list)
        False
    """
    return hasattr(kind, "iloc") and _package(_owner(kind, "__getitem__")) in _FRAMES


def by_position(dataset: Any, /) -> Any:
    """Return an object to index by position: `dataset.iloc` for a Series or DataFrame, else the data set itself.

    Example:
        >>> import pandas
        >>> series = pandas.Series(["a", "b", "c"], index=[2, 1, 0])
        >>> series[0], by_position(series)[0], by_position("abc")[0]
        ('c', 'a', 'a')
    """
    return dataset.iloc if is_labelled(type(dataset)) else dataset


@lru_cache(maxsize=256)
def gives_many(kind: type, /) -> bool:
    """Return whether `__getitems__` of a type may be called for many samples at once.

    False if a more derived class overrides `__getitem__` alone, because then `__getitems__` returns other samples. As
    for all special methods, the type decides, not the instance: a data set that forwards unknown attributes to an inner
    one doesn't have the method.

    Example:
        >>> from torch.utils.data import Subset
        >>> class Doubled(Subset):
        ...     def __getitem__(self, index):
        ...         return super().__getitem__(index) * 2
        >>> gives_many(Subset), gives_many(Doubled)
        (True, False)
    """
    many, one = _owner(kind, "__getitems__"), _owner(kind, "__getitem__")
    mro = kind.__mro__
    return callable(getattr(kind, "__getitems__", None)) and mro.index(many) <= mro.index(one)


def speaks_for(kind: type, /) -> bool:
    """Return whether a base class may read the samples of a type by its own `__getitems__`.

    For a base class that defines both methods. False if a subclass overrides `__getitem__` alone; one that overrides
    both calls the base's by `super()`.

    Example:
        >>> class Both(list):
        ...     def __getitems__(self, indices): ...
        >>> speaks_for(type("Other", (Both,), {"__getitem__": lambda self, index: index}))
        False
    """
    return gives_many(_owner(kind, "__getitem__"))


def _name(dataset: object) -> str:
    name = type(dataset).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _parts(dataset: Any) -> tuple[Any, ...]:
    """Return the parts of a data set that torch's own `__getitem__` combines, and indexes by `[...]`."""
    getter = getattr(type(dataset), "__getitem__", None)
    if getter is Subset.__getitem__:
        return (dataset.dataset,)
    if getter is ConcatDataset.__getitem__:
        return tuple(dataset.datasets)
    if getter is StackDataset.__getitem__:
        return tuple(dataset.datasets.values() if isinstance(dataset.datasets, dict) else dataset.datasets)
    return ()


def _keyed_by(dataset: object) -> tuple[str, str] | None:
    """Return what a data set is indexed by, and what to pass instead; None if it is indexed by position."""
    kind = type(dataset)
    package = _package(_owner(kind, "__getitem__"))
    for base in kind.__mro__:
        found = _KEYED.get(f"{package}.{base.__name__}")
        if found is not None and _package(base) == package:
            return found
    return ("key", _VALUES) if isinstance(dataset, Mapping) and package not in _MAPS_BY_POSITION else None


def check_by_position(dataset: object, /, *, name: str = "dataset") -> None:
    """Check that a data set has a length and can be read by position.

    Args:
        dataset: the data set.
        name: name of the argument that it belongs to, for errors.

    Raises:
        TypeError: if it is indexed by something else, or has no length or no `[...]`.

    Example:
        >>> check_by_position("abc")
        >>> check_by_position({0: "a"})
        Traceback (most recent call last):
        TypeError: dataset must be indexed by position, got a dict, which is indexed by key.
        Pass list(dataset.values()).
    """
    keyed_by = _keyed_by(dataset)
    if keyed_by is not None:
        key, remedy = keyed_by
        message = f"{name} must be indexed by position, got {_name(dataset)}, which is indexed by {key}. {remedy}"
        raise TypeError(message)
    if isinstance(dataset, Tensor) and dataset.is_nested and dataset.layout is torch.strided:
        message = f"{name} must have a length, got a nested tensor, which has none. Pass list(dataset.unbind())."
        raise TypeError(message)
    missing = [method for method in ("__len__", "__getitem__") if not has_method(type(dataset), method)]
    if missing or getattr(dataset, "shape", None) == ():
        lacks = missing[-1] if missing else "axis"
        message = (
            f"{name} must be indexed by position and have a length, got {_name(dataset)}, which has no {lacks}. "
            "Pass a list of its samples."
        )
        raise TypeError(message)
    for part in _parts(dataset):
        if is_labelled(type(part)):
            message = (
                f"{name} must be indexed by position, got {_name(dataset)} of {_name(part)}, which torch reads by "
                "label. Pass the data set itself, or a list of its rows."
            )
            raise TypeError(message)
        check_by_position(part, name=name)


def check_by_epoch(dataset: object, /) -> None:
    """Check that a data set may be indexed by `EpochIndex`.

    Raises:
        TypeError: if it is an array, tensor, Series or DataFrame, which would take the two numbers for a row and a
            column.

    Example:
        >>> check_by_epoch([1, 2, 3])
        >>> check_by_epoch(np.eye(2))
        Traceback (most recent call last):
        TypeError: dataset must be indexed by EpochIndex, got a ndarray, which takes it for a row and a column.
        Wrap it in IdentityMultiEpochDatasetWrapper.
    """
    if is_labelled(type(dataset)) or isinstance(dataset, np.ndarray | Tensor):
        message = (
            f"dataset must be indexed by EpochIndex, got {_name(dataset)}, which takes it for a row and a column. "
            "Wrap it in IdentityMultiEpochDatasetWrapper."
        )
        raise TypeError(message)
