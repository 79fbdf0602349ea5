"""Which tensors' values are checked, and results that no memory holds."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.masked import masked_tensor

from bionemo.core.arrays import check_memory, in_blocks
from bionemo.core.checks import check_index, check_word, is_concrete
from bionemo.core.padding import length_mask, pad_token_ids, padded_length, row_mask
from bionemo.core.random import (
    bits_at,
    fold_in,
    integers_at,
    make_generator,
    sample_by_weight,
    sample_with_replacement,
    sample_without_replacement,
    split,
    uniforms_at,
)
from bionemo.data import EpochOrder, RaggedField, collate_fields, index_at, mask_tokens
from bionemo.data.permute import permute


class Plain(Tensor):
    """A subclass without anything of its own."""


class Deeper(Plain):
    """A subclass of a subclass."""


class Named(Tensor):
    """A subclass with a `__torch_function__` of its own."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return super().__torch_function__(function, types, args, kwargs or {})


class Dispatched(Tensor):
    """A subclass whose operations may do anything."""

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise NotImplementedError


KINDS = {
    "Tensor": lambda tensor: tensor,
    "Parameter": lambda tensor: nn.Parameter(tensor, requires_grad=False),
    "Buffer": nn.Buffer,
    "subclass": lambda tensor: tensor.as_subclass(Plain),
    "subclass of a subclass": lambda tensor: tensor.as_subclass(Deeper),
    "subclass with __torch_function__": lambda tensor: tensor.as_subclass(Named),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_the_values_of_parameters_and_plain_subclasses_are_checked(make) -> None:
    low, high = make(torch.tensor([3, -1])), make(torch.tensor([3, 10]))
    assert is_concrete(low)
    order = EpochOrder(length=5, seed=1, num_samples=10)
    for function in (
        lambda: check_word(low, name="seed"),
        lambda: fold_in(low, "x"),
        lambda: fold_in(1, low),
        lambda: bits_at(1, low),
        lambda: integers_at(low, 1, 3),
        lambda: uniforms_at(1, low),
        lambda: mask_tokens(torch.ones(2, 3).long(), torch.ones(2, 3) > 0, seeds=low, mask_id=1, replacement_ids=[1]),
    ):
        with pytest.raises(ValueError, match=r"must not be negative, got -1"):
            function()
    for index, named in ((low, -1), (high, 10)):
        for function in (
            lambda index=index: check_index(index, stop=10, name="position"),
            lambda index=index: permute(index, 10, 1),
            lambda index=index: index_at(order, index),
        ):
            with pytest.raises(IndexError, match=rf"must be in 0\.\.9, got \w+={named}"):
                function()


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_parameters_and_plain_subclasses_have_the_values_of_tensors(make) -> None:
    tensor = torch.arange(5)
    assert bits_at(7, make(tensor)).tolist() == bits_at(7, tensor).tolist()
    assert permute(make(tensor), 9, 1).tolist() == permute(tensor, 9, 1).tolist()
    assert fold_in(make(tensor), "x", make(tensor)).tolist() == fold_in(tensor, "x", tensor).tolist()
    assert in_blocks(lambda word: word * 2, make(tensor)).tolist() == [0, 2, 4, 6, 8]


def test_a_probability_that_requires_a_gradient_is_checked() -> None:
    ids = torch.ones(2, 3, dtype=torch.int64)
    options = {"seeds": torch.tensor([1, 2]), "mask_id": 1, "replacement_ids": [1]}
    with pytest.raises(ValueError, match=r"mask_prob must be in 0..1, got mask_prob=1.5"):
        mask_tokens(ids, ids > 0, mask_prob=nn.Parameter(torch.full((2, 3), 1.5)), **options)
    assert (mask_tokens(ids, ids > 0, mask_prob=nn.Parameter(torch.ones(2, 3)), **options).labels == 1).all()


@pytest.mark.filterwarnings(
    "ignore:The PyTorch API of (MaskedTensors|nested tensors) is in prototype stage:UserWarning"
)
def test_tensors_without_values_in_cpu_memory_are_not_looked_at() -> None:
    tensor = torch.arange(3)
    with FakeTensorMode() as mode:
        assert not is_concrete(mode.from_tensor(tensor))
        assert check_word(torch.arange(3), name="seed").shape == (3,)
    assert not is_concrete(Tensor._make_subclass(Dispatched, tensor))
    assert not is_concrete(masked_tensor(tensor.float(), tensor > 0))
    assert not is_concrete(tensor.to("meta"))
    assert not is_concrete(nn.Parameter(tensor.float().to("meta")))
    assert not is_concrete(tensor.to_sparse())
    for layout in (torch.strided, torch.jagged):
        assert not is_concrete(torch.nested.nested_tensor([tensor.float()], layout=layout))
    seen = []
    torch.vmap(lambda part: seen.append(is_concrete(part)) or part)(tensor)
    torch.func.grad(lambda part: seen.append(is_concrete(part)) or part.sum())(tensor.float())
    assert seen == [False, False]


def test_distributed_tensors_are_not_looked_at() -> None:
    from torch.distributed.tensor import DTensor

    assert DTensor.__torch_dispatch__ is not Tensor.__torch_dispatch__


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


HUGE = 10**15
FIELDS = {"ids": RaggedField(torch.int64)}


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda size: pad_token_ids([[1]], padding_len=size), "padding_len"),
        (lambda size: pad_token_ids([], padding_len=size), "padding_len"),
        (lambda size: pad_token_ids([[1]], pad_size_divisible_by=size), "pad_size_divisible_by"),
        (lambda size: pad_token_ids([[1]], 0, 5, size), "pad_size_divisible_by"),
        (lambda size: padded_length([1], size), "padding_len"),
        (lambda size: padded_length([size]), "the longest row of token_ids"),
        (lambda size: collate_fields([{"ids": [1]}], fields=FIELDS, padding_len=size), "padding_len"),
        (lambda size: length_mask(torch.tensor([1]), size), "length"),
        (lambda size: row_mask([1], size), "width"),
        (lambda size: sample_with_replacement(10, size, generator=rng()), "num_samples"),
        (lambda size: sample_without_replacement(2**62, size, generator=rng()), "num_samples"),
        (lambda size: sample_by_weight([1, 2], size, generator=rng()), "num_samples"),
        (lambda size: split(rng(), size), "num"),
    ],
)
@pytest.mark.parametrize("size", [HUGE, np.int64(HUGE)], ids=["int", "int64"])
def test_a_result_larger_than_the_memory_is_refused_with_its_size(function, name: str, size) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be small enough .* got {name}={HUGE}, which takes [\d,]+,000"):
        function(size)


def test_what_takes_no_memory_may_have_any_size() -> None:
    assert length_mask(torch.ones(1, dtype=torch.int64, device="meta"), HUGE).shape == (1, HUGE)
    check_memory(2**20, name="size", value=2**20)


def test_the_generator_of_a_sample_that_does_not_fit_is_unchanged() -> None:
    generator = make_generator(3)
    before = generator.get_state()
    with pytest.raises(ValueError, match="num_samples"):
        sample_with_replacement(10, HUGE, generator=generator)
    assert torch.equal(generator.get_state(), before)
