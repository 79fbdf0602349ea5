"""Losses as sums over tokens."""

import copy
import pickle

import pytest
import torch

from bionemo.core.model.cross_entropy import TokenCrossEntropy, token_cross_entropy
from bionemo.core.model.loss import LossSum, add_losses, mean_loss, mean_metrics, scale_for_ranks, sum_over_ranks


def test_the_mean_equals_torchs_cross_entropy_of_the_labeled_tokens() -> None:
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([[1, -100, 3, 6, -100], [-100, -100, 0, 2, 2]])
    loss = token_cross_entropy(logits, labels)
    chosen = labels != -100
    assert loss.num_tokens == 6
    torch.testing.assert_close(mean_loss([loss]), torch.nn.functional.cross_entropy(logits[chosen], labels[chosen]))


def test_parts_add_up_to_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, 7, generator=generator, dtype=torch.float64)
    labels = torch.randint(7, (6, 5), generator=generator)
    labels = labels.where(torch.rand(6, 5, generator=generator) < 0.6, -100)
    parts = [token_cross_entropy(logits[a:b], labels[a:b]) for a, b in ((0, 1), (1, 1), (1, 5), (5, 6))]
    torch.testing.assert_close(mean_loss(parts), mean_loss([token_cross_entropy(logits, labels)]))


def test_the_loss_without_labeled_tokens_is_zero() -> None:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = mean_loss([token_cross_entropy(logits, torch.full((2, 3), -100))])
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_half_precision_is_summed_in_float32() -> None:
    assert (
        token_cross_entropy(torch.zeros(3, 4, dtype=torch.bfloat16), torch.tensor([0, 1, 2])).loss_sum.dtype
        == torch.float32
    )


def test_an_empty_list_of_losses_is_refused() -> None:
    with pytest.raises(ValueError, match="losses must hold at least one part"):
        mean_loss([])


def test_the_class_can_be_used_in_training_and_validation() -> None:
    batch = {"labels": torch.tensor([[1, -100]])}
    for loss in (TokenCrossEntropy(), TokenCrossEntropy(validation_step=True)):
        part = loss.forward(batch, torch.zeros(1, 2, 4))
        assert isinstance(part, LossSum)
        torch.testing.assert_close(loss.reduce([part, part]), torch.tensor(4.0).log())


def test_logits_may_be_a_single_row() -> None:
    torch.testing.assert_close(token_cross_entropy(torch.zeros(4), torch.tensor(2)).loss_sum, torch.tensor(4.0).log())


def test_setup_returns_what_megatrons_schedules_expect() -> None:
    batch, out = {"labels": torch.tensor([[1, -100]])}, torch.zeros(1, 2, 4)
    loss_sum, num_tokens, metrics = TokenCrossEntropy().setup(batch)(out)
    torch.testing.assert_close(loss_sum, torch.tensor(4.0).log())
    assert (num_tokens.dtype, metrics) == (torch.int64, {})


def test_validation_counts_correct_predictions() -> None:
    out = torch.eye(4)[torch.tensor([[1, 2, 3, 0]])]
    batch = {"labels": torch.tensor([[1, 2, 0, -100]])}
    loss = TokenCrossEntropy(validation_step=True).forward(batch, out)
    torch.testing.assert_close(mean_metrics([loss, loss]), {"accuracy": torch.tensor(2 / 3)})


def test_metrics_are_added_by_name() -> None:
    one, two = (LossSum(torch.tensor(1.0), torch.tensor(2), {name: torch.tensor(3)}) for name in ("a", "b"))
    assert add_losses([one, one]).metrics == {"a": torch.tensor(6)}
    with pytest.raises(ValueError, match=r"metrics of the same names, got \[\['a'\], \['b'\]\]"):
        add_losses([one, two])


def test_a_single_process_is_the_only_rank() -> None:
    loss = LossSum(torch.tensor(6.0, requires_grad=True), torch.tensor(0), {"a": torch.tensor(2.0)})
    total = sum_over_ranks(loss)
    assert not total.loss_sum.requires_grad
    assert (float(total.loss_sum), float(total.metrics["a"])) == (6.0, 2.0)
    # Without any token, the divisor is 1.
    assert float(scale_for_ranks(loss, total.num_tokens, world_size=1).detach()) == 6.0


def test_half_precision_losses_are_added_in_float32() -> None:
    parts = [LossSum(torch.tensor(60_000.0, dtype=torch.float16), torch.tensor(1))] * 3
    assert float(add_losses(parts).loss_sum) == 3 * float(torch.tensor(60_000.0, dtype=torch.float16))


def test_losses_without_metrics_do_not_share_a_mutable_dict() -> None:
    one, other = (LossSum(torch.tensor(6.0), torch.tensor(2)) for _ in range(2))
    for change in (
        lambda metrics: metrics.__setitem__("accuracy", torch.tensor(1)),
        lambda metrics: metrics.update(accuracy=torch.tensor(1)),
        lambda metrics: metrics.setdefault("accuracy", torch.tensor(1)),
    ):
        with pytest.raises(TypeError, match="does not support mutation"):
            change(one.metrics)
    assert one.metrics == other.metrics == LossSum(torch.tensor(6.0), torch.tensor(2)).metrics == {}
    assert mean_metrics([one, other]) == {}


def test_a_loss_is_a_triple_and_a_tree_of_tensors() -> None:
    logits = torch.zeros(3, 5, 4)
    labels = torch.tensor([[1, -100, 2, 3, 0]] * 3)
    for metrics in (False, True):
        loss_func = TokenCrossEntropy(validation_step=metrics)
        losses = torch.vmap(lambda out, label, loss_func=loss_func: loss_func.forward({"labels": label}, out))(
            logits, labels
        )
        loss_sum, num_tokens, by_name = losses
        assert type(losses) is LossSum
        assert isinstance(losses, tuple)
        assert num_tokens.tolist() == [4, 4, 4]
        torch.testing.assert_close(loss_sum, torch.full((3,), 4 * torch.tensor(4.0).log()))
        assert {name: counts.tolist() for name, counts in by_name.items()} == (
            {"accuracy": [1, 1, 1]} if metrics else {}
        )


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_a_loss_can_be_copied_and_pickled(make_copy) -> None:
    loss = make_copy(LossSum(torch.tensor(6.0), torch.tensor(2)))
    assert type(loss) is LossSum
    assert (float(loss.loss_sum), int(loss.num_tokens), loss.metrics) == (6.0, 2, {})
    assert add_losses([loss, loss]).metrics == {}


@pytest.mark.usefixtures("no_type_checks")
def test_labels_that_do_not_belong_to_the_logits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one row per label, .*got logits \(2, 3, 4\) and labels \(3, 2\)"):
        token_cross_entropy(torch.zeros(2, 3, 4), torch.zeros(3, 2, dtype=torch.int64))
    for dtype in (torch.float32, torch.bfloat16, torch.bool, torch.complex64):
        labels = torch.zeros(3, dtype=dtype)
        with pytest.raises(TypeError, match=f"labels must be integers, got dtype={dtype}"):
            token_cross_entropy(torch.zeros(3, 4), labels)
        with pytest.raises(TypeError, match=f"labels must be integers, got dtype={dtype}"):
            TokenCrossEntropy(validation_step=True).forward({"labels": labels}, torch.zeros(3, 4))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_labels_may_be_of_any_integer_dtype(dtype: torch.dtype) -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    expected = token_cross_entropy(logits, torch.tensor([0, 1, 3]))
    assert token_cross_entropy(logits, torch.tensor([0, 1, 3], dtype=dtype))[:2] == expected[:2]


def test_losses_may_come_from_an_iterator() -> None:
    parts = [LossSum(torch.tensor(6.0), torch.tensor(2), {"a": torch.tensor(1)})] * 3
    assert float(mean_loss(iter(parts))) == float(mean_loss(parts)) == 3.0
    assert mean_metrics(part for part in parts) == mean_metrics(parts)
    assert add_losses(iter(parts)).num_tokens == 6


LOGITS = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([[1, -100, 3], [0, 2, -100]])


def test_the_weighted_mean_equals_numbers_computed_by_hand() -> None:
    weights = torch.tensor([[1.0, torch.nan, 0.1], [0.0, 0.5, -1.0]])  # those of unlabeled tokens don't count
    loss = token_cross_entropy(LOGITS, LABELS, weights=weights)
    each = -LOGITS.log_softmax(-1)[[0, 0, 1], [0, 2, 1], [1, 3, 2]]
    torch.testing.assert_close(loss.num_tokens, torch.tensor(1.6))
    torch.testing.assert_close(mean_loss([loss]), (each * torch.tensor([1.0, 0.1, 0.5])).sum() / 1.6)


def test_small_weights_are_not_taken_for_none() -> None:
    """Sums of weights below 1 divide, too."""
    tiny = token_cross_entropy(LOGITS, LABELS, weights=torch.full(LABELS.shape, 1e-3))
    torch.testing.assert_close(mean_loss([tiny]), mean_loss([token_cross_entropy(LOGITS, LABELS)]))
    torch.testing.assert_close(scale_for_ranks(tiny, tiny.num_tokens, 1), mean_loss([tiny]))


def test_the_class_takes_weights_from_the_batch_and_weighs_its_accuracy() -> None:
    weights = torch.tensor([[3.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    loss = TokenCrossEntropy(validation_step=True).forward({"labels": LABELS, "loss_weights": weights}, LOGITS)
    assert loss.num_tokens == 4
    is_right = LOGITS.argmax(-1) == LABELS
    assert mean_metrics([loss])["accuracy"] == (is_right * weights).sum() / 4


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_weights_that_are_no_weights_are_named(value: float) -> None:
    with pytest.raises(ValueError, match=f"weights must be finite and not negative, got {value}"):
        token_cross_entropy(LOGITS, LABELS, weights=torch.tensor([[1.0, 1, 1], [value, 1, 1]]))


@pytest.mark.usefixtures("no_type_checks")
def test_weights_of_another_shape_and_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights must be one per label, got weights \(2,\) for \(2, 3\)"):
        token_cross_entropy(LOGITS, LABELS, weights=torch.ones(2))
    with pytest.raises(TypeError, match="weights must be real numbers, got dtype=torch.bool. Convert a mask"):
        token_cross_entropy(LOGITS, LABELS, weights=LABELS > 0)
