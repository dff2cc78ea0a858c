"""Simulate streams of audits, look at the live bound after every one, and count false alarms and delays.

All streams of a setting are played at once, with the bets that `LiveBound` plays; a unit test holds both together. Run
as a script to print the tables of docs/audits.md::

    python tests/evidence/audits/live_bound_streams.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.bounds.betting import LOG_ODDS, RestartingBets, capital_on_less
from langchain_datashunt.bounds.live_bound import LiveBound

Floats = NDArray[np.float64]
LEVEL = 0.05
LIMIT = 1 / LEVEL


@dataclass(frozen=True)
class Traffic:
    """Audits of accepted inputs in one or two strata: audit rates, shares and miss rates."""

    name: str
    audit_rates: tuple[float, ...]
    shares: tuple[float, ...]
    miss_rates: tuple[float, ...]
    target: float
    course: Callable[[Floats], Floats] = np.ones_like
    """By which the miss rates are multiplied, at times between 0 and 1."""

    @property
    def rate(self) -> float:
        """Miss rate of the accepted inputs."""
        return float(np.dot(self.shares, self.miss_rates))

    def draw(self, streams: int, time: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return, for one audit in each stream, weights, and weights of the misses."""
        audited = np.multiply(self.shares, self.audit_rates)
        stratum = np.searchsorted(np.cumsum(audited) / audited.sum(), rng.random(streams)) if len(audited) > 1 else 0
        weights = min(self.audit_rates) / np.asarray(self.audit_rates)[stratum]
        rates = np.asarray(self.miss_rates)[stratum] * self.course(np.array([time]))
        return np.broadcast_to(weights, streams), weights * (rng.random(streams) < rates)


def _waves(time: Floats) -> Floats:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * 3 * time))


IN_CONTROL = (
    Traffic("5 %, all the time", (0.02,), (1.0,), (0.05,), 0.05),
    Traffic("2 %, all the time", (0.02,), (1.0,), (0.02,), 0.02),
    Traffic("waves between 0 and 5 %", (0.02,), (1.0,), (0.05,), 0.05, _waves),
    Traffic("5 %, audit rates 2 % and 10 %", (0.02, 0.1), (0.5, 0.5), (0.02, 0.08), 0.05),
)


@dataclass(frozen=True)
class FalseAlarms:
    """Shares of streams in which a rule erred at any moment, all looked at after every audit."""

    traffic: str
    streams: int
    audits: int
    live: float
    """The alarm of the live bound."""
    live_upper: float
    """Its upper bound fell below the average rate so far."""
    unweighted: float
    """The alarm without weights."""
    peeked: float
    """A fixed-sample exact lower limit (Clopper-Pearson, 95 %) passed the target."""


def false_alarms(traffic: Traffic, streams: int, audits: int, seed: int) -> FalseAlarms:
    from scipy.stats import binom

    rng = np.random.default_rng(seed)
    live, unweighted = (RestartingBets(np.array([traffic.target]), (streams,)) for _ in range(2))
    critical = binom.isf(LEVEL, np.arange(audits + 1), traffic.target) + 1  # least misses with a chance below LEVEL
    ever = {name: np.zeros(streams, bool) for name in ("live", "live_upper", "unweighted", "peeked")}
    misses, hits = np.zeros(streams), np.zeros(streams)
    times = np.arange(1, audits + 1) / audits
    averages = traffic.rate * np.cumsum(traffic.course(times)) / np.arange(1, audits + 1)
    for t in range(1, audits + 1):
        weights, weighted_misses = traffic.draw(streams, times[t - 1], rng)
        hits += weighted_misses
        misses += weighted_misses > 0
        live.play(weighted_misses, weights)
        unweighted.play(weighted_misses > 0, np.ones(streams))
        ever["live"] |= live.capital[:, 0] >= LIMIT
        ever["live_upper"] |= capital_on_less(hits, live.weight, averages[t - 1]) >= LIMIT
        ever["unweighted"] |= unweighted.capital[:, 0] >= LIMIT
        ever["peeked"] |= misses >= critical[t]
    return FalseAlarms(traffic.name, streams, audits, **{name: float(erred.mean()) for name, erred in ever.items()})


@dataclass(frozen=True)
class Delays:
    """What one rule did on streams of requests whose miss rate rises from `before` to `after` at request `shift`."""

    rule: str
    before: float
    after: float
    target: float
    shift: int
    streams: int
    false_alarms: float
    """Share of streams with an alarm before the shift."""
    detected: float
    """Share of the others with an alarm before their end; the rest is censored, and counted as later than all."""
    audits: tuple[float, ...]
    """Delay at the quantiles `QUANTILES` of these, in audits."""
    requests: tuple[float, ...]
    """Likewise in accepted requests."""


QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Shift:
    """Streams in which the miss rate rises once."""

    before: float
    after: float
    shift: int
    requests: int = 150_000
    audit_rate: float = 0.02

    def draw(self, streams: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the numbers of the audited requests and their misses, one row a stream; some lie past the end."""
        rng = np.random.default_rng(seed)
        mean = self.requests * self.audit_rate
        columns = int(mean + 6 * np.sqrt(mean))
        requests = np.cumsum(rng.geometric(self.audit_rate, (streams, columns)), axis=1)
        return requests, rng.random(requests.shape) < np.where(requests > self.shift, self.after, self.before)


Rule = Callable[[NDArray[np.bool_], float, float], NDArray[np.int64]]
"""From misses, one row a stream, the target and the error level to the index of the audit that sets the alarm off; to
the number of columns where none does."""


def with_restarts(misses: NDArray[np.bool_], target: float, level: float = LEVEL) -> NDArray[np.int64]:
    bets = RestartingBets(np.array([target]), (len(misses),))
    capitals = np.empty(misses.shape)
    for t in range(misses.shape[1]):
        bets.play(misses[:, t], 1.0)
        capitals[:, t] = bets.capital[:, 0]
    return _first(capitals >= 1 / level)


def without_restarts(misses: NDArray[np.bool_], target: float, level: float = LEVEL) -> NDArray[np.int64]:
    counts, n = np.cumsum(misses, axis=1), np.arange(1, misses.shape[1] + 1)
    capital = np.zeros(misses.shape)
    for log_odds in LOG_ODDS:
        capital += np.exp(counts * log_odds - n * np.log1p(target * np.expm1(log_odds))) / len(LOG_ODDS)
    return _first(capital >= 1 / level)


def mapie_empirical_bernstein(misses: NDArray[np.bool_], target: float, level: float = LEVEL) -> NDArray[np.int64]:
    """The bound of MAPIE's RiskMonitoring, at the whole error level."""
    from mapie.exchangeability_testing.bounds import conjugate_mixture_empirical_bernstein_bound as bound

    rows = [bound(row.astype(float), v_opt=1, alpha=level, bound_side="lower") for row in misses]
    return _first(np.asarray(rows) > target)


LIVE, PLAIN, MAPIE = "live bound", "the same without restarts", "MAPIE's empirical Bernstein bound (50 streams)"
MAPIES_SHIFT = 50_000
"""It takes a second a stream, and is played in one setting only."""
RULES: dict[str, Rule] = {LIVE: with_restarts, PLAIN: without_restarts, MAPIE: mapie_empirical_bernstein}


def _first(crossed: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1), crossed.shape[1])


def delays(rule: str, shift: Shift, target: float, streams: int, seed: int, *, level: float = LEVEL) -> Delays:
    requests, misses = shift.draw(streams, seed)
    first = RULES[rule](misses, target, level)
    inside = first < requests.shape[1]
    at = np.where(inside, requests[np.arange(streams), np.minimum(first, requests.shape[1] - 1)], np.inf)
    at = np.where(at > shift.requests, np.inf, at)
    early = at <= shift.shift
    audits_before = (requests <= shift.shift).sum(axis=1)
    in_audits = np.where(np.isinf(at), np.inf, first + 1 - audits_before)[~early]
    in_requests = (at - shift.shift)[~early]

    def quantiles(values: Floats) -> tuple[float, ...]:
        return tuple(np.quantile(values, QUANTILES, method="inverted_cdf").tolist())

    return Delays(
        rule,
        shift.before,
        shift.after,
        target,
        shift.shift,
        streams,
        float(early.mean()),
        float(np.isfinite(in_requests).mean()),
        quantiles(in_audits),
        quantiles(in_requests),
    )


SHIFTS = tuple(Shift(before, 2 * before, shift) for before in (0.05, 0.02) for shift in (0, 50_000, 100_000))


def against_calibration(shift: Shift, rows: int, streams: int, seed: int) -> Delays:
    """Play `LiveBound.against_calibration`, after as many misses in accepted calibration rows as are expected."""
    bound = LiveBound.against_calibration("error", round(shift.before * rows), rows, lowest_audit_rate=0.02)
    played = delays(LIVE, shift, bound.target, streams, seed, level=1 - bound.confidence_level)
    return replace(played, rule=f"live bound, against {rows:,} calibration rows")


def played(shift: Shift, streams: int, seed: int) -> list[Delays]:
    """Play all rules on the same streams, the live bound first; MAPIE's where it is installed."""
    found = [delays(rule, shift, shift.before, streams, seed) for rule in (LIVE, PLAIN)]
    found += [against_calibration(shift, rows, streams, seed) for rows in (2000, 20_000)]
    if shift.shift == MAPIES_SHIFT and find_spec("mapie") is not None:
        found.append(delays(MAPIE, shift, shift.before, min(streams, 50), seed))
    return found


def print_false_alarms(r: FalseAlarms) -> None:
    print(f"| {r.traffic} | {r.live:.3f} | {r.live_upper:.3f} | {r.unweighted:.3f} | {r.peeked:.3f} |", flush=True)


def print_delays(d: Delays) -> None:
    print(
        f"| {d.before:.0%} to {d.after:.0%} | {d.shift:,} | {d.rule} | {d.target:.4f} | {d.false_alarms:.3f} | "
        f"{d.detected:.3f} | {_shown(d.audits)} | {_shown(d.requests)} |",
        flush=True,
    )


def main(streams: int = 1000, audits: int = 20_000) -> None:
    print("| accepted inputs | live bound: false alarms | its upper bound | without weights | peeked exact limit |")
    print("|---|---|---|---|---|")
    for seed, traffic in enumerate(IN_CONTROL):
        print_false_alarms(false_alarms(traffic, streams, audits, seed))
    print("\n| rise | after request | rule | target | false | detected | delay in audits | in requests |")
    print("|---|---|---|---|---|---|---|---|")
    for seed, shift in enumerate(SHIFTS):
        for found in played(shift, streams, seed):
            print_delays(found)


def _shown(quantiles: tuple[float, ...]) -> str:
    return ", ".join("censored" if np.isinf(value) else f"{value:,.0f}" for value in quantiles)


if __name__ == "__main__":
    main()
