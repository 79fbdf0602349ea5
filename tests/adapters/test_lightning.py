"""The Lightning adapter, under real trainers."""

from functools import partial
from pathlib import Path

import attrs
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from bionemo.adapters.lightning import AtomicCheckpointIO, PipelineDataModule, TrainableModule
from bionemo.core.model.config import BionemoTrainableModelConfig
from bionemo.core.model.loss import TokenCrossEntropy, mean_loss, token_cross_entropy
from bionemo.core.utils.random_utils import make_generator
from bionemo.data import EpochOrder, Pipeline, batch_at

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")


class Tiny(nn.Module):
    """Guesses a token from itself, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Embedding(8, 6), nn.Dropout(0.5), nn.Linear(6, 8))

    def forward(self, batch):
        return self.layers(batch["ids"])


@attrs.frozen
class TinyConfig(BionemoTrainableModelConfig[Tiny, TokenCrossEntropy]):
    def configure_model(self) -> Tiny:
        return Tiny()

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        return TokenCrossEntropy


def stack(rows: list) -> dict[str, torch.Tensor]:
    ids = torch.tensor(rows, dtype=torch.int64).reshape(len(rows), 5)
    return {"ids": ids, "labels": ids.where(ids < 5, -100)}


ROWS = torch.randint(8, (23, 5), generator=torch.Generator().manual_seed(0)).tolist()
TRAIN = Pipeline(order=EpochOrder(length=23, seed=1), sources=ROWS, batch_size=4, seed=2, collate=stack)
VALIDATION = attrs.evolve(TRAIN, order=EpochOrder(length=23, seed=1, num_samples=23, shuffle=False))


class Recorder(Callback):
    """Notes what each step trained on."""

    def __init__(self) -> None:
        self.batches: dict[int, list] = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.batches[trainer.global_step] = batch["ids"].tolist()


def make_trainer(folder: Path, *callbacks: Callback, **options) -> Trainer:
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=[*callbacks, ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )


def make_module() -> TrainableModule:
    return TrainableModule(
        TinyConfig(),
        optimizer=partial(torch.optim.AdamW, lr=0.01),
        schedule=partial(torch.optim.lr_scheduler.StepLR, step_size=3),
        generator=make_generator(3),
        seed=4,
    )


def run(folder: Path, *, steps: int, checkpoint: Path | None = None) -> tuple[TrainableModule, Recorder, Trainer]:
    torch.rand(7)  # a resumed process stands elsewhere in its global stream
    module, recorder = make_module(), Recorder()
    data = PipelineDataModule(train=TRAIN, validation=VALIDATION, batches_per_epoch=5)
    trainer = make_trainer(folder, recorder, max_steps=steps)
    trainer.fit(module, data, ckpt_path=checkpoint)
    return module, recorder, trainer


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[Path, TrainableModule, Recorder, Trainer]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, *run(folder, steps=13)


def test_it_trains_on_the_batches_of_the_pipeline(uninterrupted) -> None:
    _, _, recorder, _ = uninterrupted
    assert recorder.batches == {step: batch_at(TRAIN, step)["ids"].tolist() for step in range(13)}


@pytest.mark.parametrize("stopped_at", [1, 4, 5, 6, 9, 10, 12])
def test_it_resumes_anywhere_with_the_same_batches_and_weights(uninterrupted, tmp_path: Path, stopped_at: int) -> None:
    folder, module, recorder, _ = uninterrupted
    resumed, after, _ = run(tmp_path, steps=13, checkpoint=folder / f"step={stopped_at}.ckpt")
    assert after.batches == {step: batch for step, batch in recorder.batches.items() if step >= stopped_at}
    for name, weights in module.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name


def test_dropout_is_drawn_from_seed_and_step(uninterrupted, tmp_path: Path) -> None:
    _, module, _, _ = uninterrupted
    torch.manual_seed(12345)
    before = torch.get_rng_state()
    again, _, _ = run(tmp_path, steps=13)
    assert all(torch.equal(weights, again.state_dict()[name]) for name, weights in module.state_dict().items())
    (
        torch.rand(7, generator=(generator := torch.Generator())),
        generator.set_state(before),
        torch.rand(7, generator=generator),
    )
    assert torch.equal(torch.get_rng_state(), generator.get_state())


def test_the_validation_loss_is_the_mean_over_all_tokens(uninterrupted, tmp_path: Path) -> None:
    module, _, trainer = run(tmp_path, steps=5)
    module.eval()
    with torch.no_grad():
        parts = [
            token_cross_entropy(module.model(batch), batch["labels"])
            for batch in (batch_at(VALIDATION, s) for s in range(6))
        ]
    torch.testing.assert_close(trainer.callback_metrics["val_loss"], mean_loss(parts))


def test_a_checkpoint_is_of_plain_values(uninterrupted) -> None:
    folder, *_ = uninterrupted
    checkpoint = torch.load(folder / "step=7.ckpt", weights_only=True)
    (state,) = checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert state["consumed_samples"] == 28


def test_a_checkpoint_of_another_order_is_refused(uninterrupted, tmp_path: Path, monkeypatch) -> None:
    folder, *_ = uninterrupted
    monkeypatch.setitem(globals(), "TRAIN", attrs.evolve(TRAIN, order=EpochOrder(length=23, seed=9)))
    with pytest.raises(ValueError, match=r"order.seed \(was 1, is 9\)"):
        run(tmp_path, steps=13, checkpoint=folder / "step=7.ckpt")


def test_an_order_without_end_needs_a_pause() -> None:
    with pytest.raises(ValueError, match="batches_per_epoch must be given for an order without end"):
        PipelineDataModule(train=TRAIN)
    with pytest.raises(ValueError, match="validation must have an end"):
        PipelineDataModule(train=VALIDATION, validation=TRAIN)


def test_without_validation_there_is_none() -> None:
    assert PipelineDataModule(train=VALIDATION).val_dataloader() == []


def test_training_ends_with_an_order_that_has_an_end(tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = make_trainer(tmp_path, recorder, max_steps=50, limit_val_batches=0)
    trainer.fit(make_module(), PipelineDataModule(train=VALIDATION))
    assert trainer.global_step == 6
    assert recorder.batches == {step: batch_at(VALIDATION, step)["ids"].tolist() for step in range(6)}


def test_a_second_trainer_goes_on_where_the_first_left_off(tmp_path: Path) -> None:
    data, seen = PipelineDataModule(train=TRAIN, batches_per_epoch=3), []
    for name in ("first", "second"):
        recorder = Recorder()
        make_trainer(tmp_path / name, recorder, max_epochs=1, limit_val_batches=0).fit(make_module(), data)
        seen += recorder.batches.values()
    assert seen == [batch_at(TRAIN, step)["ids"].tolist() for step in range(6)]


def test_checkpoints_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": 1}, target)
    with pytest.raises(AttributeError, match="local object"):
        AtomicCheckpointIO().save_checkpoint({"a": lambda: None}, target)
    assert torch.load(target, weights_only=True) == {"a": 1}
    assert [path.name for path in target.parent.iterdir()] == ["a.ckpt"]


def test_checkpoints_go_to_local_files_alone(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="storage_options must be None"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "a", storage_options=3)
    with pytest.raises(ValueError, match="path must be that of a local file, got path='memory://a/b'"):
        AtomicCheckpointIO().save_checkpoint({}, "memory://a/b")
