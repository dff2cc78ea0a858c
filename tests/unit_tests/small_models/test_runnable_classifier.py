from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumps, loads
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate, HumanMessagePromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableSequence
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models import RunnableClassifier, class_names, version_of
from langchain_datashunt.types import SmallModel

CLASSES = ["negative", "neutral", "positive"]


def answering(answer: Any, **settings: Any) -> RunnableClassifier:
    """Return a classifier over a Runnable that answers everything in one way."""
    return RunnableClassifier(RunnableLambda(lambda _: answer), **({"classes": CLASSES, "version": "1"} | settings))


def test_a_mapping_fills_the_columns_in_the_order_of_the_classes() -> None:
    small = answering({"positive": 0.7, "negative": 0.3})
    assert isinstance(small, SmallModel)
    assert class_names(small) == ("negative", "neutral", "positive")
    assert version_of(small) == "1"
    assert small.probabilities_known
    assert small.predict_proba(["a", "b"]).tolist() == [[0.3, 0.0, 0.7]] * 2


@pytest.mark.parametrize(
    "answer", [("positive", 0.8), ["positive", 0.8], {"label": "positive", "confidence": 0.8, "why": "great"}]
)
def test_a_label_with_a_confidence_leaves_the_rest_to_all_others_alike(answer: Any) -> None:
    small = answering(answer, remainder="uniform")
    assert not small.probabilities_known
    assert small.predict_proba(["a"])[0] == pytest.approx([0.1, 0.1, 0.8])


def test_output_takes_the_probabilities_out_of_any_answer() -> None:
    small = answering(
        {"score": 0.25}, classes=[False, True], output=lambda a: {True: a["score"], False: 1 - a["score"]}
    )
    assert small.predict_proba(["a"]).tolist() == [[0.75, 0.25]]


def test_a_chat_model_that_states_its_confidence_is_a_small_model() -> None:
    replies = ['{"label": "positive", "confidence": 0.9}', '```json\n{"label": "neutral", "confidence": 0.5}\n```']
    chain = ChatPromptTemplate.from_template("{text}") | FakeListChatModel(responses=replies) | JsonOutputParser()
    small = RunnableClassifier(chain, classes=CLASSES, version="1", remainder="uniform")
    rows = small.predict_proba([{"text": "a"}]), small.predict_proba([{"text": "b"}])
    assert [row.argmax() for row in rows] == [2, 1]


class Batched(RunnableLambda[str, dict[str, float]]):
    """Counts what it is asked, and sees each input's config."""

    def __init__(self) -> None:
        super().__init__(lambda _: {"negative": 1.0})
        self.batches: list[tuple[str, list[str], list[Any]]] = []

    def batch(self, inputs: list[str], config: Any = None, **kwargs: Any) -> list[dict[str, float]]:  # type: ignore[override]
        self.batches.append(("batch", inputs, config))
        return super().batch(inputs, config, **kwargs)

    async def abatch(self, inputs: list[str], config: Any = None, **kwargs: Any) -> list[dict[str, float]]:  # type: ignore[override]
        self.batches.append(("abatch", inputs, config))
        return await super().abatch(inputs, config, **kwargs)


async def test_inputs_go_through_one_batch_with_a_config_each() -> None:
    runnable = Batched()
    small = RunnableClassifier(runnable, classes=CLASSES, version="1")
    configs: list[RunnableConfig] = [{"tags": ["first"]}, {"tags": ["second"]}]
    assert small.takes_configs
    assert (
        small.predict_proba(["a", "b"], configs=configs) == await small.apredict_proba(["a", "b"], configs=configs)
    ).all()
    assert small.predict_proba([]).shape == (await small.apredict_proba([])).shape == (0, 3)
    assert runnable.batches == [("batch", ["a", "b"], configs), ("abatch", ["a", "b"], configs)]


async def test_the_runs_of_the_runnable_are_seen_by_the_callbacks_of_each_input() -> None:
    small = answering({"negative": 1.0})
    first, second = RunCollectorCallbackHandler(), RunCollectorCallbackHandler()
    configs: list[RunnableConfig] = [{"callbacks": [first]}, {"callbacks": [second]}]
    small.predict_proba(["a", "b"], configs=configs)
    await small.apredict_proba(["a", "b"], configs=configs)
    assert [run.inputs["input"] for run in first.traced_runs] == ["a", "a"]
    assert [run.inputs["input"] for run in second.traced_runs] == ["b", "b"]


def test_a_failing_runnable_raises_its_own_error() -> None:
    def fail(_: str) -> None:
        msg = "the server is down"
        raise ConnectionError(msg)

    with pytest.raises(ConnectionError, match="down"):
        RunnableClassifier(RunnableLambda(fail), classes=CLASSES, version="1").predict_proba(["a"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"positive": 0.7}, "sum to 0.7"),
        ({"great": 1.0}, r"names 'great', which is none of \['negative', 'neutral', 'positive'\]"),
        ({"positive": "high"}, "a probability is a number; got 'high'"),
        ({"positive": float("nan"), "negative": 1.0}, "not finite"),
        ({"positive": 1.5, "negative": -0.5}, r"leave \[0, 1\]"),
        ({}, "sum to 0"),
        (("positive", 0.8), "say remainder='uniform'"),
        ("positive", "mapping from label to probability"),
        (None, "got None"),
    ],
)
def test_an_answer_that_is_no_distribution_is_refused_and_shown(answer: Any, said: str) -> None:
    with pytest.raises(SmallModelError, match=said):
        answering(answer).predict_proba(["a"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"positive": 0.7, "negative": 0.3}, "'label' and 'confidence'"),
        (("great", 0.8), "names 'great'"),
        (("positive", None), "a probability is a number"),
        (("positive", 80), "lies between 1/3 and 1"),
        (("positive", 0.2), "another label would be the more probable one"),
        (("positive", float("nan")), "lies between"),
        ("positive", "a pair"),
    ],
)
def test_a_confidence_that_contradicts_its_label_is_refused(answer: Any, said: str) -> None:
    with pytest.raises(SmallModelError, match=said):
        answering(answer, remainder="uniform").predict_proba(["a"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"remainder": "even"}, "'uniform'; got 'even'"),
        ({"version": ""}, "a version is a string"),
        ({"classes": ["a"]}, "at least two"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SmallModelError, match=said):
        answering({}, **settings)


def test_a_function_must_be_wrapped_to_be_a_runnable() -> None:
    with pytest.raises(SmallModelError, match="RunnableLambda"):
        RunnableClassifier(lambda _: {}, classes=CLASSES, version="1")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_it_is_pickled_and_written_down_with_its_runnable() -> None:
    chain = ChatPromptTemplate.from_template("{text}") | FakeListChatModel(responses=["{}"]) | JsonOutputParser()
    small = RunnableClassifier(chain, classes=CLASSES, version="1", remainder="uniform")
    classes = [
        RunnableClassifier, RunnableSequence, ChatPromptTemplate, HumanMessagePromptTemplate, PromptTemplate,
        FakeListChatModel, JsonOutputParser,
    ]  # fmt: skip
    assert pickle.loads(pickle.dumps(small)) == small
    written = dumps(RunnableClassifier(ChatPromptTemplate.from_template("{a}"), classes=CLASSES, version="1"))
    again = loads(written, allowed_objects=classes, valid_namespaces=["langchain_datashunt"])
    assert again.classes_ == small.classes_
    assert isinstance(again.runnable, ChatPromptTemplate)
