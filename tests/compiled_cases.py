"""Run by test_compile.py: each case compares functions, compiled whole, with themselves, and prints its name.

Lengths, seeds and sizes vary without recompiling: one graph for each number of rounds of a permutation. The arguments
are a backend and cases: `aot_eager` makes the same graphs as `inductor`, which takes up to minutes to turn one into
machine code.
"""

import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch

from bionemo.core.utils.hashing import fold_in
from bionemo.core.utils.random_utils import bits_at, integers_at, uniforms_at
from bionemo.data import (
    BlockOrder,
    EpochOrder,
    MixtureOrder,
    Order,
    ResampleOrder,
    WeightedOrder,
    causal_labels,
    corrupt_spans,
    index_at,
    mask_tokens,
    position_of,
)
from bionemo.data.feistel import make_plan, permute_kernel, unpermute_kernel
from bionemo.data.permute import permute, unpermute

compiled = torch.compile(fullgraph=True, dynamic=True, backend=sys.argv[1])
ROUNDS = [(2, 3, 15), (16, 100, 1023), (1024, 1025, 5000, 10**6, 2**31 + 11, 2**40 + 15, 2**61 - 1, 2**62)]
"""Lengths, by the number of rounds that they take."""


def agree(found: Any, expected: Any) -> None:
    for part, whole in zip(found, expected, strict=True):
        assert torch.equal(part, whole)


def one_graph(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> None:
    """Check that all calls give what the function gives, by one graph."""
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


def positions(number: int) -> torch.Tensor:
    """Return positions in a tensor whose size varies as well."""
    return torch.arange(900 + number) * 10**number + number


def one_graph_for_orders(orders: Sequence[Order]) -> None:
    """Check it for orders of one make, there and, where there is one, back."""
    orders = [pickle.loads(pickle.dumps(order)) if number == 1 else order for number, order in enumerate(orders)]
    one_graph(index_at, [(order, positions(number)) for number, order in enumerate(orders)])
    if hasattr(orders[0], "position_of"):
        one_graph(position_of, [(order, index_at(order, positions(n))) for n, order in enumerate(orders)])


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
        plans = [make_plan(length, torch.tensor(length % 97)) for length in lengths]
        indices = [torch.arange(min(length, 1000)) * max(length // 1000, 1) for length in lengths]
        calls = list(zip(indices, plans, strict=True))
        one_graph(permute_kernel, calls[::-1])  # the longest first: a tensor of two elements is a case of its own
        one_graph(unpermute_kernel, calls[::-1])
    for lengths in ROUNDS:
        for function in (permute, unpermute):
            one_graph(function, [(torch.arange(min(length, 1000)), length, length % 97) for length in lengths[::-1]])


def epochs() -> None:
    for lengths in ROUNDS:
        one_graph_for_orders(
            [EpochOrder(length=length, seed=length % 97, num_samples=(None, 2**62)[length % 2]) for length in lengths]
        )
    one_graph_for_orders([EpochOrder(length=length, seed=1, shuffle=False) for length in (5, 1000, 2**62)])


def blocks() -> None:
    sizes = [(10**9 + 7, 10**4, 64), (2**40 + 15, 2**20, 16), (10**7, 2000, 3)]
    short = [(100, 3, 2), (13, 4, 2), (1, 1, 1)]
    middling = [(10**4, 100, 3), (5000, 20, 8), (900, 20, 40)]
    for some in (sizes, middling, short):
        one_graph_for_orders(
            [
                BlockOrder(length=length, block_size=size, blocks_per_window=window, seed=size)
                for length, size, window in some
            ]
        )


def resampling() -> None:
    one_graph_for_orders([ResampleOrder(length=length, seed=length % 97) for length in (2, 10**6, 2**31, 2**62)])
    weights = torch.arange(1.0, 40)
    one_graph_for_orders([WeightedOrder(weights=weights[:size], seed=size) for size in (39, 7, 20)])


def mixtures() -> None:
    parts = [[EpochOrder(length=10**6 + seed, seed=seed), EpochOrder(length=10**9, seed=seed)] for seed in range(3)]
    one_graph_for_orders([MixtureOrder(orders=pair, weights=(7, number + 1)) for number, pair in enumerate(parts)])
    nested = MixtureOrder(
        orders=[MixtureOrder(orders=parts[0], weights=(1, 2)), ResampleOrder(length=9, seed=1)], weights=(5, 1)
    )
    alone = torch.tensor(77)  # a position without axes
    small = BlockOrder(length=9, block_size=2, blocks_per_window=2, seed=1)
    for order in (nested, WeightedOrder(weights=[1, 2], seed=1), small):
        agree(compiled(index_at)(order, alone), index_at(order, alone))
    changing = attrs.evolve(nested, changes=((500, (1, 1)),))
    for order in (nested, changing):
        agree(compiled(index_at)(order, positions(0)), index_at(order, positions(0)))


def masking() -> None:
    ids = torch.arange(600).reshape(6, 100) % 20 + 10
    mask, seeds = ids % 7 > 0, torch.arange(6)
    function = lambda *inputs: mask_tokens(*inputs[:2], seeds=inputs[2], mask_id=1, random_ids=range(10, 30))  # noqa: E731
    agree(compiled(function)(ids, mask, seeds), function(ids, mask, seeds))

    def by_span(ids: torch.Tensor, mask: torch.Tensor, seeds: torch.Tensor) -> Any:
        whole = {"spans": ids // 3, "at_least_one": True}
        return mask_tokens(ids, mask, seeds=seeds, mask_id=1, random_ids=range(10, 30), **whole)

    agree(compiled(by_span)(ids, mask, seeds), by_span(ids, mask, seeds))


def targets() -> None:
    ids = torch.arange(600).reshape(6, 100) % 20 + 10
    mask, seeds = ids % 7 > 0, torch.arange(6)
    agree([compiled(causal_labels)(ids, mask)], [causal_labels(ids, mask)])
    cut = lambda *inputs: corrupt_spans(*inputs[:2], seeds=inputs[2], sentinel_ids=range(40, 60))  # noqa: E731
    one_graph(cut, [(ids.clone(), mask, seeds), (ids[:4, :50].clone(), mask[:4, :50].clone(), seeds[:4].clone())])


if __name__ == "__main__":
    for name in sys.argv[2:]:
        globals()[name]()
        print(name)  # noqa: T201
