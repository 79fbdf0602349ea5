"""Program for test_compile.py: each case compares compiled functions with the eager ones, and prints its name.

Functions are compiled with `fullgraph=True`. Lengths, seeds and sizes vary without recompilation; only each number of
rounds of a permutation has a graph of its own. The arguments are a backend and the names of cases. `aot_eager` makes
the same graphs as `inductor`, which needs up to several minutes to turn one into machine code.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bionemo.core.padding import pad_token_ids
from bionemo.core.random import bits_at, integers_at, uniforms_at
from bionemo.core.random.hashing import fold_in
from bionemo.data import EpochOrder, Pipeline, batch_at, corrupt_spans, mask_tokens, next_token_labels
from bionemo.data.permute import permute, unpermute
from bionemo.data.pipes import loader

compiled = torch.compile(fullgraph=True, dynamic=True, backend=sys.argv[1])
ROUNDS = [(2, 3, 15), (16, 100, 1023), (1024, 1025, 5000, 10**6, 2**31 + 11, 2**40 + 15, 2**61 - 1, 2**62)]
"""Lengths, grouped by the number of rounds that they need."""


def agree(found: Any, expected: Any) -> None:
    for part, whole in zip(found, expected, strict=True):
        assert torch.equal(part, whole)


def one_graph(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> None:
    """Check that one graph gives the results of the function for all calls."""
    torch._dynamo.reset()
    compiled_once = compiled(function)
    for number, arguments in enumerate(calls):
        with torch._dynamo.config.patch(error_on_recompile=number > 0):
            found = compiled_once(*arguments)
        expected = function(*arguments)
        agree(
            (found,) if isinstance(found, torch.Tensor) else found,
            (expected,) if isinstance(found, torch.Tensor) else expected,
        )


def hashing() -> None:
    seeds, data = torch.arange(5)[:, None].clone(), torch.arange(7)
    one_graph(lambda s, d: fold_in(s, "tag", d), [(seeds, data), (seeds + 5, data + 1)])
    one_graph(lambda s, e, d: fold_in(s, "tag", e, d), [(42, 3, data), (2**63 - 1, 2**62, data + 1), (17, 9, data + 5)])


def draws() -> None:
    seeds, counters = torch.arange(5)[:, None].clone(), torch.arange(1000) * 10**12
    shifted = (seeds + 9, counters + 1)
    for function in (bits_at, uniforms_at):
        one_graph(function, [(seeds, counters), shifted])
    one_graph(integers_at, [(seeds, counters, 10**15), (*shifted, 7), (*shifted, 2**62)])
    one_graph(bits_at, [(42, counters), (2**63 - 1, counters + 1)])


def permutation() -> None:
    for lengths in ROUNDS:
        for function in (permute, unpermute):
            # The longest range comes first: traced first, a tensor of two elements would get a graph of its own.
            one_graph(function, [(torch.arange(min(length, 1000)), length, length % 97) for length in lengths[::-1]])


def masking() -> None:
    ids = torch.arange(600).reshape(6, 100) % 20 + 10
    mask, seeds = ids % 7 > 0, torch.arange(6)
    function = lambda *inputs: mask_tokens(*inputs[:2], seeds=inputs[2], mask_id=1, replacement_ids=range(10, 30))  # noqa: E731
    agree(compiled(function)(ids, mask, seeds), function(ids, mask, seeds))

    def by_span(ids: torch.Tensor, mask: torch.Tensor, seeds: torch.Tensor) -> Any:
        whole = {"spans": ids // 3, "min_one": True}
        return mask_tokens(ids, mask, seeds=seeds, mask_id=1, replacement_ids=range(10, 30), **whole)

    agree(compiled(by_span)(ids, mask, seeds), by_span(ids, mask, seeds))


def targets() -> None:
    ids = torch.arange(600).reshape(6, 100) % 20 + 10
    mask, seeds = ids % 7 > 0, torch.arange(6)
    agree([compiled(next_token_labels)(ids, mask)], [next_token_labels(ids, mask)])
    cut = lambda *inputs: corrupt_spans(*inputs[:2], seeds=inputs[2], sentinel_ids=range(40, 60))  # noqa: E731
    one_graph(cut, [(ids.clone(), mask, seeds), (ids[:4, :50].clone(), mask[:4, :50].clone(), seeds[:4].clone())])


def hide(batch: Any, *, seeds: torch.Tensor) -> Any:
    return mask_tokens(*batch, seeds=seeds, mask_id=1, replacement_ids=range(4, 24))


def loading() -> None:
    rows = [torch.arange(4, 5 + number % 19, dtype=torch.uint8) for number in range(40)]
    order = EpochOrder(length=40, seed=1, num_samples=100)
    options: dict[str, Any] = {"collate": pad_token_ids, "batch_transform": hide}
    pipeline = Pipeline(order=order, sources=rows, batch_size=8, seed=2, **options)
    batches = loader(pipeline, device="cpu", transform_on="device", compile_transform=True)
    for step, batch in enumerate(batches):
        agree(batch, batch_at(pipeline, step))


if __name__ == "__main__":
    for name in sys.argv[2:]:
        globals()[name]()
        print(name)  # noqa: T201
