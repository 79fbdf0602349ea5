"""Tests of the Lightning adapter with real trainers."""

from pathlib import Path

import attrs
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn

from bionemo.adapters.lightning import AtomicCheckpointIO, PipelineDataModule, TrainableModule
from bionemo.adapters.lightning.accumulation import save_gradients
from bionemo.core.model.cross_entropy import token_cross_entropy
from bionemo.core.model.loss import mean_loss
from bionemo.core.random import make_generator
from bionemo.core.utils.dtype import get_autocast_dtype
from bionemo.data import EpochOrder, batch_at
from bionemo.data.pipes import loader
from tests.adapters import trainers
from tests.adapters.trainers import TRAIN, VALIDATION, Recorder, make_module, make_trainer, run

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, *run(folder, steps=13)


def test_training_reads_the_batches_of_the_pipeline(uninterrupted) -> None:
    _, _, recorder, _ = uninterrupted
    assert recorder.batches == {step: batch_at(TRAIN, step)["ids"].tolist() for step in range(13)}


@pytest.mark.parametrize("stopped_at", [1, 4, 5, 6, 9, 10, 12])
def test_a_run_resumes_at_any_step_with_the_same_batches_and_weights(
    uninterrupted, tmp_path: Path, stopped_at: int
) -> None:
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
    generator = torch.Generator().set_state(before)
    torch.rand(7, generator=generator)  # as `run` does
    assert torch.equal(torch.get_rng_state(), generator.get_state())


@pytest.mark.filterwarnings("ignore:You defined a .validation_step. but have no")
def test_random_numbers_differ_between_accumulated_batches_and_between_ranks(tmp_path: Path) -> None:
    drawn = []
    for rank in (0, 1):
        module = make_module()
        module.model.register_forward_hook(lambda *_: drawn.append(float(torch.rand(()))))
        strategy = SingleDeviceStrategy("cpu")
        strategy.global_rank = rank
        options = {"accumulate_grad_batches": 2, "limit_val_batches": 0, "max_steps": 2, "strategy": strategy}
        make_trainer(tmp_path / str(rank), **options).fit(module, train_dataloaders=loader(TRAIN, batches_per_epoch=4))
    assert len(drawn) == len(set(drawn)) == 2 * 4


def test_the_validation_loss_is_the_mean_over_all_tokens(uninterrupted, tmp_path: Path) -> None:
    module, _, trainer = run(tmp_path, steps=5)
    module.eval()
    with torch.no_grad():
        parts = [
            token_cross_entropy(module.model(batch), batch["labels"])
            for batch in (batch_at(VALIDATION, s) for s in range(6))
        ]
    torch.testing.assert_close(trainer.callback_metrics["val_loss"], mean_loss(parts))


def test_a_checkpoint_holds_plain_values(uninterrupted) -> None:
    folder, *_ = uninterrupted
    checkpoint = torch.load(folder / "step=7.ckpt", weights_only=True)
    (state,) = checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert state["consumed_samples"] == 28


def test_a_checkpoint_of_another_order_is_refused(uninterrupted, tmp_path: Path, monkeypatch) -> None:
    folder, *_ = uninterrupted
    monkeypatch.setattr(trainers, "TRAIN", attrs.evolve(TRAIN, order=EpochOrder(length=23, seed=9)))
    with pytest.raises(ValueError, match=r"order.seed \(was 1, is 9\)"):
        run(tmp_path, steps=13, checkpoint=folder / "step=7.ckpt")


def test_an_order_without_end_needs_batches_per_epoch() -> None:
    with pytest.raises(ValueError, match="batches_per_epoch must be given for an order without end"):
        PipelineDataModule(train=TRAIN)
    with pytest.raises(ValueError, match="validation must have an end"):
        PipelineDataModule(train=VALIDATION, validation=TRAIN)


def test_without_a_validation_pipeline_there_is_no_validation_loader() -> None:
    assert PipelineDataModule(train=VALIDATION).val_dataloader() == []


def test_training_ends_at_the_end_of_a_finite_order(tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = make_trainer(tmp_path, recorder, max_steps=50, limit_val_batches=0)
    trainer.fit(make_module(), PipelineDataModule(train=VALIDATION))
    assert trainer.global_step == 6
    assert recorder.batches == {step: batch_at(VALIDATION, step)["ids"].tolist() for step in range(6)}


def test_checkpoints_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": 1}, target)
    with pytest.raises(AttributeError, match="local object"):
        AtomicCheckpointIO().save_checkpoint({"a": lambda: None}, target)
    assert torch.load(target, weights_only=True) == {"a": 1}
    assert [path.name for path in target.parent.iterdir()] == ["a.ckpt"]


def test_checkpoints_are_written_to_local_files_only(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="storage_options must be None"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "a", storage_options=3)
    with pytest.raises(ValueError, match="path must be a local file, got path='memory://a/b'"):
        AtomicCheckpointIO().save_checkpoint({}, "memory://a/b")


OPTIONS = {
    "accumulated": {"accumulate_grad_batches": 2},
    "accumulated over the end of an epoch": {"accumulate_grad_batches": 3},
    "validated within an epoch": {"val_check_interval": 2, "batches_per_epoch": 4},
    "cut epochs": {"limit_train_batches": 3},
    "two validations": {"num_validations": 2},
    "two workers": {"num_workers": 2},
    "all at once": {
        "accumulate_grad_batches": 2,
        "val_check_interval": 2,
        "limit_train_batches": 4,
        "num_validations": 2,
        "num_workers": 1,
    },
}


@pytest.fixture(scope="module", params=OPTIONS)
def trained_with_options(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    return OPTIONS[request.param], folder, *run(folder, steps=8, **OPTIONS[request.param])


@pytest.mark.parametrize("stopped_at", [1, 3, 4, 5])
def test_every_kind_of_training_resumes_exactly(trained_with_options, tmp_path: Path, stopped_at: int) -> None:
    options, folder, module, recorder, _ = trained_with_options
    resumed, after, _ = run(tmp_path, steps=8, checkpoint=folder / f"step={stopped_at}.ckpt", **options)
    first = min(after.batches)
    assert after.batches == {step: batch for step, batch in recorder.batches.items() if step >= first}
    assert recorder.batches == {step: batch_at(TRAIN, step)["ids"].tolist() for step in range(len(recorder.batches))}
    later = {step for step in recorder.validations if step >= first}
    assert later <= set(after.validations) <= set(recorder.validations)
    assert all(recorder.validations[step] == found for step, found in after.validations.items())
    for name, weights in module.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name


def test_metrics_of_several_validations_end_with_their_names(tmp_path: Path) -> None:
    _, _, trainer = run(tmp_path, steps=5, num_validations=2)
    found = trainer.callback_metrics
    assert {"val_loss_one", "val_loss_two", "val_accuracy_one", "val_accuracy_two"} <= set(found)
    assert found["val_loss_one"] == found["val_loss_two"]


def test_accumulated_batches_are_weighted_by_their_tokens(tmp_path: Path) -> None:
    """Two accumulated batches of 4 give the gradient of one batch of 8, though their numbers of tokens differ."""
    small, _, _ = run(tmp_path / "small", steps=4, dropout=0.0, accumulate_grad_batches=2, batches_per_epoch=8)
    large, _, _ = run(tmp_path / "large", steps=4, dropout=0.0, batch_size=8, batches_per_epoch=4)
    for name, weights in large.state_dict().items():
        torch.testing.assert_close(small.state_dict()[name], weights, rtol=1e-12, atol=1e-12)


def test_evaluation_between_fits_changes_nothing(uninterrupted, tmp_path: Path) -> None:
    _, module, _, _ = uninterrupted
    data = PipelineDataModule(
        train=TRAIN, validation=VALIDATION, test=VALIDATION, predict=VALIDATION, batches_per_epoch=5
    )
    again, seen = make_module(), {}
    checkpoint = None
    for stop in (3, 8, 13):
        recorder = Recorder()
        trainer = make_trainer(tmp_path / str(stop), recorder, max_steps=stop)
        trainer.fit(again, data, ckpt_path=checkpoint)
        checkpoint = tmp_path / str(stop) / f"step={stop}.ckpt"
        seen |= recorder.batches
        (found,) = trainer.validate(again, data, verbose=False)
        (tested,) = trainer.test(again, data, verbose=False)
        assert tested == {name.replace("val", "test"): value for name, value in found.items()}
        assert sum(map(len, trainer.predict(again, data))) == 23
    assert seen == {step: batch_at(TRAIN, step)["ids"].tolist() for step in range(13)}
    assert all(torch.equal(weights, again.state_dict()[name]) for name, weights in module.state_dict().items())


def test_a_checkpoint_between_accumulated_batches_holds_their_gradient(tmp_path: Path) -> None:
    options = {"steps": 4, "accumulate_grad_batches": 3, "batches_per_epoch": 7}
    module, recorder, _ = run(tmp_path / "whole", **options, save_batches=True)
    assert len(recorder.batches) == 10  # the third step ends with the epoch, after one batch
    for batch in (0, 1, 2, 6, 7, 8):
        resumed, after, _ = run(tmp_path / str(batch), **options, checkpoint=tmp_path / "whole" / f"batch={batch}.ckpt")
        assert after.batches == {step: ids for step, ids in recorder.batches.items() if step > batch}
        for name, weights in module.state_dict().items():
            assert torch.equal(weights, resumed.state_dict()[name]), (batch, name)


def test_a_saved_gradient_is_a_copy() -> None:
    """Training continues while a checkpoint is kept, and ranks average their gradients in place."""
    module, num_tokens = nn.Linear(2, 1), [torch.tensor(3)]
    module(torch.ones(2)).backward()
    saved = save_gradients(module, num_tokens, accumulated=2, mean=lambda gradient: gradient.mul_(0.5))
    assert module.weight.grad.tolist() == [[1, 1]]
    module(torch.ones(2)).backward()
    num_tokens.clear()
    assert saved["gradients"]["weight"].tolist() == [[0.5, 0.5]]
    assert saved["num_tokens"] == [3]


@pytest.mark.filterwarnings("ignore:You defined a .validation_step. but have no")
def test_a_batch_without_tokens_has_no_effect(tmp_path: Path) -> None:
    def without_tokens(rows: list) -> dict[str, torch.Tensor]:
        batch = trainers.stack(rows)
        return batch | {"labels": torch.full_like(batch["labels"], -100)}

    def make_pipeline(empty: int):
        collates = iter([without_tokens, trainers.stack] if empty == 0 else [trainers.stack, without_tokens])
        return attrs.evolve(TRAIN, collate=lambda rows: next(collates)(rows))  # noqa: PLW0108 - a different function on each call

    pipelines = {empty: make_pipeline(empty) for empty in (0, 1)}
    alone = attrs.evolve(TRAIN, order=EpochOrder(length=23, seed=1, num_samples=8))
    for empty, pipeline in pipelines.items():
        modules = []
        for train, start, accumulated in ((pipeline, 0, 2), (alone, 4 - 4 * empty, 1)):
            module = make_module(dropout=0.0)
            batches = loader(train, start=start, batches_per_epoch=2)
            options = {"accumulate_grad_batches": accumulated, "limit_val_batches": 0, "max_steps": 1}
            trainer = make_trainer(tmp_path / f"{empty}{accumulated}", **options)
            trainer.fit(module, train_dataloaders=batches)
            modules.append(module)
        for one, two in zip(*(module.parameters() for module in modules), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-14)


def test_a_checkpoint_between_accumulated_batches_needs_as_many_of_them(tmp_path: Path) -> None:
    options = {"steps": 4, "accumulate_grad_batches": 3, "batches_per_epoch": 6}
    run(tmp_path / "whole", **options, save_batches=True)
    checkpoint = tmp_path / "whole" / "batch=1.ckpt"
    with pytest.raises(ValueError, match="accumulate_grad_batches must be 3 to .*, got accumulate_grad_batches=2"):
        run(tmp_path / "two", **options | {"accumulate_grad_batches": 2}, checkpoint=checkpoint)
    fresh, seen = make_module(), make_module()
    data = PipelineDataModule(train=TRAIN, validation=VALIDATION, batches_per_epoch=6)
    make_trainer(tmp_path / "validated").validate(seen, data, ckpt_path=checkpoint, verbose=False)
    fresh.load_state_dict(seen.state_dict())
    for name, module in (("seen", seen), ("fresh", fresh)):
        data = PipelineDataModule(train=TRAIN, validation=VALIDATION, batches_per_epoch=6)
        make_trainer(tmp_path / name, max_steps=1, accumulate_grad_batches=3).fit(module, data)
    assert all(torch.equal(*pair) for pair in zip(seen.parameters(), fresh.parameters(), strict=True))


def test_a_module_loads_from_a_checkpoint_without_a_trainer(uninterrupted) -> None:
    folder, module, _, _ = uninterrupted
    given = {"config": trainers.TinyConfig(), "optimizer": torch.optim.SGD, "generator": make_generator(9), "seed": 1}
    loaded = TrainableModule.load_from_checkpoint(folder / "step=13.ckpt", **given)
    assert all(torch.equal(*pair) for pair in zip(loaded.parameters(), module.parameters(), strict=True))


def test_an_interrupted_validation_is_discarded(tmp_path: Path) -> None:
    class Interrupt(Callback):
        def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, *_) -> None:
            if batch_idx == 2:
                raise InterruptedError

    module, data = make_module(), PipelineDataModule(train=TRAIN, validation=VALIDATION, batches_per_epoch=5)
    expected = make_trainer(tmp_path / "a").validate(module, data, verbose=False)
    with pytest.raises(InterruptedError):
        make_trainer(tmp_path / "b", Interrupt()).validate(module, data, verbose=False)
    assert make_trainer(tmp_path / "c").validate(module, data, verbose=False) == expected


def test_an_order_that_would_end_between_accumulated_batches_is_refused(tmp_path: Path) -> None:
    message = "batches_per_epoch must divide the order's 6 batches if batches are accumulated, got batches_per_epoch=4"
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, accumulate_grad_batches=4, limit_val_batches=0, max_steps=9).fit(
            make_module(), PipelineDataModule(train=VALIDATION, batches_per_epoch=4)
        )
    trainer = make_trainer(tmp_path / "whole", accumulate_grad_batches=4, limit_val_batches=0, max_steps=9)
    trainer.fit(make_module(), PipelineDataModule(train=VALIDATION))
    assert trainer.global_step == 2


def test_unsupported_options_are_refused(tmp_path: Path) -> None:
    data = PipelineDataModule(train=TRAIN, validation=VALIDATION, batches_per_epoch=5)
    with pytest.raises(ValueError, match="overfit_batches must be 0, got overfit_batches=2"):
        make_trainer(tmp_path, overfit_batches=2, max_steps=9).fit(make_module(), data)
    for stage in ("test", "predict"):
        with pytest.raises(ValueError, match=f"{stage} must be given, got none. Make the data module with {stage}="):
            getattr(make_trainer(tmp_path), stage)(make_module(), data)


def test_a_dry_run_consumes_no_samples(tmp_path: Path) -> None:
    data, recorder = PipelineDataModule(train=TRAIN, validation=VALIDATION, batches_per_epoch=5), Recorder()
    make_trainer(tmp_path / "dry", fast_dev_run=2).fit(make_module(), data)
    make_trainer(tmp_path / "fit", recorder, max_steps=2, limit_val_batches=0).fit(make_module(), data)
    assert recorder.batches == {step: batch_at(TRAIN, step)["ids"].tolist() for step in range(2)}


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"batches_per_epoch": 3}, {"limit_train_batches": 2}])
def test_a_new_epoch_size_is_refused_within_an_epoch(uninterrupted, tmp_path: Path, change: dict) -> None:
    folder, *_ = uninterrupted
    with pytest.raises(ValueError, match="may change only where an epoch ends, got .* and a checkpoint at sample 28"):
        run(tmp_path, steps=13, checkpoint=folder / "step=7.ckpt", **change)


def test_a_subclass_refuses_a_new_epoch_size_too(uninterrupted, tmp_path: Path, monkeypatch) -> None:
    class Mine(PipelineDataModule):
        pass

    folder, *_ = uninterrupted
    monkeypatch.setattr(trainers, "PipelineDataModule", Mine)
    with pytest.raises(ValueError, match="may change only where an epoch ends"):
        run(tmp_path, steps=13, checkpoint=folder / "step=7.ckpt", batch_size=8)


def test_the_batch_size_may_change_at_the_end_of_an_epoch(uninterrupted, tmp_path: Path) -> None:
    folder, *_ = uninterrupted
    _, recorder, _ = run(tmp_path, steps=16, checkpoint=folder / "step=10.ckpt", batch_size=2, batches_per_epoch=4)
    smaller = attrs.evolve(TRAIN, batch_size=2)
    assert list(recorder.batches.values()) == [batch_at(smaller, 20 + step)["ids"].tolist() for step in range(6)]


def test_a_fraction_of_the_batches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="limit_train_batches must be a number of batches, got limit_train_batches=0.5"
    ):
        run(tmp_path, steps=3, limit_train_batches=0.5)


def test_the_error_for_a_nonfinite_loss_names_the_call_that_replays_it(tmp_path: Path, monkeypatch) -> None:
    class BreakWeights(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if trainer.global_step == 6:
                pl_module.model.layers[2].bias.data.fill_(torch.nan)

    message = (
        r"the loss must be finite, got nan on all ranks together, nan on this one, at step 6 \(rank=0, world_size=1\), "
        r"for the batch at positions 24..27. .*batch_from\(pipeline, 24, rank=0, world_size=1\)"
        r".*make_generator\(4, \"step\", 6, 0\)"
    )
    with pytest.raises(FloatingPointError, match=message):
        run(tmp_path, steps=9, callbacks=[BreakWeights()])


def test_the_error_names_a_truncated_checkpoint(uninterrupted, tmp_path: Path) -> None:
    folder, *_ = uninterrupted
    whole = (folder / "step=7.ckpt").read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / f"{size}.ckpt"
        cut.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=f"got path='.*{size}.ckpt', a file of {size:,} bytes"):
            run(tmp_path / "run", steps=13, checkpoint=cut)


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true", "64-true"])
def test_precisions_agree_with_get_autocast_dtype(tmp_path: Path, precision: str) -> None:
    seen = []

    class Look(Callback):
        def on_before_zero_grad(self, trainer, pl_module, optimizer) -> None:
            with trainer.precision_plugin.forward_context():
                seen.append(torch.nn.functional.linear(torch.ones(1, 2), torch.ones(1, 2)).dtype)

    module = make_module().float()
    data = PipelineDataModule(train=TRAIN, batches_per_epoch=5)
    trainer = make_trainer(tmp_path, Look(), max_steps=1, limit_val_batches=0, precision=precision)
    trainer.fit(module, data)
    assert seen == [get_autocast_dtype(precision)]
