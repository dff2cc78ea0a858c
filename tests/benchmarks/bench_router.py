"""How much the shunt costs beside plain LangChain: medians of interleaved runs with equal outputs.

Run it by ``make bench``, on a machine that does nothing else. Each line compares two ways to the same outputs on the
same inputs, which take turns. ``ratio`` is of the medians of wall time, ``CPU`` of processor time, which other work on
the machine disturbs less. The bars are what the project promises itself; a ratio above its bar makes the exit status 1.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.runnables import RunnableBranch
from numpy.typing import NDArray

from langchain_datashunt import RunnableDataShunt

EASY, HARD = "a great film", "a film"
THRESHOLD = 0.9


@dataclass(frozen=True)
class Comparison:
    """Two ways to the same outputs.

    Attributes:
        what: What is compared.
        shunt: Our way.
        other: The way it is measured against.
        bar: The largest ratio of wall times, ``median(shunt) / median(other)``, that is promised.
        rounds: How often the two take turns.
        repeats: Calls a round; the time of one call is what counts.
    """

    what: str
    shunt: Callable[[], Any]
    other: Callable[[], Any]
    bar: float
    rounds: int
    repeats: int = 1


def ask(text: str) -> str:
    """Stand for a large model that answers at once, so that only the routing around it is measured."""
    return f"asked about {text}"


class LookUp:
    """A small model that costs next to nothing: what is measured is the routing."""

    classes_ = ("positive", "negative")

    def predict_proba(self, inputs: Any) -> Any:
        """Return a sure row for the easy text, an even one for any other."""
        return np.array([[0.98, 0.02] if text == EASY else [0.5, 0.5] for text in inputs])


def branch(small: LookUp) -> Any:
    """Return the leanest routing in plain LangChain: one branch, whose condition asks the small model."""

    def is_sure(text: str) -> bool:
        return bool(small.predict_proba([text])[0].max() >= THRESHOLD)

    def answer(text: str) -> str:
        return small.classes_[int(small.predict_proba([text])[0].argmax())]

    return RunnableBranch((is_sure, answer), ask)


def comparisons() -> list[Comparison]:
    """Return what is measured."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    small = LookUp()
    ours, theirs = RunnableDataShunt(small, threshold=THRESHOLD) | ask, branch(small)
    easy, mixed = [EASY] * 1000, [EASY, HARD] * 500

    texts = twenty_word_texts(10_000)
    tfidf = make_pipeline(TfidfVectorizer(), LogisticRegression())
    tfidf.fit(texts[:2000], ["first" if text < "m" else "second" for text in texts[:2000]])
    over_tfidf = RunnableDataShunt(tfidf, threshold=THRESHOLD) | ask

    def beside_branch(what: str, run: Callable[[Any], Any], bar: float, rounds: int, repeats: int) -> Comparison:
        return Comparison(f"{what} | RunnableBranch", lambda: run(ours), lambda: run(theirs), bar, rounds, repeats)

    return [
        beside_branch("invoke, accepted", lambda chain: chain.invoke(EASY), 1.0, 41, 50),
        beside_branch("batch of 1,000, all accepted", lambda chain: chain.batch(easy), 0.55, 11, 1),
        beside_branch("batch of 1,000, half deferred", lambda chain: chain.batch(mixed), 0.8, 11, 1),
        Comparison(
            "decide_batch of 10,000 texts | bare predict_proba (TF-IDF)",
            lambda: over_tfidf.decide_batch(texts).probabilities,
            lambda: tfidf.predict_proba(texts),
            1.1,
            11,
        ),
        Comparison(
            "import langchain_datashunt | import langchain_core.runnables",
            lambda: in_a_new_process("langchain_datashunt"),
            lambda: in_a_new_process("langchain_core.runnables"),
            1.3,
            15,
        ),
    ]


def twenty_word_texts(n: int) -> list[str]:
    """Return reproducible texts of twenty words out of 5,000."""
    random = np.random.default_rng(0)
    alphabet = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(letters) for letters in random.choice(alphabet, (5000, 6))])
    return [" ".join(row) for row in words[random.integers(0, 5000, (n, 20))]]


def in_a_new_process(module: str) -> None:
    """Import a module in a new interpreter."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)  # noqa: S603  our own interpreter


def clocks() -> NDArray[np.float64]:
    """Return the clock on the wall, and the processor's: of this process, its threads and its children."""
    children = os.times()
    used = time.process_time() + children.children_user + children.children_system
    return np.array([time.perf_counter(), used])


def seconds_a_call(run: Callable[[], Any], repeats: int) -> NDArray[np.float64]:
    """Return the mean time of `repeats` calls, on both clocks."""
    started = clocks()
    for _ in range(repeats):
        run()
    return (clocks() - started) / repeats


def medians(comparison: Comparison) -> NDArray[np.float64]:
    """Return the ``(2, 2)`` medians, way by clock, after a check that the outputs of both ways are equal."""
    ways = (comparison.shunt, comparison.other)
    if not np.array_equal(ways[0](), ways[1]()):
        raise AssertionError(f"{comparison.what}: the outputs differ")
    times = np.empty((comparison.rounds, 2, 2))
    for turn in range(comparison.rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            gc.collect()  # neither pays for what the other has left behind: a collection takes as long as three batches
            times[turn, side] = seconds_a_call(ways[side], comparison.repeats)
    return np.median(times, axis=0)


def main() -> int:
    """Print the table; return 1 if a bar was missed."""
    missed = 0
    print(f"{'what | against':<62}{'shunt':>12}{'other':>12}{'ratio':>7}{'CPU':>7}{'bar':>7}")
    for comparison in comparisons():
        (ours, ours_cpu), (theirs, theirs_cpu) = medians(comparison)
        ratio = ours / theirs
        missed += ratio > comparison.bar
        verdict = "" if ratio <= comparison.bar else "  MISSED"
        ratios = f"{ratio:>7.2f}{ours_cpu / theirs_cpu:>7.2f}{comparison.bar:>7.2f}"
        print(f"{comparison.what:<62}{ours * 1e3:>9.3f} ms{theirs * 1e3:>9.3f} ms{ratios}{verdict}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
