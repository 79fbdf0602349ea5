"""Comparisons: one number per permutation, and how it is distributed beside that of true random permutations.

Such a number is e.g. the correlation of the outputs with the indices, with the outputs at later indices, or with the
outputs of the next seed. A chi-square test of homogeneity compares the distribution with that of as many true random
permutations. It detects a wrong mean as well as a wrong variance.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.certificate.p_values import Array
from benchmarks.certificate.permutations.layout import followers, layout

Numbers = dict[str, Array]
"""One number per permutation, or per pair of successive ones."""


def scores(outputs: Array, length: int) -> Numbers:
    """Return the quantities to correlate, scaled to -1..1: the outputs themselves and single bits of them."""
    signs = {"half": outputs >= length // 2, "parity": outputs & 1, "second bit": outputs >> 1 & 1}
    return {"output": (2 * outputs - (length - 1)) / length, **{name: 2.0 * sign - 1 for name, sign in signs.items()}}


def products(first: Numbers, second: Numbers, prefix: str) -> Numbers:
    """Return the products of scores of the same name, summed over indices: two of name -> [m, s] give name -> [s]."""
    return {f"{prefix}, {name}": np.einsum("is,is->s", score, second[name]) for name, score in first.items()}


def numbers(outputs: Array, epochs: Sequence[Array], length: int) -> Numbers:
    """Return all numbers that describe one permutation or two: name -> one number per permutation or pair.

    Args:
        outputs: the outputs of successive seeds, [m, s].
        epochs: the outputs of epochs 0 and 1 of every second seed, and of epoch 0 of the seeds after these: [m, s / 2]
            each. Empty if a family has no epochs.
        length: length of the permutations.
    """
    (indices, lags), results = layout(length), {}
    values = scores(outputs, length)
    results["fixed points"] = (outputs == indices[:, None]).sum(axis=0)
    for name, score in scores(indices, length).items():
        results |= {f"{name} of index, {other}": score @ value for other, value in values.items()}
    for lag in lags:
        left, right = ({name: value[ends] for name, value in values.items()} for ends in followers(indices, lag))
        results |= products(left, right, f"lag {lag}")
    successive = {"next seed": (outputs[:, ::2], outputs[:, 1::2])}
    if epochs:
        successive |= {"next epoch": (epochs[0], epochs[1]), "epoch of the next seed": (epochs[1], epochs[2])}
    for kind, (first, second) in successive.items():
        one, two = np.ascontiguousarray(first), np.ascontiguousarray(second)
        results |= {f"{kind}, matches": (one == two).sum(axis=0)}
        results |= products(scores(one, length), scores(two, length), kind)
    return results
