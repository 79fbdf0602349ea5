"""The options of a training loader under Lightning, and what it logs of its waits."""

import csv
import logging
from pathlib import Path

import attrs
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from bionemo.adapters.lightning import LogLoaderStats, PipelineDataModule
from tests.adapters.trainers import ROWS, TRAIN, make_module, make_trainer, stack


def shift(batch: dict, *, seeds: torch.Tensor) -> dict:
    return batch | {"ids": (batch["ids"] + seeds[0] % 2).clamp(max=7)}


SHIFTED = attrs.evolve(TRAIN, batch_transform=shift)


def weights(folder: Path, **options) -> list[torch.Tensor]:
    module = make_module()
    trainer = make_trainer(folder, max_steps=7, limit_val_batches=0)
    trainer.fit(module, PipelineDataModule(train=SHIFTED, batches_per_epoch=3, **options))
    return [parameter.detach() for parameter in module.parameters()]


@pytest.mark.parametrize(
    "options",
    [
        {"num_threads": 2, "prefetch_factor": 3},
        {"read_ahead": 3},
        {"device": "auto", "transform_on": "device"},
        {"num_workers": 1, "multiprocessing_context": "fork", "prefetch_factor": 1, "device": "cpu"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("no_type_checks")  # the checker draws from Python's random state while samples are read
def test_options_change_nothing_about_the_training(tmp_path: Path, options: dict) -> None:
    expected, found = weights(tmp_path / "plain"), weights(tmp_path / "other", **options)
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_wrong_options_are_named_when_the_data_module_is_made() -> None:
    with pytest.raises(ValueError, match="num_threads must be 0 with worker processes"):
        PipelineDataModule(train=TRAIN, batches_per_epoch=3, num_workers=1, num_threads=1)
    with pytest.raises(ValueError, match='device must be given with transform_on="device"'):
        PipelineDataModule(train=TRAIN, batches_per_epoch=3, transform_on="device")


def test_the_waits_are_logged(tmp_path: Path, caplog) -> None:
    logger = CSVLogger(tmp_path / "logs")
    trainer = make_trainer(
        tmp_path / "run", LogLoaderStats(), max_steps=6, limit_val_batches=0, logger=logger, log_every_n_steps=2
    )
    with caplog.at_level(logging.INFO, logger="bionemo.adapters.lightning.stats"):
        trainer.fit(make_module(), PipelineDataModule(train=TRAIN, batches_per_epoch=3))
    with Path(logger.log_dir, "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["loader/waited_p50"]]
    assert [int(row["step"]) for row in rows] == [2, 4, 6]
    assert all(0 <= float(row["loader/waiting"]) <= 1 and float(row["loader/read"]) > 0 for row in rows)
    lines = [record.message for record in caplog.records if record.name == "bionemo.adapters.lightning.stats"]
    assert len(lines) == 2
    assert lines[0].startswith("rank 0: 3 steps in ")


@pytest.mark.filterwarnings("ignore")  # Lightning's about the loader
def test_another_loader_is_refused(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, LogLoaderStats(), max_steps=2, limit_val_batches=0, log_every_n_steps=1)
    with pytest.raises(
        TypeError, match="the training loader must be a PipelineDataModule's, got an object of type DataLoader"
    ):
        trainer.fit(make_module(), DataLoader(ROWS[:8], batch_size=4, collate_fn=stack))
