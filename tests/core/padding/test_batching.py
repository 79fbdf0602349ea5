"""Padding, unpadding and truncation of token ids."""

from array import array
from collections import UserList, deque

import numpy as np
import pandas as pd
import pytest
import torch

from bionemo.core.padding import pad_token_ids, pad_token_ids_into, truncate_token_ids, unpad_token_ids


def test_rows_are_padded_on_the_right() -> None:
    ids, mask = pad_token_ids([[1, 2, 3], [], [4]], padding_value=9)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 9], [4, 9, 9]]
    assert mask.tolist() == [[True, True, True], [False, False, False], [True, False, False]]
    assert ids.dtype == torch.int64
    assert mask.dtype == torch.bool


@pytest.mark.parametrize(
    ("padding_len", "divisor", "width"), [(None, 1, 3), (None, 4, 4), (3, 1, 3), (5, 1, 5), (5, 4, 8), (8, 8, 8)]
)
def test_the_width_is_the_longest_row_or_padding_len_rounded_up(
    padding_len: int | None, divisor: int, width: int
) -> None:
    ids, mask = pad_token_ids([[1, 2, 3], [4]], 0, padding_len, divisor)
    assert ids.shape == mask.shape == (2, width)
    assert mask.sum(1).tolist() == [3, 1]


@pytest.mark.parametrize(("padding_len", "width"), [(None, 0), (5, 5)])
def test_an_empty_batch_gives_an_empty_block(padding_len: int | None, width: int) -> None:
    ids, mask = pad_token_ids([], padding_len=padding_len)
    assert ids.shape == mask.shape == (0, width)
    assert (ids.dtype, mask.dtype) == (torch.int64, torch.bool)


def test_empty_rows_alone_give_a_block_of_width_zero() -> None:
    ids, mask = pad_token_ids([[], np.array([], dtype=np.int16)])
    assert ids.shape == mask.shape == (2, 0)


@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        ([[1, 2], [3]], torch.int64),
        ([np.array([1, 2], dtype=np.int16), np.array([3], dtype=np.int8)], torch.int16),
        ([np.array([1, 2], dtype=np.uint8), torch.tensor([3], dtype=torch.int32)], torch.int32),
        ([np.array([1, 2], dtype=np.uint16)], torch.int32),
        ([np.array([1, 2], dtype=np.uint32)], torch.int64),
        ([np.array([1, 2], dtype=np.uint64)], torch.int64),
        ([torch.tensor([1], dtype=torch.int8), []], torch.int8),
        ([[], torch.tensor([1], dtype=torch.int8)], torch.int8),
        ([torch.tensor([1], dtype=torch.int8), torch.tensor([], dtype=torch.int64)], torch.int8),
        ([(1, 2), torch.tensor([1], dtype=torch.int8)], torch.int64),
    ],
)
def test_ids_have_the_widest_integer_dtype_of_the_rows(rows: list, dtype: torch.dtype) -> None:
    assert pad_token_ids(rows)[0].dtype == dtype


def test_dtype_applies_to_the_ids_and_not_to_the_mask() -> None:
    ids, mask = pad_token_ids([[1, 2], [3]], dtype=torch.int16)
    assert (ids.dtype, mask.dtype) == (torch.int16, torch.bool)


def test_results_are_on_the_given_device() -> None:
    ids, mask = pad_token_ids([[1]], device="meta")
    assert ids.device.type == mask.device.type == "meta"


def test_the_rows_are_unchanged() -> None:
    rows = [[1, 2], torch.tensor([3]), np.array([4, 5, 6])]
    ids, _ = pad_token_ids(rows)
    ids += 1
    assert rows[0] == [1, 2]
    assert rows[1].tolist() == [3]
    assert rows[2].tolist() == [4, 5, 6]


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1, 2], [3, 4, 5]], 0, 2), ValueError, "got padding_len=2 and 3 tokens in row 1"),
        (([[1]], 0, 0), ValueError, "padding_len must be in 1.*got padding_len=0"),
        (([[1]], 0, None, 0), ValueError, "pad_size_divisible_by must be in 1.*got pad_size_divisible_by=0"),
        (([[1], [[2], [3]]],), ValueError, r"one-dimensional, got shape \(2, 1\) in row 1"),
        (([torch.tensor(3)],), ValueError, r"one-dimensional, got shape \(\) in row 0"),
        (([[1], [2, True]],), TypeError, r"must hold numbers of one kind, got bools among others in row 1. Use int()"),
        (([[1], 5],), ValueError, r"one-dimensional, got shape \(\) in row 1"),
        (([[1], [2.5]],), TypeError, "integers that fit int64, got dtype float64 in row 1"),
        (([torch.tensor([True])],), TypeError, "got dtype bool in row 0"),
        (([torch.tensor([])],), TypeError, "got dtype float32 in row 0"),
        (([["a"]],), TypeError, "got dtype <U1 in row 0"),
        (([[2**63 + 5, -1]],), ValueError, f"row 0 of token_ids must fit int64, got {2**63 + 5}"),
        (([[1], [-(2**70)]],), ValueError, f"row 1 of token_ids must fit int64, got -{2**70}"),
        (([[[1, 2], [3]]],), (TypeError, ValueError), "each row of token_ids must be a sequence of numbers"),
        (([torch.ones(2, dtype=torch.bfloat16)],), TypeError, "in a dtype of NumPy, got row 0: .*BFloat16"),
        (([[2**63]],), ValueError, "row 0 of token_ids must fit int64"),
        (
            ([torch.tensor([1], dtype=torch.int8)], 300),
            ValueError,
            r"padding_value must fit int8 \(-128..127\), got 300",
        ),
    ],
)
def test_bad_arguments_are_named(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pad_token_ids(*arguments)


@pytest.mark.parametrize(("dtype", "rows"), [(torch.int8, [[1], [200]]), (torch.uint8, [[1], [-1]])])
def test_tokens_that_do_not_fit_the_given_dtype_are_refused(dtype: torch.dtype, rows: list) -> None:
    with pytest.raises(ValueError, match="row 1 of token_ids must fit"):
        pad_token_ids(rows, dtype=dtype)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64, np.int64, "int64", int])
def test_a_dtype_that_is_not_an_integer_dtype_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=r"dtype must be (an integer torch.dtype|a torch.dtype or None), got dtype="):
        pad_token_ids([[1]], dtype=dtype)


def test_numpy_numbers_do_not_overflow() -> None:
    ids, _ = pad_token_ids([[1]], np.int8(3), np.uint8(200), np.uint8(64))
    assert ids.shape == (1, 256)
    assert pad_token_ids([[np.uint8(1)]])[0].dtype == torch.int64


@pytest.mark.usefixtures("no_type_checks")
def test_a_padding_value_that_is_not_an_integer_is_refused() -> None:
    with pytest.raises(TypeError, match="padding_value must be an integer, got padding_value=1.7"):
        pad_token_ids([[1]], 1.7)


def test_rows_can_be_padded_on_the_left() -> None:
    ids, mask = pad_token_ids([[1, 2, 3], [], [4]], 9, 4, padding_side="left")
    assert ids.tolist() == [[9, 1, 2, 3], [9, 9, 9, 9], [9, 9, 9, 4]]
    assert mask.tolist() == [[False, True, True, True], [False] * 4, [False, False, False, True]]


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("width", [32_767, 32_768, 40_000])
def test_wide_blocks_have_correct_masks(padding_side, width: int) -> None:
    ids, mask = pad_token_ids([list(range(1, width + 1)), [7]], padding_side=padding_side)
    assert mask.sum(1).tolist() == [width, 1]
    assert torch.equal(mask, ids > 0)


def test_rows_may_be_in_any_container() -> None:
    rows = [[1, 2], (3,), range(4, 6), np.arange(6, 8), torch.arange(8, 10), [torch.tensor(10), np.int8(11)], b"\x0c"]
    ids, mask = pad_token_ids([*rows[:6], list(rows[6])])
    assert [row.tolist() for row in unpad_token_ids(ids, mask)] == [[1, 2], [3], [4, 5], [6, 7], [8, 9], [10, 11], [12]]


@pytest.mark.parametrize(
    "rows", [[["a"], [True, False]], [[True]], [[None]], [[{}]], ["abc"], [[[1]]], [np.array([1j])]]
)
@pytest.mark.usefixtures("no_type_checks")
def test_rows_of_anything_but_integers_are_refused(rows: list) -> None:
    with pytest.raises((TypeError, ValueError), match="each row of token_ids must"):
        pad_token_ids(rows)


def test_tensors_that_require_a_gradient_are_refused_as_floats() -> None:
    with pytest.raises(TypeError, match="got dtype float32 in row 0"):
        pad_token_ids([torch.ones(3, requires_grad=True)])


def test_an_unknown_side_is_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="padding_side"):
        pad_token_ids([[1]], padding_side="middle")


def test_buffers_are_written_from_their_start_and_returned_as_views() -> None:
    ids_buffer, mask_buffer = torch.full((4, 5), -1, dtype=torch.int16), torch.ones(20, dtype=torch.bool)
    for rows in ([[1, 2, 3], [4]], [[5] * 6, [], [6]]):
        ids, mask = pad_token_ids_into(ids_buffer, mask_buffer, rows, 9, pad_size_divisible_by=2, padding_side="left")
        expected = pad_token_ids(rows, 9, None, 2, dtype=torch.int16, padding_side="left")
        assert torch.equal(ids, expected[0])
        assert torch.equal(mask, expected[1])
        assert (ids.data_ptr(), mask.data_ptr()) == (ids_buffer.data_ptr(), mask_buffer.data_ptr())
        assert ids.is_contiguous()
        assert mask.is_contiguous()
    assert ids_buffer.flatten()[18:].tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("ids_buffer", "mask_buffer", "message"),
    [
        (
            torch.empty(5, dtype=torch.int64),
            torch.empty(6, dtype=torch.bool),
            r"ids_buffer must .* 2 \* 3 elements, got 5",
        ),
        (torch.empty(6, dtype=torch.int64), torch.empty(5, dtype=torch.bool), r"mask_buffer must .* got 5"),
        (torch.empty(6, 2, dtype=torch.int64).T, torch.empty(6, dtype=torch.bool), "not contiguous"),
        (torch.empty(6, dtype=torch.int64, device="meta"), torch.empty(6, dtype=torch.bool), "on meta"),
    ],
)
def test_an_unsuitable_buffer_is_named(ids_buffer, mask_buffer, message) -> None:
    with pytest.raises(ValueError, match=message):
        pad_token_ids_into(ids_buffer, mask_buffer, [[1, 2, 3], [4]])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a CUDA device")
def test_views_of_a_pinned_buffer_are_pinned() -> None:
    buffers = torch.empty(6, dtype=torch.int64, pin_memory=True), torch.empty(6, dtype=torch.bool, pin_memory=True)
    ids, mask = pad_token_ids_into(*buffers, [[1, 2, 3], [4]])
    assert ids.is_pinned()
    assert mask.is_pinned()
    assert ids.to("cuda", non_blocking=True).cpu().tolist() == [[1, 2, 3], [4, 0, 0]]


def test_unpadded_rows_share_no_memory_with_the_block() -> None:
    ids, mask = pad_token_ids([[1, 2], [3]])
    rows = unpad_token_ids(ids, mask)
    rows[0][0] = 7
    assert ids[0, 0] == 1
    assert unpad_token_ids(*pad_token_ids([])) == []


@pytest.mark.usefixtures("no_type_checks")
def test_a_mask_of_another_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"one shape of rows and columns, got ids \(2, 2\), mask \(2, 1\)"):
        unpad_token_ids(torch.ones(2, 2), torch.ones(2, 1, dtype=torch.bool))


def test_truncation_keeps_the_containers_of_the_rows() -> None:
    rows = [[1, 2, 3], np.arange(4), torch.arange(2)]
    right, left = (truncate_token_ids(rows, 2, side=side) for side in ("right", "left"))
    assert right[0] == [1, 2]
    assert left[0] == [2, 3]
    assert right[1].tolist() == [0, 1]
    assert left[1].tolist() == [2, 3]
    assert left[2].tolist() == [0, 1]
    with pytest.raises(ValueError, match="length must be in 1.*got length=0"):
        truncate_token_ids(rows, 0)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("ids_dtype", "mask_dtype", "message"),
    [
        (torch.float32, torch.bool, "ids_buffer's dtype must be an integer torch.dtype"),
        (torch.bool, torch.bool, "ids_buffer's dtype must be an integer torch.dtype"),
        (torch.int64, torch.int64, "mask_buffer must be of bools, got dtype=torch.int64"),
    ],
)
def test_a_buffer_of_the_wrong_dtype_is_named(ids_dtype, mask_dtype, message) -> None:
    with pytest.raises(TypeError, match=message):
        pad_token_ids_into(torch.empty(9, dtype=ids_dtype), torch.empty(9, dtype=mask_dtype), [[1]])


@pytest.mark.usefixtures("no_type_checks")
def test_a_mask_of_integers_is_refused() -> None:
    with pytest.raises(TypeError, match=r"mask must be of bools, True = real token, got dtype=torch.int64"):
        unpad_token_ids(torch.tensor([[5, 0]]), torch.tensor([[1, 0]]))


@pytest.mark.parametrize(
    "rows",
    [
        [np.array([1, 2], dtype=">i8")],
        [np.array([1, 2], dtype=">u2"), np.array([3], dtype=">u1")],
        [np.array([1], dtype=np.uint8), bytearray(b"abc")],
        [bytearray(b"abc"), np.array([1], dtype=np.uint8)],
    ],
)
def test_rows_may_have_any_byte_order_and_any_order(rows: list) -> None:
    ids, mask = pad_token_ids(rows)
    assert [row.tolist() for row in unpad_token_ids(ids, mask)] == [list(row) for row in rows]
    assert ids.dtype == (torch.int32 if getattr(rows[0], "dtype", None) == ">u2" else torch.int64)


MIXED = {
    "list": [5, True],
    "tuple": (False, 5),
    "long list": [*range(5, 1000), True],
    "long list of zeros and ones": [*[0, 1] * 500, True],
    "long tuple": (*range(5, 1000), False, *range(5, 1000)),
    "deque": deque([5, True]),
    "UserList": UserList([5, True]),
    "NumPy's bool": [5, np.True_],
    "NumPy's ints": [np.int64(5), np.True_],
    "0-d tensors": [torch.tensor(5), torch.tensor(True)],
    "0-d array": [5, np.array(True)],
    "0-d tensor": [*range(5, 1000), torch.tensor(True)],
    "array of objects": np.array([5, True], dtype=object),
    "Series of objects": pd.Series([5, True]),
    "floats": [5.0, True],
    "long floats": [*map(float, range(5, 1000)), True],
    "bools": [True, False],
    "bool array": np.array([True]),
    "bool Series": pd.Series([True]),
    "bool tensor": torch.tensor([True]),
    "deque of bools": deque([True]),
}


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("row", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("dtype", [None, torch.int8, torch.uint8])
def test_bools_among_the_integers_are_refused_in_every_container(row, dtype: torch.dtype | None) -> None:
    with pytest.raises(TypeError, match=r"each row of token_ids must hold .* in row 1\."):
        pad_token_ids([[7], row], dtype=dtype)
    with pytest.raises(TypeError, match=r"each row of token_ids must hold .* in row 1\."):
        pad_token_ids_into(torch.empty(9999).long(), torch.empty(9999, dtype=torch.bool), [[7], row])


@pytest.mark.parametrize("length", [0, 1, 2, 63, 64, 255, 256, 257, 1000])
@pytest.mark.parametrize("low", [0, 1, 2, -5])
def test_rows_with_and_without_zeros_and_ones_are_read_alike(length: int, low: int) -> None:
    row = [low + index % 7 for index in range(length)]
    for given in (
        row,
        tuple(row),
        deque(row),
        array("q", row),
        [np.int16(token) for token in row],
        np.array(row, dtype=np.int64),
    ):
        assert pad_token_ids([given])[0].tolist() == [row]


@pytest.mark.usefixtures("no_type_checks")
def test_an_iterator_of_rows_is_read_once() -> None:
    rows = [[1, 2, 3], [], [4]]
    expected = pad_token_ids(rows, 9)
    buffers = torch.empty(9, dtype=torch.int64), torch.empty(9, dtype=torch.bool)
    for make in (iter, lambda rows: (row for row in rows), lambda rows: dict(enumerate(rows)).values()):
        for found in (pad_token_ids(make(rows), 9), pad_token_ids_into(*buffers, make(rows), 9)):
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])
        assert truncate_token_ids(make(rows), 2) == [[1, 2], [], [4]]


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    "make", [iter, lambda row: (token for token in row), set, dict.fromkeys, lambda row: map(int, row)]
)
def test_a_row_that_is_no_sequence_is_refused(make) -> None:
    with pytest.raises(ValueError, match=r"must be one-dimensional, got shape \(\) in row 1, an object of type"):
        pad_token_ids([[1], make([2, 3])])
    with pytest.raises(
        TypeError, match="row 1 of token_ids must be a sequence, an array or a tensor, got a .* Convert it by list"
    ):
        truncate_token_ids([[1], make([2, 3])], 1)
