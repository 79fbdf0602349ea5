"""Tokens in containers of any kind, checked against the dtype of a block."""

import numpy as np
import pandas as pd
import pytest
import torch

from bionemo.core.int64 import as_integers
from bionemo.data.batches.tokens import as_tokens, check_token

TOKENS = [5, 0, 127, 5, 3]
CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "int8 array": lambda tokens: np.array(tokens, dtype=np.int8),
    "big-endian array": lambda tokens: np.array(tokens, dtype=">u2"),
    "strided array": lambda tokens: np.repeat(tokens, 2)[::2],
    "Series": lambda tokens: pd.Series(tokens, index=range(len(tokens))[::-1]),
    "objects": lambda tokens: np.array(tokens, dtype=object),
    "NumPy integers": lambda tokens: [np.uint64(token) for token in tokens],
    "mixed integers": lambda tokens: [np.uint64(tokens[0]), *tokens[1:]],
    "int64 tensor": torch.tensor,
    "uint16 tensor": lambda tokens: torch.tensor(tokens, dtype=torch.uint16),
}
UINT8 = torch.zeros(2, 3, dtype=torch.uint8)


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_every_container_gives_the_same_tokens(make) -> None:
    found = as_tokens(make(TOKENS), UINT8, name="ids")
    assert found.dtype == torch.uint8
    assert found.tolist() == TOKENS
    assert as_integers(make(TOKENS), name="ids").tolist() == TOKENS


def test_a_container_is_not_changed_by_changes_of_the_result() -> None:
    array = np.array(TOKENS)
    as_tokens(array, torch.zeros(2, dtype=torch.int64), name="ids").fill_(9)
    assert array.tolist() == TOKENS


@pytest.mark.parametrize(
    "tokens",
    [range(0), range(250, 256), range(255, -1, -5), range(7, 8, 2**70), range(3, 3)],
)
def test_ranges_up_to_the_limits_of_the_dtype(tokens: range) -> None:
    assert as_tokens(tokens, UINT8, name="ids").tolist() == list(tokens)


def test_ranges_up_to_the_limits_of_int64() -> None:
    ids = torch.zeros(2, dtype=torch.int64)
    for tokens in (range(2**63 - 3, 2**63), range(-(2**63), 2**63, 2**62), range(2**63 - 1, -(2**63), -(2**62))):
        assert as_tokens(tokens, ids, name="ids").tolist() == list(tokens)


@pytest.mark.parametrize("make", [list, np.array, torch.tensor, iter])
@pytest.mark.parametrize("tokens", [[], [7]])
def test_no_token_and_one(make, tokens: list[int]) -> None:
    found = as_tokens(make(tokens) if tokens or make is not torch.tensor else torch.arange(0), UINT8, name="ids")
    assert (found.dtype, found.tolist()) == (torch.uint8, tokens)


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        (range(250, 257), 256),
        (range(3, -2, -1), -1),
        ([5, 300, 256], 300),
        ((5, -1), -1),
        ([1, 2**63, -1], 2**63),
        ([1, 2**70], 2**70),
        (np.array([5, 300]), 300),
        (np.array([2**64 - 1], dtype=np.uint64), 2**64 - 1),
        (np.array([-1], dtype=np.int8), -1),
        (pd.Series([5, 300]), 300),
        (torch.tensor([5, 300]), 300),
    ],
)
def test_a_token_that_does_not_fit_is_named(tokens, named: int) -> None:
    with pytest.raises(ValueError, match=rf"^ids must fit the ids' torch.uint8, got ids={named}\.$"):
        as_tokens(tokens, UINT8, name="ids")


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        ([1, 2.5], r"got ids=2.5 of type float"),
        ([1, True], r"got ids=True of type bool"),
        (np.array([True]), r"got ids=True of type bool"),
        (np.array([1.5]), r"got ids=1.5 of type float"),
        ("ab", r"got ids='a' of type str"),
        (None, r"got ids=None of type NoneType"),
    ],
)
def test_what_is_no_integer_is_named(tokens, named: str) -> None:
    with pytest.raises(TypeError, match=f"ids must be an integer, {named}"):
        as_tokens(tokens, UINT8, name="ids")
    with pytest.raises(TypeError, match=f"ids must be an integer, {named}"):
        as_integers(tokens, name="ids")


@pytest.mark.usefixtures("no_type_checks")
def test_tensors_of_another_dtype_or_shape_are_refused() -> None:
    for tokens in (torch.ones(2), torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.complex64)):
        with pytest.raises(TypeError, match=rf"ids must be integers, got dtype={tokens.dtype}"):
            as_tokens(tokens, UINT8, name="ids")
    for tokens in (torch.tensor([[1, 2]]), [[1, 2]], np.array([[1, 2]])):
        with pytest.raises(ValueError, match=r"ids must have one axis, got shape \(1, 2\)"):
            as_tokens(tokens, UINT8, name="ids")


@pytest.mark.usefixtures("no_type_checks")
def test_one_token_is_checked_as_many_are() -> None:
    assert check_token(np.uint8(255), torch.uint8, name="mask_id") == 255
    with pytest.raises(ValueError, match=r"mask_id must fit the ids' torch.uint8, got mask_id=256\."):
        check_token(256, torch.uint8, name="mask_id")
    for token in (True, np.True_, 1.0, "1", None):
        with pytest.raises(TypeError, match="mask_id must be an integer, got mask_id="):
            check_token(token, torch.uint8, name="mask_id")


@pytest.mark.usefixtures("no_type_checks")
def test_compiled_and_in_vmap_the_tokens_are_the_same() -> None:
    ids = torch.zeros(3, 4, dtype=torch.int64)
    for tokens in (TOKENS, range(7, 1, -2), np.array(TOKENS), torch.tensor(TOKENS)):
        expected = as_tokens(tokens, ids, name="ids")
        run = lambda block, tokens=tokens: block.sum() + as_tokens(tokens, block, name="ids")  # noqa: E731
        assert torch.equal(torch.compile(run, backend="eager", fullgraph=True)(ids), expected)
        assert torch.equal(torch.vmap(run)(ids), expected.expand(3, -1))
    batched = torch.vmap(lambda tokens: as_tokens(tokens, UINT8, name="ids"))(torch.tensor([TOKENS, TOKENS]))
    assert batched.tolist() == [TOKENS, TOKENS]
