from __future__ import annotations

import math

import pytest
from hard_samples import EASY, HARD, LABELS, Config, model, only, parser, shunt
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_datashunt.candidates import TopK
from langchain_datashunt.prompting.label_logprobs import LabelPrior
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
from langchain_datashunt.store import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel, ScriptedSmallModel


def test_an_accepted_input_makes_no_record_but_is_counted(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model()) | parser()
    chain.invoke(EASY, config)
    store.flush()
    assert list(store.iter_samples()) == []
    (traffic,) = store.stats().traffic
    assert (traffic.route, traffic.requests) == ("small", 1)


def test_a_hard_sample_holds_input_prediction_reply_and_costs(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model("The answer is negative.")) | parser()
    asked = {**config, "tags": ["customer:17"], "metadata": {"tenant": "acme", "shop": 3}}
    assert chain.invoke(HARD, asked) == "negative"
    sample = only(store)
    assert sample.input == HARD
    assert sample.request is None
    assert (sample.route, sample.reason) == ("large", "below_threshold")
    assert (sample.small_label, sample.classes) == ("positive", ("positive", "negative"))
    assert sample.probabilities == pytest.approx((0.5, 0.5))
    assert sample.threshold == 0.8
    assert (sample.raw, sample.parsed, sample.label) == ("The answer is negative.", "negative", "negative")
    assert (sample.teacher, sample.teacher_kind) == ("recordingchatmodel/RecordingChatModel", "llm")
    assert sample.complete
    assert sample.trainable
    assert sample.target == "negative"
    assert sample.input_tokens > 0
    assert sample.output_tokens == 4
    assert sample.attempts == 1
    assert sample.latency_ms is not None
    assert sample.small_latency_ms is not None
    assert sample.tags == ("customer:17",)
    assert (sample.tenant, sample.metadata) == ("acme", {"shop": 3})
    assert sample.run_id
    assert sample.trace_id
    assert sample.sampling_probability == 1.0


def test_a_mapping_is_kept_beside_the_text_that_the_small_model_saw(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    prompt = ChatPromptTemplate.from_template("{text} by {author}: one of {candidates}")
    chain = shunt(small, prompt | model(), input="text", input_key="text") | parser()
    chain.invoke({"text": HARD, "author": "x"}, config)
    assert only(store).input == HARD
    assert only(store).request == {"text": HARD, "author": "x"}


def test_log_probabilities_are_kept(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    logprobs = {"content": [{"token": "negative", "logprob": -0.1, "top_logprobs": []}]}
    reply = AIMessage("negative", response_metadata={"logprobs": logprobs})
    (shunt(small, model(lambda _: reply)) | parser()).invoke(HARD, config)
    assert only(store).logprobs == logprobs


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_teachers_distribution_over_the_candidates_is_kept(
    store: HardSampleStore, config: Config, *, asynchronous: bool
) -> None:
    top = [{"token": token, "logprob": value} for token, value in (("neutral", -0.1), ("negative", -2.0))]
    content = [{"token": "neutral", "logprob": -0.1, "top_logprobs": top}]
    reply = AIMessage("neutral", response_metadata={"logprobs": {"content": content}})
    classes = ["negative", "neutral", "positive"]
    small = ScriptedSmallModel(classes, {}, default=[0.4, 0.35, 0.25])
    reader = PromptPruningOutputParser(
        classes, label_prior=LabelPrior({"negative": -2, "neutral": 0, "positive": 0}, 9)
    )
    chain = shunt(small, model(lambda _: reply), candidates=TopK(2)) | reader
    label = await chain.ainvoke(HARD, config) if asynchronous else chain.invoke(HARD, config)
    sample = only(store)
    assert (sample.candidates, sample.classes) == (("negative", "neutral"), tuple(classes))
    assert sample.label == label == "negative"  # 0 against -0.1, less the preference
    assert sample.teacher_probabilities == pytest.approx((1 / (1 + math.exp(-0.1)), 1 / (1 + math.exp(0.1)), 0))


def test_without_log_probabilities_no_distribution_is_made_up(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    (shunt(small, model("negative")) | parser()).invoke(HARD, config)
    assert only(store).teacher_probabilities is None


def test_a_reply_without_a_parser_is_read_by_the_handler(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    shunt(small, model("**Negative**.")).invoke(HARD, config)
    sample = only(store)
    assert (sample.label, sample.parsed) == ("negative", None)


def test_a_parser_that_only_takes_the_text_does_not_hide_the_label(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    (shunt(small, model("It is negative.")) | StrOutputParser()).invoke(HARD, config)
    sample = only(store)
    assert (sample.label, sample.parsed) == ("negative", "It is negative.")


def test_a_reply_that_names_no_class_is_complete_and_trains_nothing(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    shunt(small, model("I cannot say.")).invoke(HARD, config)
    sample = only(store)
    assert sample.complete
    assert not sample.trainable
    assert sample.target is None
    assert list(store.iter_samples(trainable_only=True)) == []


def test_a_failing_small_model_leaves_a_record_without_prediction(store: HardSampleStore, config: Config) -> None:
    broken = ScriptedSmallModel(LABELS, {EASY: [0.9, 0.1]}, raise_on={HARD})
    (shunt(broken, model()) | parser()).invoke(HARD, config)
    sample = only(store)
    assert (sample.route, sample.small_label, sample.probabilities) == ("large_on_error", None, None)
    assert (sample.input, sample.label) == (HARD, "negative")


def test_equal_inputs_are_one_record_counted(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    chain = shunt(small, model()) | parser()
    for _ in range(3):
        chain.invoke(HARD, config)
    sample = only(store)
    assert (sample.complete_count, sample.answers) == (3, {"negative": 3})


def test_conflicting_answers_are_counted_beside_each_other(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    replies = iter(["negative", "positive", "negative"])
    chain = shunt(small, model(lambda _: next(replies))) | parser()
    for _ in range(3):
        chain.invoke(HARD, config)
    sample = only(store)
    assert sample.answers == {"negative": 2, "positive": 1}
    assert sample.target == "negative"


def test_an_audit_is_kept_with_its_sampling_probability(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model(), audit_rate=1.0) | parser()
    assert chain.invoke(EASY, config) == "negative"
    sample = only(store)
    assert (sample.route, sample.small_label, sample.label) == ("audit", "positive", "negative")
    assert sample.sampling_probability == 1.0
