"""What a user risks, in words; each sentence is printed only if the results show its cause."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from benchmarks.certificate.groups import by_group
from benchmarks.certificate.verdicts import Verdict
from benchmarks.certificate.work import COUNTS


@attrs.frozen
class Risk:
    """A fault that was found, what it means, and the row that shows it."""

    who: str
    text: str
    evidence: str


def risks(report: Mapping[str, Any], verdicts: list[Verdict]) -> Iterator[Risk]:
    """Yield what the results show."""
    failed = {(one.subject, one.name): by_group(one.subject, one.alarms) for one in verdicts}
    for subject, name, group, text in FAULTS:
        if values := failed.get((subject, name), {}).get(group):
            yield Risk(name, text, f"{subject}, *{group}*: smallest p-value {shown(min(values))}")
    yield from counted_risks(report["results"].get(COUNTS, {}), report)


def counted_risks(counts: Mapping[str, Mapping[str, Any]], report: Mapping[str, Any]) -> Iterator[Risk]:
    """Yield what counts show: samples lost, and orders that are never reached."""
    for name, found in counts.items():
        for length, number in found.items():
            if length == "reached" or not number:
                continue
            samples, _, is_bytes = length.partition(": ")
            if is_bytes:
                text = (
                    f"Of {int(samples):,} samples about {number / 256:.0%} are never read, and others repeatedly: "
                    f"those with {number} of the 256 low bytes don't come up at 65,536 random indices."
                )
            else:
                text = (
                    f"Of {int(samples):,} samples {number} {'is' if number == 1 else 'are'} never read in an epoch, "
                    "and as many are read twice."
                )
            yield Risk(name, text, f"samples lost, of {int(samples):,}")
        most = max(other.get("reached", 0) for other in counts.values())
        if found.get("reached", most) < most / 2:
            text = (
                f"Of the 40,320 orders of 8 samples, {found['reached']:,} came up; with a random shuffle {most:,} did."
            )
            yield Risk(name, text, "orders of 8 samples")
    for name, fraction in report["again"].items():
        if fraction:
            text = f"{fraction:.0%} of the reads repeat a member of a cluster before all of its members were read."
            yield Risk(name, text, "members of clusters of 16, read again")


def shown(p: float) -> str:
    """Return a p-value in few characters."""
    if p < 1e-300:  # noqa: PLR2004
        return "< 1e-300"
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.0e}"  # noqa: PLR2004


_ADDED = (
    "Epoch 1 of one seed is epoch 0 of the next: runs with neighbouring seeds, meant as repetitions, read the same "
    "orders, one epoch apart."
)
_EQUAL = (
    "Every epoch has the same order: samples that share a batch share it in every epoch, and what a model gains from "
    "reshuffling is lost."
)
_STRIDE = (
    "Successive samples are all the same distance apart: a batch of sorted data (by source, length or organism) is an "
    "arithmetic progression through it, not a random subset."
)
_LOW_BITS = (
    "The round function is linear, so that the low bits of a sample follow those of its index: data that alternates, "
    "e.g. both strands in turn, is read in a pattern."
)
_DISTANCES = (
    "Samples that are read one after another are at some distances in the data too often and at others too rarely: "
    "sorted data is mixed less than by a random shuffle."
)
_SAMPLES = "Over seeds, some samples come at an index more often than others."
_BOUND = (
    "Indices are bound together whatever the seed: e.g. of 65,537 samples, those at index 0 and 256 lie close together "
    "in the data (second row of the picture)."
)
_SEED_BITS = (
    "Not every bit of the seed changes the shuffle: on the CPU only the low 32 do, so seeds 1 and 2**32 + 1 give the "
    "same one."
)
_RANKS = (
    "In each step all ranks mask the same positions of their rows: the masks of a step are less varied than its number "
    "of rows says."
)
_WORKERS = "The second worker of one seed draws what the first worker of the next seed draws: it adds its number to it."
_EPOCHS = "The workers start with the same seed in each epoch: step by step, the same positions are masked again."
_NEXT_SEED = "epoch 1, and epoch 0 of the next seed"

FAULTS = (
    ("Permutations", "torch", _NEXT_SEED, _ADDED),
    ("Permutations", "torch", "each bit of the seed matters", _SEED_BITS),
    ("Permutations", "2.4.5", "distances between samples", _DISTANCES),
    ("Permutations", "2.4.5", "each sample at one index", _SAMPLES),
    ("Permutations", "grain", _NEXT_SEED, _ADDED),
    ("Permutations", "grain", "distances between samples", _DISTANCES),
    ("Permutations", "grain", "pairs of samples at two indices", _BOUND),
    ("Permutations", "levanter, linear", "neighbouring epochs", _EQUAL),
    ("Permutations", "levanter, linear", "distances between samples", _STRIDE),
    ("Permutations", "levanter, Feistel", "neighbouring epochs", _EQUAL),
    ("Permutations", "levanter, Feistel", "samples against indices", _LOW_BITS),
    ("Permutations", "levanter, Feistel", "distances between samples", _DISTANCES),
    ("Masks", "transformers, seed", "chosen in two ranks", _RANKS),
    ("Masks", "transformers, seed", "chosen in two epochs", _EPOCHS),
    ("Masks", "transformers, seed", "chosen in the second worker, and the first of the next seed", _WORKERS),
    ("Masks", "transformers, manual_seed", "chosen in two ranks", _RANKS),
)
"""Subject, family, group of tests, and what a failure in this group means."""
