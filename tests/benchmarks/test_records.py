"""The pure parts of the benchmarks: records, tables, the page and its pictures."""

import math
import statistics
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from benchmarks.figures import FIGURES, curves, draw
from benchmarks.machine import Run, this_run
from benchmarks.page import TITLES, page
from benchmarks.record import Measurement, Side, is_met, is_slower, ratios, spread
from benchmarks.results import from_lines, replaced, to_lines
from benchmarks.table import (
    escaped,
    markdown_table,
    missed,
    quantity,
    row_of,
    slower,
    target_of,
    text_table,
    times,
    unmeasured,
)

OURS = Side(name="loader", rounds=(1e-6, 2e-6, 4e-6), is_ours=True)
PEER = Side(name="DataLoader", rounds=(4e-6, 4e-6, 4e-6))
FASTER = Measurement(subject="loaders", what="time per sample", unit="s", ours=OURS, peer=PEER, least_ratio=1.5)
SLOWER = attrs.evolve(FASTER, what="time of a_b", peer=attrs.evolve(PEER, rounds=(1e-6, 1e-6, 1e-6)))
FILL = Measurement(
    subject="packing",
    what="fill",
    unit="of 1",
    ours=attrs.evolve(OURS, rounds=(0.99,)),
    peer=Side(name="TRL", rounds=(0.9,)),
    is_more_better=True,
    limit=0.995,
)
ABSENT = attrs.evolve(FASTER, what="batches of 10**6 | rows", peer=Side(name="grain", reason="not installed: no wheel"))
POINTS = [
    attrs.evolve(FASTER, what="packing, time per sample", subject="packing", axis="samples per window", size=size)
    for size in (10, 100)
]
ALL = [FASTER, SLOWER, FILL, ABSENT, *POINTS]
RUN = Run(
    processor="A processor, 2 cores",
    memory=23.5,
    kernel="Linux 6",
    versions=("torch 2", "grain 0.2.18"),
    date="2026-01-02 03:04 UTC",
    commit="0123456789",
    load=0.1,
    minutes=12.0,
)
numbers = st.floats(1e-12, 1e12)


@given(st.lists(numbers, min_size=1, max_size=20))
def test_the_median_is_between_the_quartiles_and_these_within_the_numbers(rounds: list[float]) -> None:
    found = spread(rounds)
    assert found.median == statistics.median(rounds)
    assert min(rounds) <= found.low <= found.median <= found.high <= max(rounds)


def test_a_ratio_is_of_numbers_of_the_same_round() -> None:
    assert ratios(FASTER) == pytest.approx((4, 2, 1))
    assert ratios(FILL) == pytest.approx((1.1,))
    assert ratios(ABSENT) == ()


@given(st.lists(st.tuples(numbers, numbers), min_size=1), st.booleans())
def test_a_ratio_turns_round_if_the_sides_do(pairs: list[tuple[float, float]], is_more_better: bool) -> None:
    sides = [Side(name="a", rounds=tuple(rounds)) for rounds in zip(*pairs, strict=True)]
    one, other = (
        Measurement(what="", unit="s", ours=ours, peer=peer, is_more_better=is_more_better)
        for ours, peer in (sides, sides[::-1])
    )
    assert all(math.isclose(ratio * inverse, 1) for ratio, inverse in zip(ratios(one), ratios(other), strict=True))


def test_a_side_has_rounds_or_a_reason() -> None:
    for fields in ({}, {"rounds": (1.0,), "reason": "absent"}):
        with pytest.raises(ValueError, match="must have either rounds or a reason"):
            Side(name="peer", **fields)


def test_targets() -> None:
    assert is_met(FASTER)
    assert is_met(SLOWER) is False
    assert is_met(FILL) is False
    assert is_met(ABSENT) is None
    assert target_of(FASTER) == "at least 1.5x: met"
    assert target_of(SLOWER) == "at least 1.5x: MISSED"
    assert target_of(FILL) == "at least 0.995 of 1: MISSED"
    assert target_of(ABSENT) == "at least 1.5x: not measured"
    assert target_of(attrs.evolve(FASTER, least_ratio=None, limit=2e-6)) == "below 2 us: MISSED"
    assert not target_of(attrs.evolve(FASTER, least_ratio=None))


def test_numbers_have_units_and_quartiles() -> None:
    assert quantity([1.5e-9], "s") == "1.5 ns"
    assert quantity([61.0, 62.0, 64.0], "s") == "62 s (61.5 to 63)"
    assert quantity([2.5e6], "bytes") == "2.5 MB"
    assert quantity([0.0], "bytes") == "0 bytes"
    assert quantity([-2e6], "bytes") == "-2 MB"
    assert times([1234.0]) == "1,234x"


def test_a_row_begins_with_the_ratio() -> None:
    found = row_of(POINTS[1])
    assert found.ratio == "2x (1.5 to 3)"
    assert found.measurement == "packing, time per sample, 100 samples per window"
    assert found.ours == "loader: 2 us (1.5 to 3)"
    assert found.peer == "DataLoader: 4 us (4 to 4)"
    assert row_of(ABSENT).peer == "grain: not installed: no wheel"
    assert not row_of(ABSENT).ratio


def test_lost_and_missed_rows_are_found_without_being_listed() -> None:
    ourselves = attrs.evolve(SLOWER, peer=attrs.evolve(SLOWER.peer, is_ours=True))
    worse = attrs.evolve(SLOWER, peer=attrs.evolve(PEER, rounds=(1e-7, 1e-7, 1e-7)))
    assert slower([FASTER, SLOWER, worse, ourselves, FILL, ABSENT]) == [worse, SLOWER]
    assert not is_slower(ourselves)
    assert missed(ALL) == [SLOWER, FILL]
    assert unmeasured(ALL) == [ABSENT]


def test_the_tables() -> None:
    lines = text_table(ALL).splitlines()
    assert lines[0].startswith("ratio")
    assert len(lines) == len(ALL) + 1
    assert len({line.index("loader: ") for line in lines[1:]}) == 1
    rows = markdown_table(ALL).splitlines()
    assert len(rows) == len(ALL) + 2
    assert all(row.replace("\\|", "").count("|") == len(row_of(FASTER)) + 1 for row in rows)
    assert escaped("a|b *c* d_e `f` [g] <h>") == r"a\|b \*c\* d\_e \`f\` \[g\] \<h\>"


def test_results_come_back_from_their_lines() -> None:
    text = to_lines(RUN, ALL)
    assert len(text.splitlines()) == len(ALL) + 1
    assert from_lines(text) == (RUN, ALL)


def test_this_machine_can_be_written_down() -> None:
    found = this_run(is_quick=True)
    assert found.memory > 0
    assert any(version.startswith("torch ") for version in found.versions)
    assert from_lines(to_lines(found, [])) == (found, [])


def test_the_page_says_what_is_missed_lost_and_absent() -> None:
    text = page(RUN, ALL, [("images/a.png", "A picture")])
    sections = {part.splitlines()[0]: part for part in text.split("\n## ")[1:]}
    assert set(sections) == {
        "Targets that are missed",
        "Where we are slower",
        "What could not be measured",
        "Growth",
        "Loaders",
        "Packing",
    } | ({"Loaders"} & set(TITLES.values()))
    assert "time of a\\_b" in sections["Targets that are missed"]
    assert "time of a\\_b" in sections["Where we are slower"]
    assert "fill" not in sections["Where we are slower"]
    assert "no wheel" in sections["What could not be measured"]
    assert "![A picture](images/a.png)" in sections["Growth"]
    for said in ("`make bench` wrote", "A processor, 2 cores", "grain 0.2.18", "2026-01-02 03:04 UTC", "0123456789"):
        assert said in text
    assert "| **all** | 5 | 4 | 1 | 3 | 2 |" in text, "comparisons, better here and there, targets met and missed"
    assert "Every target is met." in page(RUN, [FASTER])


def test_the_page_is_the_same_from_the_stored_results() -> None:
    assert page(*from_lines(to_lines(RUN, ALL))) == page(RUN, ALL)


def test_a_subject_that_is_measured_again_replaces_its_rows() -> None:
    again = attrs.evolve(FASTER, what="another time")
    run, found = replaced(RUN, ALL, attrs.evolve(RUN, date="2026-01-03 04:05 UTC"), [again])
    assert [one for one in found if one.subject == FASTER.subject] == [again]
    assert [one for one in found if one is not again] == [one for one in ALL if one.subject != FASTER.subject]
    assert found.index(again) == 0, "in the place of the old ones"
    assert "| measured again later | " in page(run, found)
    assert "2026-01-03 04:05 UTC, 0123456789, load 0.1" in page(run, found)


def test_every_subject_has_a_title_and_a_file() -> None:
    files = (Path(__file__).parents[2] / "benchmarks" / "subjects").glob("*.py")
    assert {path.stem for path in files} == set(TITLES)


def test_curves_have_a_point_per_size() -> None:
    found = curves(ALL, "packing, time")
    assert list(found) == ["bionemo-core loader", "DataLoader"]
    assert [point[0] for point in found["DataLoader"]] == [10, 100]
    assert found["bionemo-core loader"][0][1:] == spread(OURS.rounds)


def test_pictures_are_drawn_of_what_was_measured(tmp_path: Path) -> None:
    (written,) = draw(ALL, tmp_path)
    assert written == (tmp_path / "benchmark_packing.png", "Packing")
    assert plt.imread(written[0]).std() > 0
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
