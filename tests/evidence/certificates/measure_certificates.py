"""Simulate all settings, and write what docs/thresholds.md shows: the results, their table, their figure.

::

    python tests/evidence/certificates/measure_certificates.py --repetitions 2000 --out docs/figures
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields
from itertools import product
from pathlib import Path

from populations import POPULATIONS
from simulation import CONFORMAL, LEVEL, RULES, SIZES, TARGETS, Result, simulate

SHOWN = [*RULES, CONFORMAL]


def run_all(repetitions: int, workers: int) -> list[Result]:
    results: list[Result] = []
    settings = [(name, n, repetitions) for n, name in product(reversed(SIZES), POPULATIONS)]
    with ProcessPoolExecutor(workers) as pool:
        for batch in pool.map(_run, settings):
            results += batch
            print(f"{batch[0].population}, n = {batch[0].n}: done", file=sys.stderr, flush=True)
    return results


def _run(setting: tuple[str, int, int]) -> list[Result]:
    name, n, repetitions = setting
    return list(simulate(POPULATIONS[name](), n, repetitions, seed=n))


def table(results: Sequence[Result]) -> str:
    """One row a setting: for each rule the share of violations and the mean gap in coverage."""
    lines = [
        "| population | n | target | " + " | ".join(SHOWN) + " |",
        "|---|---|---|" + "---|" * len(SHOWN),
    ]
    for name, n in product(POPULATIONS, SIZES):
        lines += rows([r for r in results if (r.population, r.n) == (name, n)])
    return "\n".join(lines)


def rows(results: Sequence[Result]) -> list[str]:
    """Return the rows of one population and one number of rows."""
    found = {(r.target, r.rule): r for r in results}
    lines = []
    for target in TARGETS:
        of_rule = (found[target, rule] for rule in SHOWN)
        cells = [f"{each.violation_rate:.3f} / {each.mean_gap:+.3f}" for each in of_rule]
        lines.append(f"| {results[0].population} | {results[0].n:,} | {target:.0%} | " + " | ".join(cells) + " |")
    return lines


def figure(results: Sequence[Result], path: Path) -> None:
    """Violation rates by rule, one panel a size: the certified stays below the line, the searched bounds do not."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "certificates"
    from matplotlib import pyplot as plt

    drawing, panels = plt.subplots(1, len(SIZES), figsize=(10, 3.6), sharey=True, layout="constrained")
    for panel, n in zip(panels, SIZES, strict=True):
        for position, rule in enumerate(SHOWN):
            rates = [r.violation_rate for r in results if r.n == n and r.rule == rule]
            panel.plot([position] * len(rates), rates, "o", alpha=0.6)
        panel.axhline(LEVEL, color="black", linewidth=1, linestyle="--")
        panel.set_title(f"n = {n:,}")
        panel.set_xticks(range(len(SHOWN)), SHOWN, rotation=60)
    panels[0].set_ylabel("share of calibration sets\nwhose true risk exceeds the target")
    drawing.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    results = run_all(options.repetitions, options.workers)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "certificates.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Result)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)
    figure(results, options.out / "certificates.svg")
    print(table(results))


if __name__ == "__main__":
    main()
