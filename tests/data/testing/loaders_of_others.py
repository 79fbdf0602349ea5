"""Loaders with one fault each, as people write them, and sound ones."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Sampler


class Batches:
    """A sound loader: a shuffle of its own per pass, in batches; its state is the pass and the number of batches."""

    def __init__(
        self, length: int = 50, batch_size: int = 4, rank: int = 0, world_size: int = 1, seed: int = 1
    ) -> None:
        self.length, self.batch_size = length, batch_size
        self.rank, self.world_size, self.seed = rank, world_size, seed
        self.epoch = self.num_batches = 0

    def order(self) -> list[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        return generator.permutation(self.length).tolist()

    def batches(self) -> list[list[int]]:
        order, size = self.order(), self.batch_size * self.world_size
        steps = [order[start : start + size] for start in range(0, len(order), size)]
        return [step[self.rank :: self.world_size] for step in steps]

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches()[self.num_batches :]:
            self.num_batches += 1
            yield batch
        self.epoch, self.num_batches = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "num_batches": self.num_batches}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.num_batches = state["epoch"], state["num_batches"]


class DroppingTheLast(Batches):
    """Drops the last batch if it isn't full."""

    def batches(self) -> list[list[int]]:
        return [batch for batch in super().batches() if len(batch) == self.batch_size]


class LosingABatch(Batches):
    """Resumes one batch too late: the state counts a batch when it is asked for."""

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "num_batches": self.num_batches + (self.num_batches > 0)}


class RepeatingABatch(Batches):
    """Resumes one batch too early."""

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "num_batches": max(0, self.num_batches - 1)}


class CountingFromTheResume(Batches):
    """Counts only the batches since the last resume, so that a second resume is wrong."""

    offset = 0

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches()[self.offset :]:
            self.num_batches += 1
            yield batch
        self.epoch, self.num_batches, self.offset = self.epoch + 1, 0, 0

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.offset = state["epoch"], state["num_batches"]


class ForgettingTheEpoch(Batches):
    """Resumes at the right batch of pass 0."""

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.num_batches = state["num_batches"]


class EmptyAfterTheEnd(Batches):
    """Resumed after the end of a pass was seen, it reads an empty pass first."""

    resumed = False

    def __iter__(self) -> Iterator[list[int]]:
        if self.num_batches == len(self.batches()):
            self.epoch, self.num_batches = self.epoch + 1, 0
            if self.resumed:
                self.resumed = False
                return
        self.resumed = False
        for batch in self.batches()[self.num_batches :]:
            self.num_batches += 1
            yield batch

    def load_state_dict(self, state: dict[str, int]) -> None:
        super().load_state_dict(state)
        self.resumed = True


class SharingItsState(Batches):
    """Its state can't be pickled."""

    def state_dict(self) -> Any:
        return {"epoch": self.epoch, "num_batches": self.num_batches, "lock": (value for value in ())}


class SameEveryEpoch(Batches):
    """Shuffles every pass alike."""

    def order(self) -> list[int]:
        return np.random.default_rng(self.seed).permutation(self.length).tolist()


class Unseeded(Batches):
    """Shuffles by a state that nobody seeded."""

    def order(self) -> list[int]:
        return random.SystemRandom().sample(range(self.length), self.length)


class Overlapping(Batches):
    """Ranks begin one sample too early."""

    def batches(self) -> list[list[int]]:
        order, size = self.order(), -(-self.length // self.world_size)
        part = order[max(0, self.rank * size - 1) : (self.rank + 1) * size]
        return [part[start : start + self.batch_size] for start in range(0, len(part), self.batch_size)]


class Resampling(Batches):
    """Draws with replacement where it should shuffle."""

    def order(self) -> list[int]:
        return np.random.default_rng([self.seed, self.epoch]).integers(0, self.length, self.length).tolist()


class ByTokens(Sampler[list[int]]):
    """Batches of about as many tokens on each rank: a rank with longer samples has more batches."""

    def __init__(self, lengths: list[int], max_tokens: int, rank: int, world_size: int) -> None:
        self.lengths, self.max_tokens, self.rank, self.world_size = lengths, max_tokens, rank, world_size

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for idx in range(self.rank, len(self.lengths), self.world_size):
            if batch and sum(self.lengths[one] for one in [*batch, idx]) > self.max_tokens:
                yield batch
                batch = []
            batch.append(idx)
        if batch:
            yield batch


def plain(length: int, batch_size: int, rank: int, world_size: int) -> DataLoader[int]:
    """Return a sound loader of a rank's samples: those of each step in turn."""
    steps = BatchSampler(range(length), batch_size * world_size, drop_last=False)
    return DataLoader(range(length), batch_sampler=[step[rank::world_size] for step in steps])  # type: ignore[arg-type]


class Noisy:
    """A data set with noise from a generator of its own: every worker has a copy of it."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return 100

    def __getitem__(self, idx: int) -> tuple[int, Any]:
        return idx, self.generator.normal(size=4)


class SoundlyNoisy(Noisy):
    """A data set whose noise is a function of the index."""

    def __getitem__(self, idx: int) -> tuple[int, Any]:
        return idx, np.random.default_rng([7, int(idx)]).normal(size=4)


class ByWorker(Noisy):
    """A data set that reads the number of the worker."""

    def __getitem__(self, idx: int) -> int:
        info = torch.utils.data.get_worker_info()
        return idx + (1000 if info is not None else 0)


class ByHash(Noisy):
    """A data set that depends on the hash of a string, which differs between processes."""

    def __getitem__(self, idx: int) -> int:
        return hash(f"sample {idx}")


class Opened(Noisy):
    """A data set that holds an open file, which doesn't pickle."""

    def __init__(self) -> None:
        self.file = open(__file__)  # noqa: SIM115, PTH123

    def __getitem__(self, idx: int) -> int:
        return idx


class Masked:
    """A loader with masks."""

    def __init__(self, rank: int, *, seed_of_rank: bool, seed_of_epoch: bool) -> None:
        self.seed = [7, rank * seed_of_rank]
        self.epoch, self.seed_of_epoch = 0, seed_of_epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        generator = np.random.default_rng([*self.seed, self.epoch * self.seed_of_epoch])
        self.epoch += 1
        for _ in range(5):
            yield {"mask": torch.from_numpy(generator.random((4, 50)) < 0.15)}
