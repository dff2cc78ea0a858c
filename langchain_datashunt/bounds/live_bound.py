"""`LiveBound`: bounds on a rate that hold at every moment, and an alarm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from langchain_datashunt.bounds.audit_estimates import AuditCounts, Quantity, estimate_rate
from langchain_datashunt.bounds.betting import RestartingBets, capital_on_less
from langchain_datashunt.errors import AuditError
from langchain_datashunt.types import FloatArray
from langchain_datashunt.whole_files import write_whole

FORMAT = "langchain-datashunt/live-bound"
FORMAT_VERSION = 1

_STEP = 1.05
"""Ratio of the rates on which the lower bound is read: it is rounded down by at most 5 % of itself."""

_BELOW_TARGET = 48
"""Such steps below the target: bounds down to a tenth of it are read."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rate is shown to have passed its target.

    Attributes:
        quantity: ``disagreement`` with the LLM, or ``error``, among accepted inputs.
        target: The rate that must not be passed.
        lower: The lower bound that reached it.
        estimate: The rate of all audits up to then; lower than `lower` where the rate rose late.
        audits: Audits up to then.
        confidence_level: The chance of a false alarm, ever, is at most one minus this.
    """

    quantity: Quantity
    target: float
    lower: float
    estimate: float
    audits: int
    confidence_level: float

    def __str__(self) -> str:
        """Return it as it is logged."""
        return (
            f"{self.quantity} among accepted inputs has passed its target {self.target:g}: it is or was at least "
            f"{self.lower:.4f} (confidence level {self.confidence_level:g} at any moment; {self.audits} audits)"
        )


class LiveBound:
    """Bounds on the disagreement or the error rate among accepted inputs, read at any moment, as often as you like.

    Two statements, each with probability at least `confidence_level`, at *all* moments together:

    * The rate is, or was at some time, at least `lower`. So if it never passes the target, no alarm ever goes off.
    * The rate was not above `upper` all the time. While it is constant, that is: it is at most `upper`; if all audits
      had one rate, the average so far is at most `upper`. A late rise is the lower bound's business.

    The alarm goes off once, when `lower` reaches the target. Then mend what is wrong, and start a new bound (with a
    chance of a false alarm of its own); do so too when the policy changes. Not safe in threads;
    `langchain_datashunt.callbacks.audit_monitor.AuditMonitor` is.

    What is assumed: every accepted input is audited at random with the probability that is told, and whether an audit
    gets its label does not depend on what the label would be.

    Args:
        quantity: What a miss is: ``disagreement`` with the LLM (audits answered by it), or ``error`` (by people).
        target: The rate that must not be passed, in (0, 1).
        lowest_audit_rate: The lowest sampling probability that audits will have, in (0, 1]: the `audit_rate` of the
            shunt, or the smallest one of several. Audits of larger rates count less, so that all stand for the accepted
            inputs.
        confidence_level: In (0, 1).

    Raises:
        AuditError: A number out of its range.

    Example:
        >>> bound = LiveBound("disagreement", target=0.05, lowest_audit_rate=0.02)
        >>> bound.update([False] * 300, 0.02)
        >>> round(bound.upper, 3)
        0.015
        >>> print(bound.update([True, False] * 20, 0.02))
        disagreement among accepted inputs has passed its target 0.05: it is or was at least 0.0579
        (confidence level 0.95 at any moment; 315 audits)
    """

    def __init__(
        self, quantity: Quantity, target: float, *, lowest_audit_rate: float, confidence_level: float = 0.95
    ) -> None:
        """Start without audits."""
        if quantity not in ("disagreement", "error"):
            raise AuditError(f"quantity is 'disagreement' or 'error', got {quantity!r}")
        for name, value in (("target", target), ("confidence_level", confidence_level)):
            if not 0 < value < 1:
                raise AuditError(f"{name} must lie strictly between 0 and 1, got {value!r}")
        if not 0 < lowest_audit_rate <= 1:
            raise AuditError(f"lowest_audit_rate must lie in (0, 1], got {lowest_audit_rate!r}")
        self.quantity: Quantity = quantity
        self.target = float(target)
        self.lowest_audit_rate = float(lowest_audit_rate)
        self.confidence_level = float(confidence_level)
        self.audits = 0
        self.lower = 0.0
        self.alarm: Alarm | None = None
        self._hits = 0.0
        self._rates = _rates_around(self.target)
        self._bets = RestartingBets(self._rates)

    @classmethod
    def against_calibration(
        cls, quantity: Quantity, misses: int, rows: int, *, lowest_audit_rate: float, confidence_level: float = 0.95
    ) -> LiveBound:
        """Return a bound whose alarm says that the rate has become larger than it was at calibration.

        What was measured is itself uncertain: half of the error level goes into an exact upper limit of it, which is
        the target, and half into the live bound. Needs SciPy, once.

        Args:
            quantity: As in the class.
            misses: Accepted calibration rows on which the small model disagreed, or erred.
            rows: Accepted calibration rows, of none of which the small model or the threshold had seen the label.
            lowest_audit_rate: As in the class.
            confidence_level: Of both together.
        """
        half = (1 - confidence_level) / 2
        counts = AuditCounts(np.ones(1), np.array([rows]), np.array([misses]))
        target = estimate_rate(quantity, counts, 1 - 2 * half).high
        return cls(quantity, target, lowest_audit_rate=lowest_audit_rate, confidence_level=1 - half)

    def update(self, misses: ArrayLike, sampling_probabilities: ArrayLike) -> Alarm | None:
        """Add audits, in the order in which they happened; return the alarm if they set it off.

        Args:
            misses: ``(n,)`` bool, or one.
            sampling_probabilities: ``(n,)`` in [lowest_audit_rate, 1], or one for all.

        Raises:
            AuditError: A sampling probability below `lowest_audit_rate`; nothing is added.
        """
        given, missed = np.broadcast_arrays(np.asarray(sampling_probabilities, float), np.atleast_1d(misses))
        if not np.all((missed == 0) | (missed == 1)):
            raise AuditError(f"a miss is True or False, got {np.unique(missed)[:5]}")
        if not (np.all(given >= self.lowest_audit_rate) and np.all(given <= 1)):
            raise AuditError(
                f"sampling probabilities lie between lowest_audit_rate={self.lowest_audit_rate:g} and 1, got "
                f"{np.unique(given)[:5]}; start a bound with the lowest one that you use"
            )
        before = self.alarm
        for weight, miss in zip((self.lowest_audit_rate / given).tolist(), missed.astype(bool).tolist(), strict=True):
            self._add(weight, miss=miss)
        return self.alarm if before is None else None

    def _add(self, weight: float, *, miss: bool) -> None:
        hits = weight if miss else 0.0
        self._bets.play(hits, weight)
        self._hits += hits
        self.audits += 1
        refuted = np.flatnonzero(self._bets.capital >= 1 / (1 - self.confidence_level))
        if len(refuted):
            self.lower = max(self.lower, float(self._rates[refuted[-1]]))
        if self.alarm is None and self.lower >= self.target:
            rate = self._hits / float(self._bets.weight)
            self.alarm = Alarm(self.quantity, self.target, self.lower, rate, self.audits, self.confidence_level)

    @property
    def estimate(self) -> float | None:
        """The rate of all audits so far, weighted; None without audits."""
        return self._hits / float(self._bets.weight) if self.audits else None

    @property
    def upper(self) -> float:
        """The upper bound; 1 without audits."""
        low, high = 0.0, 1.0
        for _ in range(40):  # halvings: the bound is exact to the last digit that matters, and errs upward
            middle = (low + high) / 2
            refuted = capital_on_less(self._hits, self._bets.weight, middle) >= 1 / (1 - self.confidence_level)
            low, high = (low, middle) if refuted else (middle, high)
        return high

    def __str__(self) -> str:
        """Return it as it is printed."""
        estimate = "no audits yet" if self.estimate is None else f"{self.estimate:.4f} in {self.audits} audits"
        state = "no alarm" if self.alarm is None else f"ALARM after {self.alarm.audits} audits"
        return (
            f"{self.quantity} among accepted inputs: {estimate}, bounds {self.lower:.4f} and {self.upper:.4f} "
            f"(each at confidence level {self.confidence_level:g} at any moment), target {self.target:g}: {state}"
        )

    def summary(self) -> dict[str, Any]:
        """Return what `str` says, as plain JSON."""
        return {
            "quantity": self.quantity,
            "target": self.target,
            "confidence_level": self.confidence_level,
            "audits": self.audits,
            "estimate": self.estimate,
            "lower": self.lower,
            "upper": self.upper,
            "alarm": None if self.alarm is None else asdict(self.alarm),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, with which a service resumes the bound exactly; about 20 kB, whatever the audits."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "quantity": self.quantity,
            "target": self.target,
            "lowest_audit_rate": self.lowest_audit_rate,
            "confidence_level": self.confidence_level,
            "audits": self.audits,
            "lower": self.lower,
            "alarm": None if self.alarm is None else asdict(self.alarm),
            "hits": self._hits,
            "weight": float(self._bets.weight),
            "cash": float(self._bets.cash),
            "placed": self._bets.placed.tolist(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> LiveBound:
        """Return the bound as it was.

        Raises:
            AuditError: It is no such record, or of another version.
        """
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            raise AuditError(f"this is no live bound: it has no 'format': {FORMAT!r}")
        if record.get("format_version") != FORMAT_VERSION:
            found = record.get("format_version")
            raise AuditError(f"this live bound has format version {found!r}, this package reads {FORMAT_VERSION}")
        try:
            bound = cls(
                record["quantity"],
                record["target"],
                lowest_audit_rate=record["lowest_audit_rate"],
                confidence_level=record["confidence_level"],
            )
            bound.audits, bound.lower, bound._hits = (
                int(record["audits"]),
                float(record["lower"]),
                float(record["hits"]),
            )
            bound.alarm = None if record["alarm"] is None else Alarm(**record["alarm"])
            bound._bets.weight, bound._bets.cash = (
                np.asarray(record["weight"], float),
                np.asarray(record["cash"], float),
            )
            placed = np.asarray(record["placed"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise AuditError(f"this record of a live bound is malformed: {type(error).__name__}: {error}") from error
        if placed.shape != bound._bets.placed.shape or not np.all(placed >= 0):
            raise AuditError(f"this record of a live bound is malformed: 'placed' has shape {placed.shape}")
        bound._bets.placed = placed
        return bound

    def save(self, path: str | Path) -> None:
        """Write it as a JSON file, all or nothing."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> LiveBound:
        """Read what `save` wrote.

        Raises:
            AuditError: It is not that.
        """
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise AuditError(f"{str(path)!r} is no live bound: it is not JSON ({error})") from error
        return cls.from_dict(record)


def write_json(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file, all or nothing."""
    write_whole(path, json.dumps(record))


def _rates_around(target: float) -> FloatArray:
    """Return the rates on which the lower bound is read: ascending, the target among them."""
    above = int(np.log(0.99 / target) / np.log(_STEP)) if target < 0.99 else 0  # noqa: PLR2004  the largest rate read
    return np.asarray(target * _STEP ** np.arange(-_BELOW_TARGET, above + 1.0))
