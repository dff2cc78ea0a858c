"""What every LangChain Runnable can do, a bound shunt can: wrappers, schemas, runs, usage, cache, rate limits."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableBranch,
    RunnableConfig,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tools import tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from pydantic import BaseModel
from reviews import EASY, EASY_NEGATIVE, HARD, record, shunt, small_model

from langchain_datashunt import CompositionError, RunnableClassifier
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel


class Sentiment(BaseModel):
    """The sentiment of a review."""

    label: str


def chain_of(answer: str = "from the llm", **options: Any) -> Any:
    return shunt(**options) | RecordingChatModel(answers=answer)


def traced(chain: Runnable, value: Any, **config: Any) -> Any:
    collector = RunCollectorCallbackHandler()
    chain.invoke(value, {"callbacks": [collector], **config})
    (run,) = collector.traced_runs
    return run


def test_with_config_sets_tags_metadata_and_name_of_the_run() -> None:
    chain = chain_of().with_config(tags=["mine"], metadata={"team": "ads"}, run_name="triage")
    run = traced(chain, HARD)
    assert run.name == "triage"
    assert "mine" in run.tags
    assert run.metadata["team"] == "ads"


def test_with_config_keeps_the_single_small_call_of_a_batch() -> None:
    small = small_model()
    (shunt(small) | RecordingChatModel()).with_config(tags=["mine"]).batch([EASY, HARD])
    assert small.batch_sizes == [2]


def test_with_retry_tries_again_what_the_large_model_failed_on() -> None:
    attempts: list[str] = []

    def flaky(text: str) -> str:
        attempts.append(text)
        if len(attempts) < 3:
            raise ValueError("busy")
        return "answered"

    chain = (shunt() | RunnableLambda(flaky)).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    assert chain.invoke(HARD) == "answered"
    assert attempts == [HARD] * 3


def test_with_retry_of_a_batch_repeats_only_what_failed() -> None:
    failures = {HARD: 1}

    def flaky(text: str) -> str:
        if failures.get(text, 0):
            failures[text] -= 1
            raise ValueError("busy")
        return "answered"

    small = small_model()
    chain = (shunt(small) | RunnableLambda(flaky)).with_retry(wait_exponential_jitter=False)
    assert chain.batch([EASY, HARD, f"{HARD} 2"]) == ["positive", "answered", "answered"]
    assert small.batch_sizes == [3, 1]


def test_with_fallbacks_takes_over_where_the_shunt_fails() -> None:
    failing = shunt() | RecordingChatModel(raise_on=[HARD])
    chain = failing.with_fallbacks([RecordingChatModel(answers="from the fallback")])
    assert [message.content for message in chain.batch([EASY, HARD])] == ["positive", "from the fallback"]


def test_a_shunt_can_itself_be_a_fallback() -> None:
    chain = RecordingChatModel(raise_on=["film"]).with_fallbacks([chain_of()])
    assert chain.invoke(EASY).content == "positive"


def test_bind_hands_stop_words_to_the_large_branch_only() -> None:
    llm = RecordingChatModel()
    chain = (shunt() | llm).bind(stop=["."])
    assert chain.invoke(EASY).content == "positive"
    chain.batch([HARD])
    assert llm.calls[0].kwargs == {"stop": ["."]}


def test_with_types_changes_the_declared_types_only() -> None:
    chain = chain_of().with_types(input_type=str, output_type=AIMessage)
    assert chain.InputType is str
    assert chain.invoke(EASY).content == "positive"


def test_with_listeners_are_called() -> None:
    ended: list[Any] = []
    chain_of().with_listeners(on_end=lambda run: ended.append(run.outputs)).batch([EASY, HARD])
    assert len(ended) == 2


def test_assign_pick_and_map_work_behind_and_around_a_shunt() -> None:
    labels = shunt(input="text") | RunnableLambda(lambda value: f"asked about {value['text']}").with_types(
        output_type=str
    )
    assigned = RunnablePassthrough.assign(label=labels)
    assert assigned.invoke({"text": EASY}) == {"text": EASY, "label": "positive"}
    assert assigned.pick("label").batch([{"text": EASY}, {"text": HARD}]) == ["positive", f"asked about {HARD}"]
    texts = shunt() | RecordingChatModel(answers="from the llm") | StrOutputParser()
    assert texts.map().invoke([EASY, HARD, EASY_NEGATIVE]) == ["positive", "from the llm", "negative"]


def test_a_dict_output_of_a_shunt_can_be_picked_from() -> None:
    chain = shunt(answer=lambda prediction: {"label": prediction.label, "by": "small"}) | RunnableLambda(
        lambda text: {"label": text, "by": "large"}
    )
    assert chain.pick("by").batch([EASY, HARD]) == ["small", "large"]
    assert chain.assign(n=lambda value: len(value["label"])).invoke(EASY) == {
        "label": "positive",
        "by": "small",
        "n": 8,
    }


def test_shunts_work_side_by_side_and_inside_a_branch() -> None:
    both = RunnableParallel(one=chain_of("one"), two=chain_of("two"))
    assert {key: message.content for key, message in both.invoke(HARD).items()} == {"one": "one", "two": "two"}
    branch = RunnableBranch((lambda text: text == EASY, chain_of("first")), chain_of("second"))
    assert [message.content for message in branch.batch([EASY, HARD])] == ["positive", "second"]


def test_configurable_alternatives_choose_between_shunts() -> None:
    chain = chain_of("from one").configurable_alternatives(
        ConfigurableField(id="which"), default_key="one", two=chain_of("from two")
    )
    assert chain.invoke(HARD).content == "from one"
    assert chain.invoke(HARD, {"configurable": {"which": "two"}}).content == "from two"
    assert "datashunt_threshold" in {spec.id for spec in chain.config_specs}


def test_configurable_alternatives_can_be_the_large_branch() -> None:
    large = RecordingChatModel(answers="one").configurable_alternatives(
        ConfigurableField(id="which"), default_key="one", two=RecordingChatModel(answers="two")
    )
    chain = shunt() | large
    assert chain.invoke(EASY).content == "positive"
    assert [chain.invoke(HARD, {"configurable": {"which": key}}).content for key in ("one", "two")] == ["one", "two"]
    assert "which" in {spec.id for spec in chain.config_specs}


def test_configurable_fields_of_a_shunt_change_it_for_one_request() -> None:
    chain = chain_of().configurable_fields(threshold=ConfigurableField(id="eps"))
    assert record(chain.invoke(EASY, {"configurable": {"eps": 0.99}}))["route"] == "large"
    assert record(chain.invoke(EASY))["route"] == "small"


def test_get_prompts_finds_the_templates_of_the_large_branch() -> None:
    template = ChatPromptTemplate.from_template("{prior} {text}")
    assert template in (shunt() | (template | RecordingChatModel()) | StrOutputParser()).get_prompts()


def test_get_name_says_what_it_is_or_what_it_was_called() -> None:
    assert "DataShunt" in chain_of().get_name()
    assert chain_of(name="triage").get_name() == "triage"


def test_the_schemas_describe_texts_and_messages() -> None:
    chain = chain_of()
    assert json.dumps(chain.get_input_jsonschema())
    assert "AIMessage" in json.dumps(chain.get_output_jsonschema())
    labels = shunt() | (RecordingChatModel() | StrOutputParser())
    assert labels.get_output_jsonschema()["type"] == "string"
    assert labels.OutputType is str


@pytest.mark.parametrize("value", [EASY, [("human", EASY)], {"text": EASY}])
def test_the_input_schema_accepts_what_invoke_accepts(value: Any) -> None:
    def ask(value: Any) -> str:
        return str(value)

    chain = shunt() | RunnableLambda(ask)
    chain.get_input_schema().model_validate(value)
    assert chain.invoke(value) == "positive"


def test_the_input_schema_of_a_shunt_before_a_bare_chat_model_accepts_texts_and_messages() -> None:
    schema = chain_of().get_input_schema()
    for value in (EASY, [AIMessage("hm"), ("human", EASY)]):
        schema.model_validate(value)


def test_a_run_has_a_child_for_each_branch_that_was_taken() -> None:
    easy, hard = traced(chain_of(), EASY), traced(chain_of(), HARD)
    assert [_shunt_tags(child) for child in easy.child_runs] == [["datashunt:small"]]
    tagged = [_shunt_tags(child) for child in hard.child_runs]
    assert tagged[0] == ["datashunt:small"]
    assert set(map(tuple, tagged[1:])) == {("datashunt:large",)}
    assert hard.child_runs[-1].run_type in ("llm", "chat_model")
    assert hard.inputs["input"] == HARD
    assert record(hard.outputs["output"])["route"] == "large"


def _shunt_tags(run: Any) -> list[str]:
    return [tag for tag in run.tags or [] if tag.startswith("datashunt:")]


def test_the_small_child_run_shows_what_the_small_model_saw_and_said() -> None:
    (child, *_) = traced(
        shunt(input="text") | RunnableLambda(lambda v: "x").with_types(output_type=str), {"text": HARD}
    ).child_runs
    assert child.inputs["input"] == HARD
    outputs = json.dumps(child.outputs, default=str)
    assert "positive" in outputs
    assert "0.5" in outputs


def test_in_a_batch_each_run_has_its_own_children() -> None:
    collector = RunCollectorCallbackHandler()
    (chain_of()).batch([EASY, HARD, EASY], {"callbacks": [collector]})
    by_input = [
        (run.inputs["input"], [_shunt_tags(child)[0] for child in run.child_runs]) for run in collector.traced_runs
    ]
    small, large = "datashunt:small", "datashunt:large"
    assert sorted((text, tags[0], large in tags) for text, tags in by_input) == sorted(
        [(EASY, small, False), (EASY, small, False), (HARD, small, True)]
    )


def test_a_failing_large_model_ends_the_run_with_its_error() -> None:
    collector = RunCollectorCallbackHandler()
    chain = shunt() | RecordingChatModel(raise_on=[HARD])
    outputs = chain.batch([EASY, HARD], {"callbacks": [collector]}, return_exceptions=True)
    assert isinstance(outputs[1], ValueError)
    errors = {run.inputs["input"]: run.error for run in collector.traced_runs}
    assert errors[EASY] is None
    assert "told to raise" in errors[HARD]


def test_the_parent_run_id_and_run_id_of_the_caller_are_kept() -> None:
    run_id = uuid4()
    assert traced(chain_of(), HARD, run_id=run_id).id == run_id


def test_the_usage_callback_counts_the_large_model_only() -> None:
    usage = UsageMetadataCallbackHandler()
    chain_of("two words").batch([EASY, HARD, EASY], {"callbacks": [usage]})
    assert usage.usage_metadata["recording"]["output_tokens"] == 2


def test_a_cache_answers_the_large_model_and_leaves_the_small_one_alone() -> None:
    llm = RecordingChatModel(answers="from the llm", cache=InMemoryCache())
    small = small_model()
    chain = shunt(small) | llm
    first, second = chain.invoke(HARD), chain.invoke(HARD)
    assert (first.content, second.content) == ("from the llm", "from the llm")
    assert len(llm.calls) == 1
    assert small.calls == 2
    assert record(second)["route"] == "large"


def test_the_record_of_one_request_does_not_stay_in_the_cache() -> None:
    llm = RecordingChatModel(cache=InMemoryCache())
    chain = shunt() | llm
    chain.invoke(HARD, {"configurable": {"datashunt_threshold": 0.7}})
    assert record(chain.invoke(HARD))["threshold"] == 0.9
    assert "datashunt" not in llm.invoke(llm.calls[0].messages).response_metadata


def test_a_rate_limiter_slows_the_large_model_only() -> None:
    limiter = InMemoryRateLimiter(requests_per_second=20, check_every_n_seconds=0.005, max_bucket_size=1)
    chain = shunt() | RecordingChatModel(rate_limiter=limiter)
    started = time.perf_counter()
    chain.batch([EASY] * 50)
    assert time.perf_counter() - started < 1
    started = time.perf_counter()
    chain.batch([HARD] * 4)
    assert time.perf_counter() - started > 0.1


def test_bind_tools_is_forwarded_to_the_large_branch() -> None:
    @tool
    def search(query: str) -> str:
        """Search."""
        return query

    def call_tool(messages: Any) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "search", "args": {"query": "x"}, "id": "1"}])

    llm = RecordingChatModel(answers=call_tool)
    chain = (shunt() | llm).bind_tools([search])
    assert chain.invoke(EASY).content == "positive"
    message = chain.invoke(HARD)
    assert message.tool_calls[0]["name"] == "search"
    assert record(message)["route"] == "large"
    assert llm.calls[0].kwargs["tools"][0]["function"]["name"] == "search"


def test_with_structured_output_gives_the_schema_from_both_branches() -> None:
    def call_tool(messages: Any) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "Sentiment", "args": {"label": "negative"}, "id": "1"}])

    chain = (shunt() | RecordingChatModel(answers=call_tool)).with_structured_output(
        Sentiment, answer=lambda prediction: Sentiment(label=prediction.label)
    )
    assert chain.batch([EASY, HARD]) == [Sentiment(label="positive"), Sentiment(label="negative")]


def test_with_structured_output_without_an_answer_raises_while_building() -> None:
    with pytest.raises(CompositionError, match="answer="):
        chain_of().with_structured_output(Sentiment)


@pytest.mark.parametrize("method", ["bind_tools", "with_structured_output"])
def test_a_large_branch_without_tools_says_where_to_bind_them(method: str) -> None:
    chain = shunt() | (RecordingChatModel() | StrOutputParser())
    with pytest.raises(CompositionError, match=method):
        getattr(chain, method)([] if method == "bind_tools" else Sentiment)


def test_forwarding_leaves_the_shunt_itself_unchanged_and_keeps_its_options() -> None:
    llm = RecordingChatModel()
    chain = shunt(threshold=0.95, name="triage") | llm
    bound = chain.bind_tools([Sentiment])
    chain.invoke(HARD)
    assert llm.calls[0].kwargs == {}
    assert (bound.get_name(), bound.decide(HARD).threshold) == ("triage", 0.95)


def test_the_same_chain_serves_threads_at_the_same_time() -> None:
    small, llm = small_model(), RecordingChatModel(answers=lambda messages: messages[-1].text, delay=0.001)
    chain = shunt(small) | llm
    texts = [EASY if i % 2 else f"{HARD} {i}" for i in range(200)]
    with ThreadPoolExecutor(16) as pool:
        outputs = list(pool.map(chain.invoke, texts))
    assert small.calls == 200
    for text, message in zip(texts, outputs, strict=True):
        assert message.content == "positive" if text == EASY else text in message.content


def test_a_runnable_small_model_shows_its_runs_below_the_small_child() -> None:
    inner = RunnableLambda(lambda text: {"positive": 0.95, "negative": 0.05}).with_config(run_name="inner")
    small = RunnableClassifier(inner, classes=["positive", "negative"], version="1")
    run = traced(shunt(small) | RecordingChatModel(), EASY)
    (child,) = run.child_runs
    assert [grandchild.name for grandchild in child.child_runs] == ["inner"]


def test_config_keys_of_the_caller_reach_the_large_branch() -> None:
    llm = RecordingChatModel()
    config: RunnableConfig = {"tags": ["mine"], "metadata": {"team": "ads"}, "recursion_limit": 7}
    (shunt() | llm).invoke(HARD, config)
    sent = llm.calls[0].config
    assert "mine" in sent["tags"]
    assert sent["metadata"]["team"] == "ads"
    assert sent["recursion_limit"] == 7


def test_the_callers_config_is_not_changed() -> None:
    config: RunnableConfig = {"configurable": {"datashunt_threshold": 0.5}, "tags": ["mine"]}
    chain_of().batch([EASY, HARD], config)
    assert config == {"configurable": {"datashunt_threshold": 0.5}, "tags": ["mine"]}


def test_equal_rows_from_a_float32_model_are_taken() -> None:
    small = ScriptedSmallModel(["a", "b"], {})
    small.predict_proba = lambda inputs: np.full((len(inputs), 2), [0.95, 0.05], dtype=np.float32)
    assert (shunt(small) | RecordingChatModel()).invoke("x").content == "a"
