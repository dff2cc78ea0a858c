"""The run: train the small model, fit its policy, ask the large model about every test row, then run the cascade."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from langchain_core.runnables import Runnable, RunnableConfig, RunnableParallel, RunnablePassthrough

from langchain_datashunt.demo.large_model import CallMeter, LargeModel
from langchain_datashunt.demo.scores import Answers, Score, random_shunt, right_answers, score
from langchain_datashunt.demo.small_model import columns, fit_demo_policy, train_small, train_tfidf
from langchain_datashunt.demo.splits import Split
from langchain_datashunt.demo.texts import Snippet
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.types import ShuntMetadata, SmallModel

EXAMPLES_OF_A_KIND = 3

T = TypeVar("T")


class Progress(Protocol):
    """Is told what happens, so that it can be shown."""

    def begin(self, what: str, total: int | None = None) -> None:
        """Say that a step begins, of `total` parts where they can be counted."""

    def advance(self) -> None:
        """Say that one part of the step is done."""


@dataclass(frozen=True, slots=True)
class Example:
    """One test row, and what became of it in the cascade.

    Attributes:
        snippet: The row.
        record: What the shunt decided.
        reply: What the large model said; None for an accepted row.
        answer: The cascade's answer.
    """

    snippet: Snippet
    record: ShuntMetadata
    reply: str | None
    answer: str

    @property
    def accepted(self) -> bool:
        """Whether the small model answered."""
        return self.record["route"] == "small"

    @property
    def right(self) -> bool:
        """Whether the answer is what people said."""
        return self.answer == self.snippet.label


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a run found.

    Attributes:
        policy: The shunt's rule.
        shortfall: Why the target could not be certified; None where it was.
        scores: The TF-IDF baseline, small alone, large alone, random shunt, cascade.
        rows: What became of each test row in the cascade.
        invalid_replies: Replies of the large model alone that named no label; they count as wrong.
    """

    policy: ShuntPolicy
    shortfall: str | None
    scores: tuple[Score, ...]
    rows: tuple[Example, ...]
    invalid_replies: int

    @property
    def accepted(self) -> list[Example]:
        """The rows that the small model answered."""
        return [row for row in self.rows if row.accepted]

    @property
    def deferred(self) -> list[Example]:
        """The rows that the large model was asked about."""
        return [row for row in self.rows if not row.accepted]

    def examples(self) -> list[Example]:
        """Return the first rows of both kinds."""
        return self.accepted[:EXAMPLES_OF_A_KIND] + self.deferred[:EXAMPLES_OF_A_KIND]


def run_experiment(split: Split, large: LargeModel, *, target_risk: float, seed: int, progress: Progress) -> Outcome:
    """Run everything on the rows of `split`, and score it on its test rows.

    Args:
        split: The rows.
        large: The large model.
        target_risk: The small model's error rate, among the rows that it answers, that the policy is to certify.
        seed: Of the policy's split and of the bootstrap.
        progress: Is told of each step.
    """
    texts, labels = columns(split.test)
    progress.begin(f"training the small model on {len(split.train)} labels")
    small = train_small(split.train)
    progress.begin(f"fitting its policy on {len(split.calibration)} other rows")
    policy, shortfall = fit_demo_policy(small, split.calibration, target_risk, seed)

    progress.begin(f"the small model alone on {len(texts)} test rows")
    by_small, small_seconds = timed(lambda: most_probable(small, texts))
    n_deferred = int((~policy.accepts(small.predict_proba(texts))).sum())
    progress.begin("the TF-IDF baseline")
    tfidf = train_tfidf(split.train)
    by_tfidf, tfidf_seconds = timed(lambda: most_probable(tfidf, texts))
    progress.begin("the large model alone", total=len(texts))
    meter_alone, meter_cascade = CallMeter(progress.advance), CallMeter(progress.advance)
    by_large, large_seconds = timed(lambda: ask_large(large, texts, meter_alone))
    progress.begin("the cascade: calls of the large model", total=n_deferred)
    rows, cascade_seconds = timed(lambda: run_cascade(small, policy, large, split.test, meter_cascade))

    of_small = Answers("small alone", right_answers(by_small, labels), 0, 0, small_seconds)
    of_large = Answers(
        "LLM alone", right_answers(by_large, labels), meter_alone.calls, meter_alone.tokens, large_seconds
    )
    cascade = Answers(
        "cascade",
        right_answers([row.answer for row in rows], labels),
        meter_cascade.calls,
        meter_cascade.tokens,
        cascade_seconds,
    )
    compared = (
        Answers("TF-IDF alone", right_answers(by_tfidf, labels), 0, 0, tfidf_seconds),
        of_small,
        of_large,
        random_shunt(of_small, of_large, sum(not row.accepted for row in rows) / len(rows)),
        cascade,
    )
    reviews = [row.review for row in split.test]
    return Outcome(
        policy=policy,
        shortfall=shortfall,
        scores=tuple(score(each, cascade, reviews, seed) for each in compared),
        rows=tuple(rows),
        invalid_replies=sum(answer is None for answer in by_large),
    )


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """Return what `run` returns, and the seconds it took."""
    began = time.perf_counter()
    result = run()
    return result, time.perf_counter() - began


def most_probable(small: SmallModel, texts: Sequence[str]) -> list[str]:
    """Return the small model's answers."""
    best = np.asarray(small.predict_proba(texts)).argmax(axis=1)
    return [str(small.classes_[column]) for column in best]


def ask_large(large: LargeModel, texts: list[str], meter: CallMeter) -> list[str | None]:
    """Return the large model's answers to all texts; None is an invalid reply."""
    chain: Runnable[Any, str | None] = large.prompt() | large.chat | large.parser(on_invalid="none")
    return chain.batch(texts, config=_config(large, meter))


def run_cascade(
    small: SmallModel, policy: ShuntPolicy, large: LargeModel, rows: Sequence[Snippet], meter: CallMeter
) -> list[Example]:
    """Return what became of each row; an invalid reply gives the small model's answer."""
    parser = large.parser(on_invalid="small")
    shunt = RunnableDataShunt(small, policy=policy)
    chain = shunt | (large.prompt() | large.chat) | RunnableParallel(answer=parser, message=RunnablePassthrough())
    outputs = chain.batch([row.text for row in rows], config=_config(large, meter))
    return [_example(row, large, **output) for row, output in zip(rows, outputs, strict=True)]


def _example(row: Snippet, large: LargeModel, *, answer: str, message: Any) -> Example:
    record: ShuntMetadata = message.response_metadata["datashunt"]
    return Example(row, record, None if record["route"] == "small" else large.said(message), answer)


def _config(large: LargeModel, meter: CallMeter) -> RunnableConfig:
    return {"max_concurrency": large.concurrency, "callbacks": [meter]}
