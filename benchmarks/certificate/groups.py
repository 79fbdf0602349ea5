"""Names of tests, and groups of them: many p-values become a table that a person can read."""

import math
import re
from collections.abc import Mapping
from typing import Final

PREFIXES: Final = {
    "output of the": "each sample at one index",
    "next seed at": "one index, neighbouring seeds",
    "pair": "pairs of samples at two indices",
    "difference": "distances between samples",
    "orders": "all orders of up to 6 samples",
    "repeats": "equal displacements (birthdays)",
    "avalanche of the index": "each bit of the index matters",
    "avalanche of the seed": "each bit of the seed matters",
    "lag": "neighbours, correlated",
    "next seed,": "neighbouring seeds, correlated",
    "next epoch": "neighbouring epochs",
    "epoch of the next seed": "epoch 1, and epoch 0 of the next seed",
    "": "samples against indices",
}
"""Beginnings of the names of tests of permutations, and the group that they belong to; the first that fits counts."""


def length_of(test: str) -> str:
    """Return the length, weights or sizes in the name of a test."""
    return test.partition(": ")[0]


def group_of(subject: str, test: str) -> str:
    """Return the group that a test belongs to."""
    before, colon, after = test.partition(": ")
    name = after if colon else before
    if subject == "Permutations":
        return next(group for prefix, group in PREFIXES.items() if name.startswith(prefix))
    return re.sub(r", (low|high)$", "", name)


def by_group(subject: str, results: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the p-values of each group."""
    found: dict[str, list[float]] = {}
    for test, p in results.items():
        found.setdefault(group_of(subject, test), []).append(p)
    return found


def length_name(length: int) -> str:
    """Return a length as a person writes it: near a power of two as the difference from it."""
    bits = round(math.log2(length))
    step = length - 2**bits
    return f"2^{bits}" + (f"{step:+d}" if step else "") if length > 1000 and abs(step) < 2**14 else str(length)  # noqa: PLR2004
