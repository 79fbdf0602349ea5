"""accelerate and transformers' Trainer on a CUDA device: where batches arrive, mixed precision, resuming."""

from pathlib import Path

import attrs
import pytest
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState, GradientState

from bionemo.adapters.huggingface import PipelineTrainer, accelerate_loader
from tests.adapters.huggingface_runs import arguments_of
from tests.adapters.huggingface_setups import Setup, evaluation_loader, expected, model_of, training_loader

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore"),  # warnings of the other libraries
]


@pytest.fixture(autouse=True)
def new_process() -> None:
    """Forget what accelerate keeps of a process, e.g. that another test has trained on the CPU."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def test_accelerate_trains_in_mixed_precision_on_the_device_and_resumes(tmp_path: Path) -> None:
    setup = Setup(library="accelerate", accumulated=2, dropout=0.1)

    def make():
        accelerator = Accelerator(
            mixed_precision="bf16",
            gradient_accumulation_steps=2,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
        )
        model = model_of(setup).float()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, eps=1e-3)  # of 1e-8, Adam makes much of rounding
        batches = accelerate_loader(training_loader(setup), accelerator)
        model, optimizer, batches = accelerator.prepare(model, optimizer, batches)
        return accelerator, model.train(), optimizer, batches

    def train(accelerator, model, optimizer, batches, *, until: int) -> dict[str, torch.Tensor]:
        while batches.consumed_samples < until * 5:
            for batch in batches:
                step = batches.consumed_samples // 5 - 1
                assert all(tensor.is_cuda for tensor in batch.values())
                assert batch["input_ids"].tolist() == expected(setup, step, 0, 1)
                with accelerator.accumulate(model):
                    accelerator.backward(model(**batch).loss)
                    optimizer.step()
                    optimizer.zero_grad()
                if step + 1 == 12:  # in the middle of the second pass
                    accelerator.save_state(tmp_path)
        return {name: weight.clone() for name, weight in accelerator.unwrap_model(model).state_dict().items()}

    torch.manual_seed(1)
    whole = train(*make(), until=24)
    assert next(iter(whole.values())).is_cuda
    parts = make()
    parts[0].load_state(tmp_path)
    assert parts[-1].consumed_samples == 60
    resumed = train(*parts, until=24)
    for name, weight in whole.items():
        torch.testing.assert_close(resumed[name], weight, rtol=1e-3, atol=1e-4, msg=name)


def test_the_trainer_trains_in_mixed_precision_on_the_device_and_resumes(tmp_path: Path) -> None:
    setup = Setup(library="Trainer", accumulated=3, max_steps=7, save_steps=2, eval_steps=2, dropout=0.1)
    devices: set[torch.device] = set()

    class Watched(PipelineTrainer):
        def get_batch_samples(self, epoch_iterator, num_batches, device):
            found = super().get_batch_samples(epoch_iterator, num_batches, device)
            devices.update(tensor.device for batch in found[0] for tensor in batch.values())
            return found

    def train(folder: str, max_steps: int, **options) -> PipelineTrainer:
        changes = {"use_cpu": False, "bf16": True, "adam_epsilon": 1e-3, "lr_scheduler_type": "constant"}
        arguments = arguments_of(attrs.evolve(setup, max_steps=max_steps), str(tmp_path / folder), 1, **changes)
        data = {"train_dataset": training_loader(setup), "eval_dataset": evaluation_loader()}
        trainer = Watched(model_of(setup).float(), arguments, **data)
        trainer.train(**options)
        return trainer

    whole = train("whole", 7)
    assert devices == {torch.device("cuda", 0)}
    train("parts", 4)
    resumed = train("parts", 7, resume_from_checkpoint=True)
    assert resumed.state.global_step == 7
    assert resumed._batches.consumed_samples == whole._batches.consumed_samples == 5 * (8 + 8 + 3)
    for weight, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(other, weight, rtol=1e-3, atol=1e-4)
