"""The page of the certificate, in Markdown: `docs/certificate.md`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.certificate.groups import PREFIXES, by_group, group_of
from benchmarks.certificate.p_values import FALSE_ALARM
from benchmarks.certificate.permutations.families import shuffles
from benchmarks.certificate.pictures import EPOCH, LONG, false_alarm_plot, heat_map, pairs_of_samples
from benchmarks.certificate.risks import risks, shown
from benchmarks.certificate.verdicts import Verdict, false_alarm_rates, fraction_below_one_percent, verdicts
from benchmarks.certificate.work import ALARM_LENGTHS, COUNTS, DRAWS, PERMUTATIONS, SEEDS_OF_COUNT, SEEDS_OF_QUICK_COUNT


def write_page(report: Mapping[str, Any], path: Path) -> None:
    """Write the page of a report, and its pictures into `images` beside it."""
    images = path.parent / "images"
    images.mkdir(exist_ok=True)
    found = verdicts(report)
    permutations = [verdict for verdict in found if verdict.subject == PERMUTATIONS and verdict.results]
    heat_map(permutations, images / "certificate_p_values.png")
    pairs_of_samples([one for one in shuffles() if one.name not in report["missing"]], images / "certificate_pairs.png")
    false_alarm_plot(report, images / "certificate_false_alarms.png")
    blocks = [
        *introduction(report),
        "## Verdicts",
        *verdict_table(found),
        "## What a user risks",
        *risk_list(report, found),
        "## Permutations",
        *permutation_part(report, permutations),
        *(block for subject in DRAWS for block in draws_part(subject, found)),
        "## False alarms",
        *false_alarm_part(report),
        "## What it can't say",
        (
            "No alarm is no proof: these tests see what they look for, at these lengths and seeds. The laws that hold "
            "exactly (every sample once per epoch, inverses, members in turn, counts of a mixture) are tested in "
            "[`property_tests/`](how_to/testing.md), not here. levanter itself isn't run: its two constructions are "
            "written anew in `benchmarks/certificate/permutations/levanter.py`. A verdict on a library is one on "
            "this version of it."
        ),
    ]
    path.write_text("\n\n".join(blocks) + "\n")


def introduction(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was done, how and when."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    extent = report["extent"]
    yield "# Certificate"
    yield f"<!-- Written by `{report['command']}`; don't edit. -->"
    yield (
        "Is each shuffle, draw and mask what it claims: as good as random? This page tests ours, NumPy's as a control, "
        "and what others use, side by side. A test that fails says what a model would see."
    )
    yield (
        f"`{report['command']}` wrote it on {report['date']} in {report['seconds'] / 60:.0f} minutes, with "
        f"{report['processes']} processes: {versions}. All seeds are fixed, so the same versions give the same "
        f"p-values. Permutations are tested at {len(extent['lengths'])} lengths from {min(extent['lengths'])} to "
        f"{max(extent['lengths']):,}, with about {extent['size']:,} samples of each (2.4.5 and "
        "grain, which are called for one sample at a time: a quarter), from consecutive seeds from 0; draws and masks "
        "with seed 42 and those after it."
    )
    yield (
        "A *p-value* is the probability that a random shuffle looks at least as odd. A family fails if one of its "
        f"p-values is below {FALSE_ALARM:g} divided by their number: a good family fails for one choice of seeds in "
        f"{1 / FALSE_ALARM:,.0f} at most."
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdict_table(found: Sequence[Verdict]) -> Iterator[str]:
    """Yield the verdict on each family."""
    rows = []
    for verdict in found:
        name = f"**{verdict.name}**" if verdict.is_ours else verdict.name
        if verdict.results:
            smallest = shown(min(verdict.results.values()))
            result = f"**fails {len(verdict.alarms):,}**" if verdict.alarms else "passes"
            rows.append([verdict.subject, name, verdict.about, f"{len(verdict.results):,}", smallest, result])
        else:
            rows.append([verdict.subject, name, verdict.about, "", "", f"not tested: {verdict.reason}"])
    yield table(["tests of", "family (ours in bold)", "what it is", "p-values", "smallest", "verdict"], rows)


def risk_list(report: Mapping[str, Any], found: list[Verdict]) -> Iterator[str]:
    """Yield the faults that the results show, by family."""
    yield "Each sentence follows from the row named after it."
    by_who: dict[str, list[str]] = {}
    for risk in risks(report, found):
        by_who.setdefault(risk.who, []).append(f"  - {risk.text} ({risk.evidence})")
    yield "\n".join(f"- {who}\n" + "\n".join(lines) for who, lines in by_who.items()) or "None was found."


def p_table(found: Sequence[Verdict], groups: Sequence[str]) -> str:
    """Return the smallest p-value of each group of tests and family, with the number of p-values; alarms in bold."""
    rows = []
    for group in groups:
        cells = []
        for verdict in found:
            values = by_group(verdict.subject, verdict.results).get(group, [])
            is_alarm = any(group_of(verdict.subject, test) == group for test in verdict.alarms)
            cell = shown(min(values)) if values else ""
            cell += f" of {len(values)}" if len(values) > 1 else ""
            cells.append(f"**{cell}**" if is_alarm else cell)
        rows.append([group, *cells])
    return table(["test", *[verdict.name for verdict in found]], rows)


def permutation_part(report: Mapping[str, Any], found: Sequence[Verdict]) -> Iterator[str]:
    """Yield the tests of permutations."""
    yield (
        "The smallest p-value of each group of tests at each length: green is no alarm, yellow to red is one, grey is "
        "not tested."
    )
    yield "![Heat maps of p-values, one for each family](images/certificate_p_values.png)"
    yield (
        f"Pairs of samples as points. Above: a sample, and the one read after it, in one epoch of {EPOCH:,} samples. "
        f"Below: the samples at two indices, for 2,000 seeds and {LONG:,} samples. A random shuffle fills the square "
        "evenly."
    )
    yield "![Scatter plots of pairs of samples, one column for each family](images/certificate_pairs.png)"
    yield "The smallest p-value of all lengths, and how many there are; alarms are bold."
    yield p_table(found, list(PREFIXES.values()))
    counts = report["results"].get(COUNTS, {})
    num_seeds = SEEDS_OF_QUICK_COUNT if report["extent"].get("is_quick") else SEEDS_OF_COUNT
    yield (
        "Samples lost in an epoch of seed 1: up to 131,072 samples all are read, above that the first 65,536, and the "
        "low bytes of the samples at 65,536 random indices are counted. Below, how many of the 40,320 orders of 8 "
        f"samples came up with {num_seeds:,} seeds or epochs:"
    )
    names = list(dict.fromkeys(name for values in counts.values() for name in values if name != "reached"))
    rows = [[row_name(name), *[cell_of(values, name) for values in counts.values()]] for name in names]
    rows.append(["orders of 8", *[cell_of(values, "reached") for values in counts.values()]])
    yield table(["samples lost, of", *counts], rows)


def row_name(name: str) -> str:
    """Return the name of a count of lost samples, e.g. "65537" or "4294967297: low bytes", as text."""
    length, _, is_bytes = name.partition(": ")
    return f"{int(length):,}" + (": low bytes that never come, of 256" if is_bytes else "")


def cell_of(values: Mapping[str, Any], name: str) -> str:
    """Return a count as text."""
    value = values.get(name, "")
    return f"{value:,}" if isinstance(value, int) else str(value)


def draws_part(subject: str, found: Sequence[Verdict]) -> Iterator[str]:
    """Yield the tests of one kind of draws."""
    tested = [verdict for verdict in found if verdict.subject == subject and verdict.results]
    if tested:
        yield f"## {subject}"
        yield p_table(tested, list(dict.fromkeys(group for one in tested for group in by_group(subject, one.results))))


def false_alarm_part(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield how often the control fails."""
    rates = false_alarm_rates(report)
    lengths = ", ".join(f"{length:,}" for length in ALARM_LENGTHS)
    yield (
        f"NumPy's permutations with {rates[0].runs:,} other ranges of seeds, each through the tests of permutations at "
        f"the lengths {lengths}. A level of 0.05 promises that at most 5% of good families fail."
    )
    rows = [
        [f"{rate.level:g}", f"{rate.failed:,} of {rate.runs:,}", f"{rate.interval[0]:.2%} to {rate.interval[1]:.2%}"]
        for rate in rates
    ]
    yield table(["level", "runs that fail", "95% interval"], rows)
    fraction, total = fraction_below_one_percent(report)
    yield f"Of all {total:,} p-values of these runs, {fraction:.2%} are below 0.01."
    yield "![Fraction of runs that fail, by level](images/certificate_false_alarms.png)"
