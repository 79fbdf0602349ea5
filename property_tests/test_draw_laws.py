"""Laws of draws, samples, alias tables, integer weights and arrays."""

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.arrays import by_run, in_blocks
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.random import (
    bits_at,
    integers_at,
    make_generator,
    sample_by_weight,
    sample_with_replacement,
    sample_without_replacement,
    uniforms_at,
)
from bionemo.core.random.alias import check_weights, draw_by_alias, make_alias_table
from bionemo.core.random.draws import MAX_RANGE, scale_to
from bionemo.data import integer_weights
from bionemo.data.testing.strategies import seeds
from bionemo.data.testing.strategies.single_orders import weight_lists

WORDS = st.integers(0, 2**63 - 1)
RANGES = st.one_of(st.integers(1, 100), st.integers(1, MAX_RANGE))


@given(words=st.lists(WORDS, min_size=1, max_size=20), length=RANGES)
def test_scaling_is_exact(words: list[int], length: int) -> None:
    expected = [word * length // 2**63 for word in words]
    assert [scale_to(word, length) for word in words] == expected
    assert scale_to(np.array(words), length).tolist() == expected
    assert scale_to(torch.tensor(words), torch.tensor(length)).tolist() == expected


@given(seed=seeds(), counters=st.lists(WORDS, min_size=1, max_size=20, unique=True), length=RANGES)
def test_draws_of_tensors_equal_draws_of_their_integers(seed: int, counters: list[int], length: int) -> None:
    tensor = torch.tensor(counters)
    bits = [bits_at(seed, counter) for counter in counters]
    assert len(set(bits)) == len(counters)
    assert bits_at(seed, tensor).tolist() == bits
    for dtype in (torch.float32, torch.float64):
        drawn = [uniforms_at(seed, counter, dtype=dtype) for counter in counters]
        assert uniforms_at(seed, tensor, dtype=dtype).tolist() == drawn
        assert all(0 <= number < 1 for number in drawn)
    integers = [integers_at(seed, counter, length) for counter in counters]
    assert integers_at(seed, tensor, length).tolist() == integers
    assert all(0 <= integer < length for integer in integers)
    assert tensor.tolist() == counters


@given(weights=weight_lists())
def test_an_alias_table_gives_each_index_the_probability_of_its_weight(weights: list[float]) -> None:
    table = make_alias_table(check_weights(weights))
    column = 1 << (63 - table.shift)
    units = [0] * len(weights)
    for index, (threshold, alias) in enumerate(zip(table.thresholds.tolist(), table.aliases.tolist(), strict=True)):
        assert 0 <= threshold <= column
        units[index] += threshold
        units[alias] += column - threshold
    total = sum(map(Fraction, weights))
    for count, weight in zip(units, weights, strict=True):
        exact = Fraction(weight) / total
        assert abs(Fraction(count, column * len(weights)) - exact) <= exact / 2**49 + Fraction(1, 2**59)
        assert weight or not count


@given(weights=weight_lists(), seed=seeds(), counters=st.lists(WORDS, min_size=1, max_size=20))
def test_an_index_of_weight_zero_is_never_drawn(weights: list[float], seed: int, counters: list[int]) -> None:
    table = make_alias_table(check_weights(weights))
    drawn = [draw_by_alias(table, seed, counter) for counter in counters]
    assert draw_by_alias(table, seed, np.array(counters)).tolist() == drawn
    assert all(weights[index] > 0 for index in drawn)


@given(seed=seeds(), length=RANGES, num_samples=st.integers(0, 60), data=st.data())
def test_samples_depend_only_on_the_generator_and_shorter_ones_are_prefixes(
    seed: int, length: int, num_samples: int, data: st.DataObject
) -> None:
    fewer = data.draw(st.integers(0, num_samples))
    draw = sample_with_replacement(length, num_samples, generator=make_generator(seed))
    assert sample_with_replacement(length, fewer, generator=make_generator(seed)).tolist() == draw[:fewer].tolist()
    weighted = sample_by_weight([1, 2, 3], num_samples, generator=make_generator(seed))
    assert sample_by_weight([1, 2, 3], fewer, generator=make_generator(seed)).tolist() == weighted[:fewer].tolist()
    few = min(num_samples, length)
    distinct = sample_without_replacement(length, few, generator=make_generator(seed)).tolist()
    assert len(set(distinct)) == len(distinct) == few
    assert all(0 <= number < length for number in [*draw.tolist(), *distinct])
    if few == length:
        assert sorted(distinct) == list(range(length))


@given(
    weights=st.lists(st.just(0.0) | st.floats(1e-300, 1e300), min_size=1, max_size=10).filter(any),
    total=st.integers(10, 2**31 - 1),
)
def test_integer_weights_sum_to_the_total_and_are_nearest_to_the_weights(weights: list[float], total: int) -> None:
    found = integer_weights(weights, total=total)
    assert sum(found.weights) == total
    assert [weight > 0 for weight in found.weights] == [weight > 0 for weight in weights]
    whole = sum(map(Fraction, weights))
    exact = [Fraction(weight) / whole * total for weight in weights]
    errors = [abs(count - wanted) for count, wanted in zip(found.weights, exact, strict=True)]
    assert found.error == float(max(errors) / total)
    if min(filter(None, exact)) >= 1:
        assert max(errors) < 1
    assert integer_weights(found.weights, total=total) == (found.weights, 0.0)


@given(values=st.lists(st.integers(0, 3), max_size=60), other=st.lists(st.integers(0, 1), max_size=60))
def test_runs_and_blocks_do_not_change_results(values: list[int], other: list[int]) -> None:
    size = min(len(values), len(other))
    word, beside = np.array(values[:size], dtype=np.int64), np.array(other[:size], dtype=np.int64)

    def function(word, beside):
        return word * 10 + beside, word - beside

    for found, expected in zip(by_run(function, word, beside), function(word, beside), strict=True):
        assert np.array_equal(np.broadcast_to(found, expected.shape), expected)
    blocks = in_blocks(function, torch.from_numpy(word), torch.from_numpy(beside))
    for found, expected in zip(blocks, function(word, beside), strict=True):
        assert found.tolist() == expected.tolist()


@given(first=st.lists(st.floats(), max_size=4), second=st.lists(st.floats(), max_size=4))
def test_frozen_arrays_are_equal_if_and_only_if_their_bytes_are(first: list[float], second: list[float]) -> None:
    one, other = (np.array(values, dtype=np.float64) for values in (first, second))
    assert (FrozenArray(one) == FrozenArray(other)) == (one.tobytes() == other.tobytes())
    assert hash(FrozenArray(one)) == hash(FrozenArray(one.copy()))
