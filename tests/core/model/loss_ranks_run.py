"""Compare batches split at random over ranks and micro-batches with whole ones; test_loss_ranks.py runs it."""

import sys
from pathlib import Path

import torch
import torch.distributed

from bionemo.core.model.cross_entropy import token_cross_entropy
from bionemo.core.model.loss import add_losses, mean_loss, scale_for_ranks, sum_over_ranks

NUM_BATCHES = 60


def main(folder: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    num_empty = 0
    for seed in range(NUM_BATCHES):
        generator = torch.Generator().manual_seed(seed)  # every rank draws the whole batch
        rows = int(torch.randint(0, 9, (), generator=generator))
        inputs = torch.randn(rows, 5, 6, generator=generator, dtype=torch.float64)
        labels = torch.randint(7, (rows, 5), generator=generator)
        labels = labels.where(torch.rand(rows, 5, generator=generator) < 0.5, -100)
        weights = torch.randn(6, 7, generator=generator, dtype=torch.float64).requires_grad_()
        of_tokens = torch.rand(rows, 5, generator=generator, dtype=torch.float64) * 0.1 if seed % 2 else None
        whole = mean_loss([token_cross_entropy(inputs @ weights, labels, weights=of_tokens)])
        (expected,) = torch.autograd.grad(whole, weights)

        cuts = torch.randint(0, rows + 1, (world_size * 2 - 1,), generator=generator).sort().values.tolist()
        bounds = [0, *cuts, rows]
        parts = [slice(bounds[2 * rank + micro], bounds[2 * rank + micro + 1]) for micro in range(2)]
        losses = [
            token_cross_entropy(
                inputs[part] @ weights, labels[part], weights=None if of_tokens is None else of_tokens[part]
            )
            for part in parts
        ]
        metrics = [{"b": loss.num_tokens * 2, "a": loss.loss_sum * 3} for loss in losses]
        if rank:  # the names in another order
            metrics = [dict(reversed(part.items())) for part in metrics]
        losses = [loss._replace(metrics=part) for loss, part in zip(losses, metrics, strict=True)]
        num_empty += int(losses[0].num_tokens + losses[1].num_tokens) == 0
        total = sum_over_ranks(add_losses(losses))
        scaled = sum(scale_for_ranks(loss, total.num_tokens, world_size) for loss in losses)
        (gradient,) = torch.autograd.grad(scaled, weights)
        torch.distributed.all_reduce(gradient)
        torch.testing.assert_close(mean_loss([total]), whole.detach(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(gradient / world_size, expected, rtol=1e-11, atol=1e-14)
        if of_tokens is None:
            assert total.num_tokens == (labels != -100).sum()
            assert total.num_tokens.dtype == torch.int64
        torch.testing.assert_close(total.metrics["b"], total.num_tokens * 2)
        torch.testing.assert_close(total.metrics["a"], total.loss_sum * 3)
        assert not total.loss_sum.requires_grad
    Path(folder, f"{rank}.txt").write_text(str(num_empty))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
