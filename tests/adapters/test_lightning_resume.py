"""Tests of resumed Lightning runs: signals, tuners, time limits, data modules that are reused, ranks."""

import json
import multiprocessing
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import attrs
import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    OnExceptionCheckpoint,
)
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.tuner import Tuner

from bionemo.adapters.lightning import PipelineDataModule
from bionemo.adapters.lightning.signals import DeferredSignals
from bionemo.data import batch_at
from bionemo.data.pipes import loader
from tests.adapters import stopped_runs
from tests.adapters.stopped_runs import (
    RunRecorder,
    Setup,
    Stop,
    differences,
    make_data,
    make_trainer,
    train_uninterrupted,
    train_with_stops,
)
from tests.adapters.trainers import TRAIN, VALIDATION, make_module
from tests.torchrun import run_on_ranks

pytestmark = [
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
    pytest.mark.filterwarnings("ignore:the order has ended"),
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path., callbacks"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:.*was called without a model"),
    pytest.mark.filterwarnings("ignore:.*there is no last checkpoint available"),
    pytest.mark.filterwarnings("ignore:You defined a .validation_step. but have no"),
]

ROOT = Path(__file__).parents[2]
AMID = {"on_train_batch_start", "on_after_backward", "on_validation_end"}
"""Hooks that each run of the tests tries; `make slow` tries all."""


def weights(module: LightningModule) -> dict[str, torch.Tensor]:
    return module.state_dict()


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(part, other[name]) for name, part in one.items())


def train(folder: Path, *callbacks: Callback, setup: Setup = Setup(), checkpoint=None, data=None, **options):  # noqa: B008
    """Train as a setup says, and return the recorder, the module and the trainer."""
    recorder, module = RunRecorder(), make_module()
    trainer = make_trainer(setup, folder, recorder, *callbacks, **options)
    trainer.fit(module, data or make_data(setup), ckpt_path=checkpoint)
    return recorder, module, trainer


@pytest.mark.parametrize(
    "options",
    [
        {"save_top_k": -1},
        {"every_n_train_steps": 3, "save_top_k": -1},
        {"monitor": "val_loss", "save_top_k": -1, "save_on_train_epoch_end": False},
        {"monitor": "val_loss", "save_top_k": -1},
        pytest.param({"train_time_interval": "now", "save_top_k": -1}, marks=pytest.mark.slow),
    ],
    ids=["by epoch", "by step", "after validation", "by metric", "by time"],
)
@pytest.mark.parametrize("validated", ["each epoch", "every 2 batches"])
def test_every_checkpoint_that_lightning_saves_resumes_exactly(tmp_path: Path, options: dict, validated: str) -> None:
    setup = Setup(validated=validated)
    if "train_time_interval" in options:
        options = options | {"train_time_interval": timedelta(milliseconds=20)}
    saving = ModelCheckpoint(tmp_path / "saved", "{step}-{epoch}", **options)
    whole, module, _ = train(tmp_path, saving, setup=setup)
    saved = sorted((tmp_path / "saved").glob("*.ckpt"))
    assert len(saved) >= 2
    for path in saved:
        after, resumed, _ = train(tmp_path / "again", setup=setup, checkpoint=path)
        first = min(after.batches, default=12)
        assert after.batches == {number: ids for number, ids in whole.batches.items() if number >= first}
        assert after.validations.items() <= whole.validations.items()
        assert same(weights(module), weights(resumed)), path


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_that_reaches_max_time_resumes_exactly(tmp_path: Path, num_workers: int) -> None:
    class Slow(Callback):
        def on_before_backward(self, *_) -> None:
            time.sleep(0.03)

    setup = Setup(num_workers=num_workers)
    whole, module, _ = train(tmp_path, setup=setup)
    saving = ModelCheckpoint(tmp_path / "saved", "last", save_top_k=1, every_n_train_steps=1)
    begun, _, trainer = train(tmp_path, Slow(), saving, setup=setup, max_time=timedelta(seconds=0.12), max_epochs=-1)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    assert 0 < len(begun.batches) < 12
    after, resumed, _ = train(tmp_path, setup=setup, checkpoint=tmp_path / "end.ckpt")
    assert begun.batches | after.batches == whole.batches
    assert len(begun.batches) + len(after.batches) == 12
    assert same(weights(module), weights(resumed))


@pytest.mark.parametrize("limits", [{"max_epochs": 2}, {"max_epochs": -1, "max_steps": 7}], ids=str)
def test_a_finished_run_repeats_nothing_and_continues_under_a_higher_limit(tmp_path: Path, limits: dict) -> None:
    whole, module, _ = train(tmp_path)
    begun, first, trainer = train(tmp_path, **limits)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    again, unchanged, _ = train(tmp_path, checkpoint=tmp_path / "end.ckpt", **limits)
    assert again.batches == {}
    assert same(weights(first), weights(unchanged))
    after, resumed, _ = train(tmp_path, checkpoint=tmp_path / "end.ckpt")
    assert begun.batches | after.batches == whole.batches
    assert same(weights(module), weights(resumed))


def test_resuming_after_the_end_of_the_order_warns_and_trains_nothing(tmp_path: Path) -> None:
    setup = Setup(limit="order", is_finite=True)
    _, _, trainer = train(tmp_path, setup=setup)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    with pytest.warns(UserWarning, match="the order has ended at sample 47: nothing is left to train on"):
        again, _, _ = train(tmp_path, setup=setup, checkpoint=tmp_path / "end.ckpt")
    assert again.batches == {}


def test_a_batch_that_could_not_be_read_is_trained_by_the_resumed_run(tmp_path: Path) -> None:
    """The data set raises between two batches, with and without worker processes."""
    setup = Setup(accumulated=3)
    whole, module, _ = train(tmp_path, setup=setup)
    for num_workers in (0, 2):
        rows = list(make_data(setup).train.sources[0].dataset)
        bad = Unreadable(rows, tmp_path / f"fails{num_workers}")
        bad.flag.touch()
        data = PipelineDataModule(
            train=attrs.evolve(make_data(setup).train, sources=bad), batches_per_epoch=4, num_workers=num_workers
        )
        saving = OnExceptionCheckpoint(tmp_path, f"failed{num_workers}")
        with pytest.raises(OSError, match="disk"):
            train(tmp_path, saving, setup=setup, data=data)
        bad.flag.unlink()
        after, resumed, _ = train(tmp_path, setup=setup, checkpoint=tmp_path / f"failed{num_workers}.ckpt")
        assert after.batches == {number: ids for number, ids in whole.batches.items() if number >= min(after.batches)}
        assert min(after.batches) > 0
        assert same(weights(module), weights(resumed))


def test_a_fit_that_fails_leaves_no_worker_process(tmp_path: Path) -> None:
    class Fails(Callback):
        def on_before_backward(self, *_) -> None:
            raise ArithmeticError

    data = make_data(Setup(num_workers=1))  # kept, and with it the loader
    with pytest.raises(ArithmeticError):
        train(tmp_path, Fails(), data=data)
    assert multiprocessing.active_children() == []


class FailsAt(Callback):
    """Raises in the batch of a number, before its gradient."""

    def __init__(self, number: int) -> None:
        self.number = number

    def on_before_backward(self, trainer, *_) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx == self.number:
            raise ArithmeticError


@pytest.mark.parametrize("number", [3, 6, 7])
def test_a_checkpoint_within_a_step_holds_all_of_it_when_a_schedule_accumulates_more_batches(
    number: int, tmp_path: Path
) -> None:
    schedule = {0: 1, 1: 4}  # epochs of 4 batches
    saving = OnExceptionCheckpoint(tmp_path, "failed")
    with pytest.raises(ArithmeticError):
        train(tmp_path, GradientAccumulationScheduler(schedule), FailsAt(number), saving)
    whole, module, _ = train(tmp_path, GradientAccumulationScheduler(schedule))
    after, resumed, _ = train(tmp_path, GradientAccumulationScheduler(schedule), checkpoint=tmp_path / "failed.ckpt")
    assert after.batches == {number: ids for number, ids in whole.batches.items() if number >= min(after.batches)}
    assert same(weights(module), weights(resumed))


@pytest.mark.parametrize("max_steps", [3, -1])
def test_a_run_is_extended_by_a_longer_order(max_steps: int, tmp_path: Path) -> None:
    pipeline = make_data(Setup()).train
    short, long = (
        PipelineDataModule(train=attrs.evolve(pipeline, order=attrs.evolve(pipeline.order, num_samples=count)))
        for count in (4 * pipeline.batch_size, 10 * pipeline.batch_size)
    )
    first, _, trainer = train(tmp_path, data=short, max_epochs=1, max_steps=max_steps)
    trainer.save_checkpoint(tmp_path / "short.ckpt")
    second, _, _ = train(tmp_path, data=long, max_epochs=2, checkpoint=tmp_path / "short.ckpt")
    whole, _, _ = train(tmp_path, data=long, max_epochs=1)
    assert first.batches | second.batches == whole.batches
    assert not first.batches.keys() & second.batches.keys()


class Unreadable:
    """Rows, one of which can't be read while a file exists."""

    def __init__(self, rows: list, flag: Path) -> None:
        self.rows, self.flag = rows, flag

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, idx: int):
        if idx == 7 and self.flag.exists():
            raise OSError("disk")
        return self.rows[idx]


@pytest.mark.parametrize("hook", ["lr_scheduler_step", "optimizer_step"])
def test_saving_within_a_step_of_the_optimizer_or_lr_scheduler_is_refused(tmp_path: Path, hook: str) -> None:
    class Saving(type(make_module())):
        def optimizer_step(self, *args, **kwargs) -> None:
            super().optimizer_step(*args, **kwargs)
            if hook == "optimizer_step":
                self.trainer.save_checkpoint(tmp_path / "a.ckpt")

        def lr_scheduler_step(self, scheduler, metric) -> None:
            if hook == "lr_scheduler_step":
                self.trainer.save_checkpoint(tmp_path / "a.ckpt")
            super().lr_scheduler_step(scheduler, metric)

    module = make_module()
    module.__class__ = Saving
    with pytest.raises(RuntimeError, match="can't be saved while the optimizer or a learning-rate scheduler takes"):
        make_trainer(Setup(), tmp_path).fit(module, make_data(Setup()))
    assert not (tmp_path / "a.ckpt").exists()


def test_an_optimizer_that_fails_within_its_step_leaves_no_checkpoint(tmp_path: Path) -> None:
    class Fails(torch.optim.SGD):
        def step(self, closure=None):
            closure()
            with torch.no_grad():
                self.param_groups[0]["params"][1].add_(1)
            raise MemoryError("no memory for the second moment")

    module = make_module()
    module.optimizer, module.lr_scheduler = lambda parameters: Fails(parameters, lr=0.1), None
    with pytest.raises(RuntimeError, match="the weights hold part of a batch"):
        make_trainer(Setup(), tmp_path, OnExceptionCheckpoint(tmp_path, "x")).fit(module, make_data(Setup()))
    assert not (tmp_path / "x.ckpt").exists()


def test_a_new_fit_starts_where_the_pipeline_starts(tmp_path: Path) -> None:
    """A data module reused in a sweep, with a finite order and with an endless one."""
    for setup in (Setup(), Setup(is_finite=True, limit="order")):
        data = make_data(setup)
        first, module, _ = train(tmp_path / "first", setup=setup, data=data)
        second, other, _ = train(tmp_path / "second", setup=setup, data=data)
        assert first.batches == second.batches
        assert len(first.batches) == 12
        assert same(weights(module), weights(other))


def test_a_second_fit_by_the_same_trainer_continues_the_first(tmp_path: Path) -> None:
    whole, _, _ = train(tmp_path)
    setup, recorder, again = Setup(), RunRecorder(), make_module()
    data, trainer = make_data(setup), make_trainer(setup, tmp_path, recorder, max_epochs=1)
    trainer.fit(again, data)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(again, data)
    assert recorder.batches == whole.batches


def test_reloaded_dataloaders_continue(tmp_path: Path) -> None:
    whole, module, _ = train(tmp_path)
    reloaded, other, _ = train(tmp_path, reload_dataloaders_every_n_epochs=1)
    assert reloaded.batches == whole.batches
    assert same(weights(module), weights(other))


class Tuned(type(make_module())):
    """A module with the attribute that the tuners set."""

    lr = 0.01

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def make_tuned() -> LightningModule:
    module = make_module()
    module.__class__ = Tuned
    return module


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("is_finite", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["callback", pytest.param("tuner", marks=pytest.mark.slow)])
def test_the_learning_rate_finder_consumes_no_samples(tmp_path: Path, how: str, is_finite: bool) -> None:
    setup = Setup(is_finite=is_finite, validated="each epoch")
    expected, _, _ = train(tmp_path, setup=setup)
    recorder, module, data = RunRecorder(), make_tuned(), make_data(setup)
    options = {"num_training_steps": 6, "early_stop_threshold": None}
    callbacks = [LearningRateFinder(**options)] if how == "callback" else []
    trainer = make_trainer(setup, tmp_path, recorder, *callbacks)
    if how == "tuner":
        Tuner(trainer).lr_find(module, datamodule=data, num_training=6, early_stop_threshold=None)
    saved = ModelCheckpoint(tmp_path / how, "{step}", every_n_train_steps=1, save_top_k=-1)
    trainer.callbacks.append(saved)
    trainer.fit(module, data)
    assert recorder.batches == expected.batches
    again, resumed = RunRecorder(), make_tuned()
    resumed.lr = module.lr
    make_trainer(setup, tmp_path, again).fit(resumed, make_data(setup), ckpt_path=tmp_path / how / "step=6.ckpt")
    assert again.batches == {number: ids for number, ids in expected.batches.items() if number >= 6}
    assert same(weights(module), weights(resumed))


def test_tuning_a_resumed_fit_is_refused(tmp_path: Path) -> None:
    _, _, trainer = train(tmp_path, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    for finder in (LearningRateFinder(num_training_steps=3), BatchSizeFinder(max_trials=2)):
        with pytest.raises(ValueError, match=f"can't be tuned, got a {type(finder).__name__}: Lightning would lose"):
            train(tmp_path, finder, checkpoint=tmp_path / "a.ckpt")


def test_the_batch_size_finder_sets_the_batch_size_and_consumes_no_samples(tmp_path: Path) -> None:
    recorder, data = RunRecorder(), make_data(Setup(validated="each epoch"))
    finder = BatchSizeFinder(mode="power", max_trials=2, init_val=2, steps_per_trial=2)
    trainer = make_trainer(Setup(validated="each epoch"), tmp_path, recorder, finder)
    trainer.fit(make_module(), data)
    assert data.batch_size == data.train.batch_size
    assert data.batch_size in {2, 4}
    assert recorder.batches == {step: batch_at(data.train, step)["ids"].tolist() for step in range(12)}


@pytest.mark.parametrize("options", [{"fast_dev_run": 2}, {"num_sanity_val_steps": 2}], ids=str)
def test_dry_runs_and_sanity_checks_consume_no_samples(tmp_path: Path, options: dict) -> None:
    setup = Setup(validated="each epoch")
    expected, module, _ = train(tmp_path, setup=setup)
    data = make_data(setup)
    if "fast_dev_run" in options:
        make_trainer(setup, tmp_path, **options).fit(make_module(), data)
        options = {}
    recorder, other, _ = train(tmp_path, setup=setup, data=data, **options)
    assert recorder.batches == expected.batches
    assert same(weights(module), weights(other))


def test_evaluation_between_fits_consumes_no_samples(tmp_path: Path) -> None:
    data = PipelineDataModule(
        train=TRAIN, validation=VALIDATION, test=VALIDATION, predict=VALIDATION, batches_per_epoch=4
    )
    module, seen = make_module(), {}
    for epochs in (1, 2, 3):
        recorder = RunRecorder()
        trainer = make_trainer(Setup(), tmp_path, recorder, max_epochs=epochs)
        trainer.fit(module, data, ckpt_path=tmp_path / "last.ckpt" if epochs > 1 else None)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        trainer.validate(module, data, verbose=False)
        trainer.test(module, data, verbose=False)
        trainer.predict(module, data)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        seen |= recorder.batches
    assert seen == {step: batch_at(TRAIN, step)["ids"].tolist() for step in range(12)}


def test_a_checkpoint_without_a_position_is_refused(tmp_path: Path) -> None:
    trainer = make_trainer(Setup(), tmp_path, max_epochs=1)
    trainer.fit(make_module(), train_dataloaders=loader(TRAIN, batches_per_epoch=4))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="must hold the position of the data, got one that was saved without"):
        train(tmp_path, checkpoint=tmp_path / "a.ckpt")


def test_a_checkpoint_of_a_renamed_data_module_keeps_its_position(tmp_path: Path) -> None:
    class Other(PipelineDataModule):
        pass

    whole, module, _ = train(tmp_path)
    _, _, trainer = train(tmp_path, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    data = Other(train=make_data(Setup()).train, batches_per_epoch=4)
    after, resumed, _ = train(tmp_path, checkpoint=tmp_path / "a.ckpt", data=data)
    assert after.batches == {number: ids for number, ids in whole.batches.items() if number >= 4}
    assert same(weights(module), weights(resumed))


def test_a_setup_that_does_not_call_super_is_refused(tmp_path: Path) -> None:
    class Mine(PipelineDataModule):
        def setup(self, stage: str) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"setup must be called before a fit. Call super\(\).setup\(stage\)"):
        train(tmp_path, data=Mine(train=TRAIN, batches_per_epoch=4))


def test_a_new_number_of_accumulated_batches_within_a_step_is_refused(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "saved", "{step}", every_n_train_steps=1, save_top_k=-1)
    train(tmp_path, saving, max_steps=2, max_epochs=-1)
    checkpoint = tmp_path / "saved" / "step=2.ckpt"
    with pytest.raises(ValueError, match="accumulate_grad_batches must divide the 2 batches of the epoch"):
        train(tmp_path, checkpoint=checkpoint, accumulate_grad_batches=3)
    after, _, _ = train(tmp_path, checkpoint=checkpoint, accumulate_grad_batches=2, max_epochs=2)
    assert min(after.batches) == 2


def test_a_plain_loader_that_lightning_does_not_restore_raises(tmp_path: Path) -> None:
    """Lightning itself restores a loader's state only from the middle of an epoch."""
    module, batches = make_module(), loader(TRAIN, batches_per_epoch=4)
    trainer = make_trainer(Setup(), tmp_path, max_epochs=1)
    trainer.fit(module, train_dataloaders=batches)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(RuntimeError, match=r"got epoch=1 and a loader at sample 0.*PipelineDataModule does so"):
        make_trainer(Setup(), tmp_path).fit(
            make_module(), train_dataloaders=loader(TRAIN, batches_per_epoch=4), ckpt_path=tmp_path / "a.ckpt"
        )


class AfterSetup(SingleDeviceStrategy):
    """Restores the model after setting it up, as FSDP and DeepSpeed do."""

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        return True


def test_a_strategy_that_restores_after_setup_resumes_exactly(tmp_path: Path) -> None:
    def strategy() -> SingleDeviceStrategy:
        return AfterSetup("cpu")

    whole, module, _ = train(tmp_path)
    saving = ModelCheckpoint(tmp_path / "saved", "{step}", every_n_train_steps=3, save_top_k=-1)
    train(tmp_path, saving, strategy=strategy())
    for step in (3, 6, 12):
        checkpoint = tmp_path / "saved" / f"step={step}.ckpt"
        after, resumed, _ = train(tmp_path, checkpoint=checkpoint, strategy=strategy())
        assert after.batches == {number: ids for number, ids in whole.batches.items() if number >= step}
        assert same(weights(module), weights(resumed))


# Signals of a job scheduler ---------------------------------------------------------------------------------------


def slurm(tmp_path: Path, rank: int = 0, world_size: int = 1) -> dict[str, str]:
    """Return the environment of a SLURM job, with a `scontrol` that logs its arguments."""
    command = tmp_path / "bin" / "scontrol"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/scontrol.log\n")
    command.chmod(0o755)
    return os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": str(world_size),
        "SLURM_NTASKS_PER_NODE": str(world_size),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def start(tmp_path: Path, folder: Path, log: Path, world_size: int) -> list[subprocess.Popen]:
    script = Path(__file__).with_name("requeued_run.py")
    port = free_port()
    folder.mkdir(exist_ok=True)
    return [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", script, folder, log],
            env=slurm(tmp_path, rank, world_size) | {"MASTER_PORT": port, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]


def lines(log: Path) -> list:
    found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [(rank, number, ids) for rank, number, ids in found]


def requeued(tmp_path: Path) -> list[str]:
    log = tmp_path / "scontrol.log"
    return log.read_text().splitlines() if log.exists() else []


def wait_for(processes: list[subprocess.Popen], condition) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        assert time.monotonic() < end
        time.sleep(0.002)


def test_each_deferred_signal_is_handled_once_however_often_it_was_sent_and_deferred() -> None:
    """A second fit by the same trainer defers the handlers again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    signals, seen = DeferredSignals(), []
    try:
        for number in before:
            signal.signal(number, lambda number, frame: seen.append(number))
        signals.defer()
        signals.defer()
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
            signal.raise_signal(number)
        assert seen == []
        signals.handle(signals.pending)
        signals.handle(signals.pending)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert seen == [signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize(
    ("world_size", "endings"),
    [
        pytest.param(1, [signal.SIGKILL], marks=pytest.mark.slow),
        pytest.param(1, [signal.SIGTERM, signal.SIGKILL], marks=pytest.mark.slow),
        pytest.param(2, [signal.SIGTERM, signal.SIGKILL], marks=pytest.mark.slow),
    ],
)
def test_a_requeued_job_resumes_exactly(tmp_path: Path, world_size: int, endings: list[signal.Signals]) -> None:
    """SIGUSR1 at random moments, as SLURM sends it before a job's time limit; then SIGTERM or SIGKILL."""
    whole, log = tmp_path / "whole", tmp_path / "whole.log"
    for process in start(tmp_path, whole, log, world_size):
        out, _ = process.communicate(timeout=180)
        assert process.returncode == 0, out
    expected = {(rank, number): ids for rank, number, ids in lines(log)}
    assert len(expected) == 48 * world_size

    cut, cut_log = tmp_path / "cut", tmp_path / "cut.log"
    draw = random.Random(world_size)
    for number, ending in enumerate(endings):
        processes = start(tmp_path, cut, cut_log, world_size)
        begun = len(lines(cut_log))
        wait_for(processes, lambda begun=begun: len(lines(cut_log)) >= begun + 9 * world_size)
        time.sleep(draw.random() * 0.05)
        for process in processes:
            process.send_signal(signal.SIGUSR1)
        wait_for(processes, lambda number=number: len(requeued(tmp_path)) > number)
        for process in processes:
            process.send_signal(ending)
        for process in processes:
            process.communicate(timeout=60)
        assert not (cut / "weights.pt").exists()
    for process in start(tmp_path, cut, cut_log, world_size):
        out, _ = process.communicate(timeout=180)
        assert process.returncode == 0, out

    assert {(rank, number): ids for rank, number, ids in lines(cut_log)} == expected
    assert len(lines(cut_log)) < 1.9 * len(expected), "it must resume, not start over"
    weights_of = [torch.load(folder / "weights.pt", weights_only=True) for folder in (whole, cut)]
    for name, part in weights_of[0].items():
        # On several ranks, the mean gradient of an unfinished step is added to the rest in another order.
        torch.testing.assert_close(weights_of[1][name], part, rtol=0 if world_size == 1 else 1e-12, atol=0)
    assert requeued(tmp_path) == ["requeue 17"] * len(endings)


@pytest.mark.parametrize(
    "hook",
    [name if name in AMID else pytest.param(name, marks=pytest.mark.slow) for name in stopped_runs.HOOKS],
)
def test_a_signal_in_any_hook_is_handled_between_two_batches(tmp_path: Path, monkeypatch, hook: str) -> None:
    setup = Setup(validated="every 2 batches", accumulated=3)
    whole = train_uninterrupted(setup, tmp_path)
    for name, value in slurm(tmp_path).items():
        monkeypatch.setenv(name, value)

    class Signalled(Callback):
        count = 0

    def sent(self, trainer, *_) -> None:
        if (
            not trainer.sanity_checking
            and trainer.fit_loop.epoch_loop.batch_progress.total.ready >= 5
            and not self.count
        ):
            self.count = 1
            os.kill(os.getpid(), signal.SIGUSR1)

    setattr(Signalled, hook, sent)
    folder = tmp_path / hook
    folder.mkdir()
    recorder, _, _ = train(folder, Signalled(), setup=setup)
    assert recorder.batches == whole.batches
    if hook in {"on_train_start", "on_train_end"}:  # before the first batch, or after the last
        assert not list(folder.glob("*.ckpt"))
        return
    (checkpoint,) = folder.glob("hpc_ckpt_1.ckpt")
    after, resumed, _ = train(folder, setup=setup)  # Lightning finds the checkpoint itself
    assert checkpoint.exists()
    assert after.batches == {
        number: ids for number, ids in whole.batches.items() if number >= min(after.batches, default=12)
    }
    assert same(whole.weights, weights(resumed))


# Ranks ------------------------------------------------------------------------------------------------------------

HISTORIES = [
    (Setup(world_size=2), [Stop(hook="on_train_epoch_end", batches=3)]),
    (Setup(world_size=2, module="plain"), [Stop(hook="on_before_backward", batches=5, how="exception")]),
    (
        Setup(world_size=2, module="plain", accumulated=3),
        [Stop(hook="on_train_batch_end", batches=4), Stop(hook="on_before_optimizer_step", batches=9)],
    ),
    (
        Setup(world_size=2, accumulated=3, validated="every 2 batches"),
        [Stop(hook="on_validation_end", batches=5, how="exception"), Stop(hook="on_after_backward", batches=9)],
    ),
    (Setup(world_size=2, num_workers=2, limit="both"), [Stop(hook="on_train_batch_start", batches=6, how="exception")]),
    (
        Setup(world_size=2, limit="early stopping", validated="each epoch"),
        [Stop(hook="on_validation_batch_end", batches=3), Stop(hook="on_train_epoch_end", batches=7)],
    ),
    (Setup(world_size=2, is_finite=True, limit="order"), [Stop(hook="on_train_batch_end", batches=11)]),
    (Setup(world_size=2, is_packed=True), [Stop(hook="on_after_backward", batches=6, how="exception")]),
    (Setup(world_size=2, limit="steps"), [Stop(hook="on_train_batch_end", batches=7, how="saved and finished")]),
]


@pytest.mark.slow  # tests/adapters/test_lightning_ranks.py resumes on ranks, too
def test_two_ranks_resume_exactly(tmp_path: Path) -> None:
    jobs = [job for setup, stops in HISTORIES for job in ((setup, []), (setup, stops))]
    (tmp_path / "jobs.pickle").write_bytes(pickle.dumps(jobs))
    run_on_ranks(stopped_runs.__file__, tmp_path / "jobs.pickle", ranks=2, timeout=240)
    for number, (setup, stops) in enumerate(HISTORIES):
        for rank in range(2):
            whole, cut = (
                stopped_runs.Outcome(
                    **pickle.loads((tmp_path / str(2 * number + part) / f"rank{rank}.pickle").read_bytes())
                )
                for part in (0, 1)
            )
            assert differences(whole, cut, setup) == [], (setup, stops)


@pytest.mark.parametrize("is_finite", [False, True])
def test_runs_on_packed_steps_resume_exactly(tmp_path: Path, is_finite: bool) -> None:
    stops = [Stop(hook="on_after_backward", batches=5, how="exception"), Stop(hook="on_train_epoch_end", batches=7)]
    setup = Setup(is_packed=True, is_finite=is_finite, accumulated=1, validated="each epoch")
    whole = train_uninterrupted(setup, tmp_path)
    assert len(whole.batches) == 12
    assert differences(whole, train_with_stops(setup, stops, tmp_path), setup) == []


def test_runs_with_worker_processes_resume_exactly(tmp_path: Path) -> None:
    stops = [Stop(hook="on_after_backward", batches=5, how="exception"), Stop(hook="on_train_epoch_end", batches=7)]
    for accumulated in (1, 3):
        setup = Setup(num_workers=2, accumulated=accumulated, validated="each epoch")
        whole = train_uninterrupted(attrs.evolve(setup, num_workers=0), tmp_path)
        assert differences(whole, train_with_stops(setup, stops, tmp_path), setup) == []
