"""The verdict of each family: how many p-values there are, the smallest, and how many are alarms."""

from collections.abc import Mapping
from typing import Any

import attrs
from scipy import stats

from benchmarks.certificate.p_values import FALSE_ALARM, Results, alarms
from benchmarks.certificate.permutations.families import shuffles
from benchmarks.certificate.work import DRAWS, FALSE_ALARMS, PERMUTATIONS


@attrs.frozen(kw_only=True)
class Verdict:
    """What the tests of a subject say of a family."""

    subject: str
    name: str
    about: str
    is_ours: bool
    reason: str = ""
    """Why it wasn't tested."""
    results: Results = attrs.field(factory=dict, repr=False)

    @property
    def alarms(self) -> Results:
        """The p-values because of which it fails."""
        return alarms(self.results) if self.results else {}

    def __str__(self) -> str:
        if not self.results:
            return f"{self.subject}, {self.name}: not tested, {self.reason}"
        found = f"{len(self.alarms)} alarms" if self.alarms else "no alarm"
        return (
            f"{self.subject}, {self.name}: {found} in {len(self.results)}, smallest p {min(self.results.values()):.1e}"
        )


def verdicts(report: Mapping[str, Any]) -> list[Verdict]:
    """Return all verdicts, in the order of the page."""
    found = report["results"]
    kinds = {PERMUTATIONS: [(one.name, one.about, one.ours) for one in shuffles()]}
    kinds |= {
        subject: [(one.name, one.about, one.ours) for one in samplers()] for subject, (samplers, _, _) in DRAWS.items()
    }
    return [
        Verdict(
            subject=subject,
            name=name,
            about=about,
            is_ours=is_ours,
            reason=report["missing"].get(name, ""),
            results=found.get(subject, {}).get(name, {}),
        )
        for subject, families in kinds.items()
        for name, about, is_ours in families
    ]


@attrs.frozen(kw_only=True)
class Rate:
    """How many of some runs of the control failed, at a level that promises to fail at most a fraction of them."""

    level: float
    failed: int
    runs: int

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the true fraction at 95% confidence (Clopper and Pearson)."""
        bounds = stats.binomtest(self.failed, self.runs).proportion_ci()
        return float(bounds.low), float(bounds.high)


def false_alarm_rates(report: Mapping[str, Any]) -> list[Rate]:
    """Return how many runs of the control failed at the level of the verdicts, and at higher ones."""
    runs = report["results"][FALSE_ALARMS]["NumPy"].values()
    return [
        Rate(level=level, failed=sum(scaled < level for scaled, _, _ in runs), runs=len(runs))
        for level in (FALSE_ALARM, 0.01, 0.05)
    ]


def fraction_below_one_percent(report: Mapping[str, Any]) -> tuple[float, int]:
    """Return the fraction of all p-values of the control's runs below 0.01, and how many p-values there are."""
    runs = report["results"][FALSE_ALARMS]["NumPy"].values()
    total = sum(num for _, _, num in runs)
    return sum(small for _, small, _ in runs) / total, total
