"""The page says what the results say; the whole program in its quick form is marked slow."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.certificate.groups import PREFIXES, by_group, group_of, length_name
from benchmarks.certificate.page import write_page
from benchmarks.certificate.pictures import cells_of
from benchmarks.certificate.risks import FAULTS, risks, shown
from benchmarks.certificate.verdicts import Verdict, false_alarm_rates, fraction_below_one_percent, verdicts
from benchmarks.certificate.work import DRAWS, QUICK, pieces

ROOT = Path(__file__).parents[2]
RUNS = {str(number): [2e-5 if number == 0 else 0.02 if number < 5 else 0.9, 2, 100] for number in range(100)}


def report_of(**results) -> dict:
    return {
        "command": "make certificate",
        "date": "2026-01-01",
        "seconds": 60,
        "processes": 2,
        "versions": {"Python": "3.11"},
        "missing": {"grain": "no network"},
        "extent": {"lengths": [4, 100], "size": 1000},
        "again": {"ClusterOrder": 0.0, "at random": 0.36},
        "results": {"False alarms": {"NumPy": RUNS}, **results},
    }


def one_alarm(group: str) -> dict[str, float]:
    prefix = next(prefix for prefix, name in PREFIXES.items() if name == group)
    return {"100: pair 1 apart, low": 0.3, f"100: {prefix or 'output of index'}": 1e-20}


def test_groups_are_found_by_the_names_of_tests() -> None:
    assert group_of("Permutations", "1025: output of the first, high") == "each sample at one index"
    assert group_of("Permutations", "1025: output of index, half") == "samples against indices"
    assert group_of("Permutations", "5: next seed at the first, high") == "one index, neighbouring seeds"
    assert group_of("Permutations", "5: next seed, matches") == "neighbouring seeds, correlated"
    assert by_group("Masks", {"chosen at all": 0.5}) == {"chosen at all": [0.5]}
    assert [length_name(length) for length in (5, 1023, 2**16, 2**40 + 15, 2**62)] == [
        "5",
        "2^10-1",
        "2^16",
        "2^40+15",
        "2^62",
    ]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault[0] == "Permutations"], ids=lambda fault: fault[1])
def test_a_risk_is_named_if_its_test_fails_and_only_then(fault: tuple) -> None:
    _, name, group, text = fault
    report = report_of(Permutations={name: one_alarm(group)})
    (risk,) = [risk for risk in risks(report, verdicts(report)) if risk.who == name]
    assert (risk.text, group in risk.evidence, "1e-20" in risk.evidence) == (text, True, True)
    report["results"]["Permutations"][name] = dict.fromkeys(one_alarm(group), 0.3)
    assert name not in {risk.who for risk in risks(report, verdicts(report))}


def test_counts_name_lost_samples_and_orders_that_are_never_reached() -> None:
    counts = {
        "NumPy": {"reached": 30_000},
        "2.4.5": {"reached": 1024, "100": 0},
        "some": {"4294967297: low bytes": 128},
        "grain": {"65537": 1, "4099": 0},
    }
    report = report_of(Counts=counts)
    found = {risk.who: risk.text for risk in risks(report, [])}
    assert found["2.4.5"] == "Of the 40,320 orders of 8 samples, 1,024 came up; with a random shuffle 30,000 did."
    assert found["grain"].startswith("Of 65,537 samples 1 is never read")
    assert "about 50% are never read" in found["some"]
    assert found["at random"].startswith("36% of the reads repeat")
    assert set(found) == {"2.4.5", "some", "grain", "at random"}


def test_false_alarm_rates_have_intervals() -> None:
    report = report_of()
    assert [rate.failed for rate in false_alarm_rates(report)] == [1, 1, 5]
    low, high = false_alarm_rates(report)[-1].interval
    assert low < 0.05 < high
    assert fraction_below_one_percent(report) == (0.02, 10_000)


def test_cells_of_the_heat_map_are_alarms_above_four() -> None:
    results = {"4: repeats": 1e-5, "100: repeats": 0.9, "100: lag 1, half": 1e-200}
    verdict = Verdict(subject="Permutations", name="some", about="", is_ours=False, results=results)
    cells = cells_of(verdict, ["neighbours, correlated", "equal displacements (birthdays)"], [4, 100])
    assert np.isnan(cells[0, 0])
    assert (cells[0, 1] == 30, 4 < cells[1, 0] < 5, cells[1, 1] == 0) == (True, True, True)
    assert set(verdict.alarms) == {"4: repeats", "100: lag 1, half"}


def test_the_page_holds_every_family_and_marks_what_fails(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.certificate.page.pairs_of_samples", lambda shuffles, path: None)
    bad, good = {"100: next epoch, half": 0.0, "100: repeats": 0.3}, {"100: repeats": 0.3}
    report = report_of(Permutations={"permute": good, "levanter, linear": bad}, Counts={"permute": {"100": 0}})
    write_page(report, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert re.search(r"\*\*permute\*\* .* passes \|", text)
    assert re.search(r"levanter, linear .* \*\*fails 1\*\* \|", text)
    assert "| neighbouring epochs |  | **< 1e-300** |" in text
    assert "Every epoch has the same order" in text
    assert "| 0.05 | 5 of 100 |" in text
    assert "not tested: no network |" in text
    assert (tmp_path / "images" / "certificate_p_values.png").stat().st_size > 5000
    assert "`make certificate` wrote it on 2026-01-01" in text


def test_p_values_are_shown_in_few_characters() -> None:
    assert [shown(p) for p in (0.0, 1e-20, 0.05, 1.0)] == ["< 1e-300", "1e-20", "0.05", "1"]


def test_the_work_is_divided_into_pieces_that_pickle(monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.certificate.work.reason", lambda peer: "" if peer is None else "not installed")
    work = list(pieces(QUICK))
    assert len(pickle.loads(pickle.dumps(work))) == len(work) > 40
    assert not any("2.4.5" in piece.args for piece in work)
    assert set(DRAWS) == {piece.args[0] for piece in work if piece.func.__name__ == "judge_draws"}


@pytest.mark.slow
def test_the_quick_program_runs_and_ours_raise_no_alarm() -> None:
    command = [sys.executable, "-m", "benchmarks.certificate", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "Permutations, permute: no alarm" in done.stdout
    assert re.search(r"Permutations, levanter, linear: \d+ alarms", done.stdout)
    assert re.search(r"Masks, transformers, seed: 3 alarms", done.stdout)
    assert "**permute**" in (ROOT / ".cache" / "certificate-quick.md").read_text()
