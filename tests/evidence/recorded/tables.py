"""The tables of docs/evidence-recorded.md, as Markdown on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tests.evidence.recorded.outcomes import Outcome, fewer_errors


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def print_outcomes(outcomes: Sequence[Outcome], reference: Outcome) -> None:
    """Print systems side by side, each against the large model alone on the same rows."""
    header = ("system", "accuracy", "macro-F1", "errors", "large calls", "errors saved", "95 % interval (points)")
    print_table(header, (_outcome_row(outcome, reference) for outcome in outcomes))


def _outcome_row(outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
    n = len(outcome.wrong)
    errors = outcome.wrong.sum()
    shown_errors = f"{errors:.0f}" if float(errors).is_integer() else f"{errors:.1f}"
    cells = (
        outcome.name,
        f"{outcome.accuracy:.4f}",
        f"{outcome.macro_f1:.4f}",
        f"{shown_errors} of {n:,}",
        percent(outcome.call_rate),
    )
    if outcome is reference:
        return (*cells, "", "")
    difference = fewer_errors(outcome, reference)
    return (*cells, percent(difference.fewer), points(*difference.points_interval))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def points(low: float, high: float) -> str:
    return f"{100 * low:+.2f} to {100 * high:+.2f}"


def spread(values: Sequence[float], scale: float = 100, digits: int = 2) -> str:
    """Return mean ± standard deviation (lowest to highest) over splits."""
    scaled = scale * np.asarray(values)
    low, high = scaled.min(), scaled.max()
    return f"{scaled.mean():.{digits}f} ± {scaled.std(ddof=1):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
