"""Resumes of Megatron's blended data sets, which a number of consumed samples indexes."""

from collections.abc import Callable

import numpy as np

REQUIREMENTS = ("megatron-core==0.16.1",)


def cases() -> dict[str, Callable[[], str]]:
    from megatron.core.datasets import helpers_cpp

    def blend(*weights: float) -> list[tuple[int, int]]:
        """Return the data set and the sample in it at each of 48 positions, as `BlendedDataset` builds them."""
        sources, samples = np.zeros(48, np.int16), np.zeros(48, np.int64)
        helpers_cpp.build_blending_indices(sources, samples, np.array(weights), len(weights), 48, False)
        return list(zip(sources.tolist(), samples.tolist(), strict=True))

    def changed(weights: tuple[float, ...]) -> str:
        """Return what a run reads of its sources that resumes after 12 samples with other weights."""
        run = blend(0.5, 0.5)[:12] + blend(*weights)[12:]
        repeated = len(run) - len(set(run))
        skipped = sum(max(one for of, one in run if of == source) + 1 for source in (0, 1)) - len(set(run))
        return f"{skipped} are skipped and {repeated} are read again" if skipped or repeated else "exact"

    return {
        "weights 1:1 → 1:1": lambda: changed((0.5, 0.5)),
        "weights 1:1 → 3:1": lambda: changed((0.75, 0.25)),
    }
