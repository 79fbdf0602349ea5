"""Run by test_compile.py: each case compares a function, compiled whole, with itself, and prints its name."""

import torch

from bionemo.core.utils.hashing import fold_in
from bionemo.data import mask_tokens
from bionemo.data.permute import make_plan, permute_kernel, unpermute_kernel

compiled = torch.compile(fullgraph=True, dynamic=True)


def hashing() -> None:
    seeds, data = torch.arange(5)[:, None], torch.arange(7)
    assert torch.equal(compiled(lambda s, d: fold_in(s, "tag", d))(seeds, data), fold_in(seeds, "tag", data))


def permutation() -> None:
    """One graph serves every length of one number of rounds, and every seed."""
    torch._dynamo.reset()
    there, back = compiled(permute_kernel), compiled(unpermute_kernel)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for length in (1024, 1025, 5000, 2**20 + 7, 2**40 + 1, 2**62):
            plan = make_plan(length, torch.tensor(length % 97))
            indices = torch.arange(1000) * (length // 1000)
            shuffled = there(indices, plan)
            assert torch.equal(shuffled, permute_kernel(indices, plan))
            assert torch.equal(back(shuffled, plan), indices)


def masking() -> None:
    ids = torch.arange(600).reshape(6, 100) % 20 + 10
    mask, seeds = ids % 7 > 0, torch.arange(6)
    function = lambda *inputs: mask_tokens(*inputs[:2], seeds=inputs[2], mask_id=1, random_ids=range(10, 30))  # noqa: E731
    for part, expected in zip(compiled(function)(ids, mask, seeds), function(ids, mask, seeds), strict=True):
        assert torch.equal(part, expected)


if __name__ == "__main__":
    for case in (hashing, permutation, masking):
        case()
        print(case.__name__)  # noqa: T201
