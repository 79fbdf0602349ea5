"""Batches as messages between processes."""

import attrs
import numpy as np
import pytest
import torch

from bionemo.data.pipes.processes.transfer import pack, unpack


@attrs.frozen
class Record:
    ids: torch.Tensor
    name: str


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3),
        torch.arange(6).reshape(2, 3).T,
        torch.tensor(3.5),
        torch.empty(0, 3),
        torch.ones(3, dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]),
        torch.arange(10)[::3],
        torch.ones(2, 3).expand(4, 2, 3),
        torch.tensor([1 + 2j]).conj(),
        torch._neg_view(torch.arange(3.0)),
        torch.arange(6).reshape(1, 6)[:, 0],
        torch.arange(6).reshape(3, 2)[:0, 0],
        torch.eye(3).to_sparse(),
        torch.nn.Parameter(torch.ones(2)),
    ],
    ids=lambda tensor: f"{tensor.dtype} {tuple(tensor.shape)} {tensor.layout}",
)
def test_tensors_come_back_unchanged(tensor: torch.Tensor) -> None:
    found = unpack(pack({"a": tensor}))["a"]
    assert type(found) is type(tensor)
    assert (found.dtype, found.shape, found.layout) == (tensor.dtype, tensor.shape, tensor.layout)
    assert torch.equal(found.to_dense(), tensor.to_dense())


def test_other_data_comes_back_unchanged() -> None:
    batch = [Record(torch.arange(3), "a"), np.arange(4.0), {"b": (None, "c", 1.5)}, np.array(["x", "yy"])]
    found = unpack(pack(batch))
    assert torch.equal(found[0].ids, batch[0].ids)
    assert found[0].name == "a"
    assert np.array_equal(found[1], batch[1])
    assert found[2] == batch[2]
    assert found[3].tolist() == ["x", "yy"]


def test_unpacked_tensors_are_writable_and_independent() -> None:
    ids = torch.arange(3)
    one, two, array = unpack(pack([ids, ids[:], np.arange(3)]))
    one += 1
    array += 1
    assert (one.tolist(), two.tolist(), array.tolist(), ids.tolist()) == ([1, 2, 3], [0, 1, 2], [1, 2, 3], [0, 1, 2])


def test_a_thousand_tensors_take_one_block() -> None:
    message = pack([torch.full((number % 5,), number) for number in range(1000)])
    assert message.block.is_shared()
    assert [part.tolist() for part in unpack(message)] == [[number] * (number % 5) for number in range(1000)]


def test_each_tensor_and_array_begins_at_a_multiple_of_64_bytes() -> None:
    parts = unpack(pack([torch.ones(3, dtype=torch.uint8), torch.ones(70), np.ones(1, dtype=np.int8), np.ones(2)]))
    assert [torch.as_tensor(part).data_ptr() % 64 for part in parts] == [0, 0, 0, 0]


def test_a_batch_that_does_not_pickle_is_refused() -> None:
    with pytest.raises(TypeError, match="must pickle to leave a worker process, got list: .*Return plain data"):
        pack([lambda: None])
