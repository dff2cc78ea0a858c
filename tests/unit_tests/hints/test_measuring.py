"""Hints on and off over the same deferred inputs: what is asked, what is found, what the verdict says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import BaseMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from langchain_datashunt import RunnableDataShunt, ShuntPolicy, TopK
from langchain_datashunt.errors import CalibrationDataError, CompositionError
from langchain_datashunt.hints.measurement import FUSION, SMALL, HintMeasurement
from langchain_datashunt.hints.measuring import ameasure_hint, measure_hint
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
from langchain_datashunt.prompting.pruning_template import PromptPruningTemplate
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

CLASSES = ("bird", "cat", "dog")
N = 600
TEMPLATE = PromptPruningTemplate(CLASSES)
POLICY = ShuntPolicy(CLASSES, threshold=0.9)


class Population:
    """Texts ``"row 17."``: their labels, a small model right on two thirds, an LLM's answer without a hint.

    Every tenth row is accepted by the policy.
    """

    def __init__(self, plain_accuracy: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.texts = [f"row {i}." for i in range(N)]
        self.labels = rng.choice(CLASSES, N).tolist()
        self.small_says = [self._right_or_not(rng, label, 2 / 3) for label in self.labels]
        self.plain_says = [self._right_or_not(rng, label, plain_accuracy) for label in self.labels]
        rows = {text: self._row(i) for i, text in enumerate(self.texts)}
        self.small = ScriptedSmallModel(CLASSES, rows)
        self.deferred = [i for i in range(N) if i % 10]

    @staticmethod
    def _right_or_not(rng: np.random.Generator, label: str, chance: float) -> str:
        return label if rng.random() < chance else str(rng.choice([other for other in CLASSES if other != label]))

    def _row(self, i: int) -> list[float]:
        best = 0.8 if i % 10 else 0.98
        return [best if label == self.small_says[i] else (1 - best) / 2 for label in CLASSES]

    def llm(self, hinted: Callable[[int], str]) -> RecordingChatModel:
        """An LLM that answers as `hinted` says where the prompt tells an estimate."""

        def answer(messages: Sequence[BaseMessage]) -> str:
            i = int(messages[-1].text.removeprefix("row ").removesuffix("."))
            return hinted(i) if "estimates" in messages[0].text else self.plain_says[i]

        return RecordingChatModel(answers=answer)

    def measure(self, llm: Any, **options: Any) -> HintMeasurement:
        told = {"prompt": TEMPLATE, "config": {"max_concurrency": 1}, **options}
        return measure_hint(self.small, POLICY, llm, self.texts, self.labels, **told)


@pytest.fixture(scope="module")
def weak() -> Population:
    """Its LLM is right on 40 %."""
    return Population(0.4)


@pytest.fixture(scope="module")
def helped(weak: Population) -> HintMeasurement:
    """A hint after which the LLM is right on everything that is not a multiple of four."""
    return weak.measure(weak.llm(lambda i: weak.labels[i] if i % 4 else weak.small_says[i]))


def test_a_hint_that_beats_all_three_rivals_is_the_verdict(helped: HintMeasurement) -> None:
    assert helped.verdict == "soft"
    assert helped.scores["soft"].accuracy > 0.85
    assert helped.scores[SMALL].accuracy == pytest.approx(2 / 3, abs=0.06)
    assert helped.scores["none"].accuracy == pytest.approx(0.4, abs=0.06)
    low, _ = helped.scores["soft"].gain_interval
    assert 0 < low < helped.scores["soft"].gain


def test_a_weak_llm_that_copies_the_small_model_is_not_helped(weak: Population) -> None:
    found = weak.measure(weak.llm(lambda i: weak.small_says[i]))
    assert found.scores["soft"].gain_interval[0] > 0.1
    assert found.scores["soft"].repeats_its_mistakes == 1
    assert found.verdict == "none"
    assert "not shown to beat them all" in found.reason
    assert "+0.000 against small model (+0.000 to +0.000)" in found.reason


def test_anchoring_shows_where_the_small_model_is_wrong() -> None:
    strong = Population(0.9)
    found = strong.measure(strong.llm(lambda i: strong.small_says[i]))
    plain, soft = found.scores["none"], found.scores["soft"]
    assert (soft.where_small_is_right, soft.where_small_is_wrong) == (1, 0)
    assert plain.where_small_is_wrong == pytest.approx(0.9, abs=0.08)
    assert soft.gain_interval[1] < 0
    assert found.verdict == "none"


def test_a_hint_that_fusion_equals_is_not_worth_its_tokens() -> None:
    """Two independent opinions, of which the LLM says the surer one, as arithmetic would."""
    medium = Population(0.75)
    found = medium.measure(medium.llm(lambda i: medium.plain_says[i]))
    assert found.scores[FUSION].accuracy >= found.scores["soft"].accuracy
    assert found.verdict == "none"


def test_the_policy_keeps_verdict_and_evidence_and_the_template_follows_it(
    helped: HintMeasurement, weak: Population
) -> None:
    policy = ShuntPolicy.from_dict(json.loads(json.dumps(helped.apply_to(POLICY).to_dict())))
    assert policy.pruning.hints == "soft"
    assert policy.metrics["hints"]["scores"][0]["name"] == SMALL
    assert policy.metrics["hints"]["reason"] == helped.reason
    copying = weak.measure(weak.llm(lambda i: weak.small_says[i])).apply_to(POLICY)
    for told, hinted in ((policy, True), (copying, False)):
        llm = RecordingChatModel(answers="cat")
        (RunnableDataShunt(weak.small, policy=told) | (TEMPLATE | llm)).invoke("row 1.")
        assert ("estimates" in llm.calls[0].messages[0].text) == hinted


def test_accepted_rows_reach_no_llm_and_deferred_ones_are_asked_once_a_prompt(weak: Population) -> None:
    llm = weak.llm(lambda i: "cat")
    found = weak.measure(llm)
    assert sorted(call.text for call in llm.calls) == sorted([weak.texts[i] for i in weak.deferred] * 2)
    assert found.n == N
    assert found.n_tuning + found.n_scored == len(weak.deferred)
    assert set(found.rows) <= set(weak.deferred)


def test_hard_hints_are_asked_where_labels_are_left_out_and_restrict_only_their_own_prompts(weak: Population) -> None:
    llm = weak.llm(lambda i: "cat")
    found = weak.measure(llm, candidates=TopK(1), prompt=TEMPLATE)
    assert list(found.scores) == [SMALL, FUSION, "none", "soft", "hard", "both"]
    assert found.scores["none"].invalid == found.scores["soft"].invalid == 0
    assert found.scores["hard"].invalid > 0.4  # the LLM names labels that are no candidates
    assert found.scores["hard"].tokens.read < found.scores["none"].tokens.read
    assert list(weak.measure(llm, candidates=TopK(3)).scores) == [SMALL, FUSION, "none", "soft"]


def test_prompts_of_ones_own_are_compared_by_name(weak: Population) -> None:
    plain = ChatPromptTemplate([("system", "Which animal?"), ("human", "{text}")])
    transfer = ChatPromptTemplate(
        [("system", "Which animal? A second look estimates: {prediction}"), ("human", "{text}")]
    )
    llm = weak.llm(lambda i: weak.labels[i])
    found = weak.measure(llm, prompt={"transfer": transfer, "none": plain})
    assert list(found.scores) == [SMALL, FUSION, "none", "transfer"]
    assert (found.verdict, found.scores["transfer"].accuracy) == ("transfer", 1)
    kept = found.apply_to(POLICY)
    assert kept.pruning is None
    assert kept.metrics["hints"]["verdict"] == "transfer"


def test_an_invalid_reply_is_wrong_unless_the_parser_falls_back(weak: Population) -> None:
    llm = weak.llm(lambda i: "Hard to say.")
    assert weak.measure(llm).scores["soft"].accuracy == 0
    fallback = PromptPruningOutputParser(CLASSES, on_invalid="small")
    found = weak.measure(llm, parser=fallback).scores
    assert (found["soft"].invalid, found["soft"].accuracy) == (1, found[SMALL].accuracy)


def test_the_order_of_rows_changes_no_number(weak: Population, helped: HintMeasurement) -> None:
    llm = weak.llm(lambda i: weak.labels[i] if i % 4 else weak.small_says[i])
    order = np.random.default_rng(1).permutation(N)
    texts, labels = [weak.texts[i] for i in order], [weak.labels[i] for i in order]
    shuffled = measure_hint(weak.small, POLICY, llm, texts, labels, prompt=TEMPLATE, config={"max_concurrency": 1})
    assert shuffled.to_dict() == helped.to_dict()
    assert sorted(order[list(shuffled.rows)]) == sorted(helped.rows)


async def test_asynchronously_it_finds_the_same(weak: Population, helped: HintMeasurement) -> None:
    llm = weak.llm(lambda i: weak.labels[i] if i % 4 else weak.small_says[i])
    found = await ameasure_hint(weak.small, POLICY, llm, weak.texts, weak.labels, prompt=TEMPLATE)
    assert found.to_dict() == helped.to_dict()


def test_rows_that_choose_can_be_named_and_are_not_scored(weak: Population) -> None:
    chooses = [i < 100 for i in range(N)]
    found = weak.measure(weak.llm(lambda i: "cat"), tuning=chooses)
    assert (found.n_tuning, found.n_scored) == (90, 450)
    assert min(found.rows) > 100


def test_what_it_prints_names_every_way_of_answering(helped: HintMeasurement) -> None:
    printed = str(helped)
    for name in (SMALL, FUSION, "none", "soft", "hints: soft"):
        assert f"\n{name}" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": PromptPruningTemplate(CLASSES, hints="soft")}, "leave out the template's hints"),
        ({"prompt": {"soft": TEMPLATE}}, "at least one other"),
        ({"prompt": {"none": TEMPLATE, "hard": TEMPLATE}}, r"candidates=TopK\(2\)"),
    ],
)
def test_a_prompt_that_cannot_be_switched_is_refused_before_any_call(
    weak: Population, options: dict[str, Any], message: str
) -> None:
    llm = weak.llm(lambda i: "cat")
    with pytest.raises(CompositionError, match=message):
        weak.measure(llm, **options)
    assert not llm.calls


def test_replies_that_are_no_messages_are_refused(weak: Population) -> None:
    with pytest.raises(CompositionError, match="leave the parser out of llm"):
        weak.measure(RunnableLambda(lambda _: "cat").with_types(output_type=str))


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (slice(0, 1), {}, "defers 0 of 1 rows"),
        (slice(0, 5), {"tuning": 0.0}, "0 fell to tuning"),
        (slice(0, 5), {"tuning": [True]}, "for each of 5 rows"),
    ],
)
def test_too_few_rows_are_refused(weak: Population, rows: slice, options: dict[str, Any], message: str) -> None:
    llm = weak.llm(lambda i: "cat")
    with pytest.raises(CalibrationDataError, match=message):
        measure_hint(weak.small, POLICY, llm, weak.texts[rows], weak.labels[rows], prompt=TEMPLATE, **options)
    with pytest.raises(CalibrationDataError, match="one label"):
        measure_hint(weak.small, POLICY, llm, weak.texts[:2], weak.labels[:1], prompt=TEMPLATE)
