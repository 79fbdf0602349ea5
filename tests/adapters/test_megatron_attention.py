"""Attention for megatron-core's layers: its output and its dropout."""

import enum
import math
from types import SimpleNamespace

import pytest
import torch

from bionemo.adapters.megatron import PortableDotProductAttention
from bionemo.core.random import make_generator, random_torch_context

Kind = enum.Enum("Kind", ["causal", "padding", "no_mask"])


def make_attention(
    kind: Kind = Kind.padding,
    rank: int = 0,
    dropout: float = 0.0,
    softmax_scale: float | None = None,
    attention_dropout: float | None = None,
    **fields,
) -> PortableDotProductAttention:
    usual = {"context_parallel_size": 1, "window_size": None, "softmax_type": "vanilla", "kv_channels": 8}
    config = SimpleNamespace(**(usual | {"attention_dropout": dropout} | fields))
    tensor_group = SimpleNamespace(rank=lambda: rank)
    return PortableDotProductAttention(
        config,
        1,
        kind,
        "self",
        attention_dropout=attention_dropout,
        softmax_scale=softmax_scale,
        pg_collection=SimpleNamespace(tp=tensor_group),
    )


def make_rows(length: int = 5, batch: int = 3, heads: int = 4, groups: int = 4, keys: int | None = None) -> list:
    generator = make_generator(1)
    shapes = (length, heads), (keys or length, groups), (keys or length, groups)
    return [torch.randn(tokens, batch, parts, 8, generator=generator) for tokens, parts in shapes]


def attend_one_by_one(query, key, value, hidden=None, *, causal: bool) -> torch.Tensor:
    """Return attention by the formula of Vaswani et al. 2017, one query at a time."""
    num_queries, batch, heads, _ = query.shape
    num_keys, groups = key.shape[0], key.shape[2]
    output = torch.zeros(num_queries, batch, heads, value.shape[-1])
    for row in range(batch):
        for head in range(heads):
            group = head * groups // heads
            for position in range(num_queries):
                scores = key[:, row, group] @ query[position, row, head] / math.sqrt(8)
                for other in range(num_keys):
                    is_later = causal and other > position + num_keys - num_queries
                    if is_later or (hidden is not None and hidden[row, 0, min(position, hidden.shape[2] - 1), other]):
                        scores[other] = -math.inf
                output[position, row, head] = scores.softmax(0) @ value[:, row, group]
    return output.flatten(2)


@pytest.mark.parametrize("kind", [Kind.causal, Kind.padding])
@pytest.mark.parametrize("groups", [4, 2, 1])
@pytest.mark.parametrize("masked", [None, "keys", "all"])
def test_attention_follows_the_formula(kind: Kind, groups: int, masked: str | None) -> None:
    rows = make_rows(groups=groups)
    hidden = None
    if masked:
        hidden = torch.rand(3, 1, 1 if masked == "keys" else 5, 5, generator=make_generator(2)) < 0.4
        hidden[..., 0] = False  # every query sees the first key
    found = make_attention(kind)(*rows, hidden)
    torch.testing.assert_close(found, attend_one_by_one(*rows, hidden, causal=kind is Kind.causal))


def test_attention_follows_the_formula_with_more_keys_than_queries() -> None:
    rows = make_rows(length=2, keys=5)
    torch.testing.assert_close(make_attention(Kind.causal)(*rows, None), attend_one_by_one(*rows, causal=True))
    overridden = make_attention(Kind.causal)(*rows, None, attn_mask_type=Kind.no_mask)
    torch.testing.assert_close(overridden, attend_one_by_one(*rows, causal=False))


@pytest.mark.parametrize("dropout", [0.0, 1e-12])
def test_softmax_scale_overrides_the_usual_scale(dropout: float) -> None:
    query, key, value = make_rows()
    usual, given = make_attention(dropout=dropout), make_attention(dropout=dropout, softmax_scale=0.7)
    expected = usual(query * 0.7 * math.sqrt(8), key, value, None)
    torch.testing.assert_close(given(query, key, value, None), expected)
    assert not torch.allclose(usual(query, key, value, None), expected)


def test_attention_dropout_overrides_the_configuration() -> None:
    rows = make_rows()
    torch.testing.assert_close(
        make_attention(dropout=0.9, attention_dropout=0.0)(*rows, None), make_attention()(*rows, None)
    )


def test_large_scores_are_finite_in_half_precision() -> None:
    rows = [torch.full((2, 1, 1, 64), 40.0, dtype=torch.float16) for _ in range(3)]
    assert make_attention(dropout=0.1, kv_channels=64)(*rows, None).isfinite().all()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_query_with_all_keys_hidden_has_a_finite_output_and_gradient(dropout: float) -> None:
    query, key, value = (part.requires_grad_() for part in make_rows())
    hidden = torch.zeros(3, 1, 1, 5, dtype=torch.bool)
    hidden[1] = True
    output = make_attention(dropout=dropout)(query, key, value, hidden)
    output.sum().backward()
    assert output.isfinite().all()
    assert all(part.grad.isfinite().all() for part in (query, key, value))


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("groups", [4, 2])
def test_ranks_together_drop_what_one_rank_drops_and_each_head_drops_other_weights(size: int, groups: int) -> None:
    query, key, value = (torch.ones_like(part) for part in make_rows(groups=groups))
    value = torch.eye(5)[:, None, None].expand(5, 3, groups, 5)  # so that the output is the weights
    with random_torch_context(make_generator(5)):
        whole = make_attention(dropout=0.5)(query, key, value, None).unflatten(2, (4, 5))
    parts = []
    for rank in range(size):
        heads = slice(rank * 4 // size, (rank + 1) * 4 // size)
        own = slice(heads.start * groups // 4, max(heads.stop * groups // 4, heads.start * groups // 4 + 1))
        with random_torch_context(make_generator(5)):
            attention = make_attention(dropout=0.5, rank=rank)
            parts.append(attention(query[:, :, heads], key[:, :, own], value[:, :, own], None))
            after = torch.rand(())
        with random_torch_context(make_generator(5)):
            torch.empty((), dtype=torch.int64).random_()
            assert after == torch.rand(())  # one draw per call: ranks stay in step
    assert torch.equal(torch.cat([part.unflatten(2, (-1, 5)) for part in parts], dim=2), whole)
    heads = whole.unbind(2)
    assert not any(torch.equal(heads[one], heads[other]) for one in range(4) for other in range(one))


def test_dropout_drops_its_fraction_and_scales_the_rest() -> None:
    length, batch = 40, 50
    query = torch.zeros(length, batch, 4, 8)
    value = torch.eye(length)[:, None, None].expand(length, batch, 4, length)
    with random_torch_context(make_generator(5)):
        weights = make_attention(dropout=0.3)(query, query, value, None)
    dropped = (weights == 0).double().mean()
    assert abs(dropped - 0.3) < 5 * math.sqrt(0.3 * 0.7 / weights.numel())
    assert torch.allclose(weights[weights > 0], torch.tensor(1 / length / 0.7))


def test_evaluation_drops_and_draws_nothing() -> None:
    rows, attention = make_rows(), make_attention(dropout=0.5).eval()
    state = torch.get_rng_state()
    torch.testing.assert_close(attention(*rows, None), attend_one_by_one(*rows, causal=False))
    assert torch.equal(torch.get_rng_state(), state)


def test_half_precision_input_gives_half_precision_output() -> None:
    rows = [part.bfloat16() for part in make_rows()]
    expected = attend_one_by_one(*(part.float() for part in rows), causal=True)
    for attention in (make_attention(Kind.causal), make_attention(Kind.causal, dropout=1e-12)):
        found = attention(*rows, None)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("keys", [3, 7, 100])
def test_the_softmax_of_half_precision_scores_is_computed_in_float32(dtype: torch.dtype, keys: int) -> None:
    """With equal values, the output doesn't depend on the weights: only if their sum is exactly 1, gradients are 0."""
    query = torch.randn(2, 1, 2, 8, generator=make_generator(3)).to(dtype).requires_grad_()
    key = torch.ones(keys, 1, 2, 8, dtype=dtype, requires_grad=True)
    value = torch.full((keys, 1, 2, 8), 10.0, dtype=dtype)
    output = make_attention(dropout=1e-12)(query, key, value, None)
    torch.testing.assert_close(output.float(), torch.full((2, 1, 16), 10.0), rtol=2 * torch.finfo(dtype).eps, atol=0)
    output.sum().backward()
    assert query.grad.abs().max() < 1e-4  # one rounding of the weights to half precision makes it 0.01 and more
    assert key.grad.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"window_size": (3, 0)}, r"window_size must be None for this attention, got window_size=\(3, 0\)"),
        (
            {"softmax_type": "learnable"},
            "softmax_type must be 'vanilla' for this attention, got softmax_type='learnable'",
        ),
    ],
)
def test_unsupported_configurations_are_refused(field: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_attention(**field)


def test_biases_and_the_packed_sequences_of_others_are_refused() -> None:
    with pytest.raises(ValueError, match="packed_seq_params must be those that the models of this library make"):
        make_attention()(*make_rows(), None, packed_seq_params=object())
    with pytest.raises(ValueError, match="attention_bias must be None. Use Transformer Engine's"):
        make_attention()(*make_rows(), None, attention_bias=torch.ones(1))
