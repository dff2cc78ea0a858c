from __future__ import annotations

import asyncio
import gc

import pytest
from hard_samples import HARD, Config, FailingOnce, model, only, parser, shunt
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda

from langchain_datashunt.store import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel


def test_an_error_of_the_large_model_leaves_an_incomplete_record(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    with pytest.raises(ConnectionError):
        (shunt(small, model(FailingOnce())) | parser()).invoke(HARD, config)
    sample = only(store)
    assert not sample.complete
    assert (sample.teacher_kind, sample.label) == ("nobody", None)
    assert "the line is down" in sample.problem
    assert (sample.complete_count, sample.incomplete_count) == (0, 1)


def test_a_complete_record_replaces_the_incomplete_one(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model(FailingOnce())) | parser()
    with pytest.raises(ConnectionError):
        chain.invoke(HARD, config)
    chain.invoke(HARD, config)
    sample = only(store)
    assert sample.trainable
    assert sample.problem is None
    assert (sample.complete_count, sample.incomplete_count) == (1, 1)


def test_retries_of_the_model_make_one_record_that_counts_the_attempts(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    flaky = model(FailingOnce()).with_retry(wait_exponential_jitter=False)
    (shunt(small, flaky) | parser()).invoke(HARD, config)
    sample = only(store)
    assert (sample.trainable, sample.attempts, sample.complete_count) == (True, 2, 1)


def test_retries_of_the_shunt_make_one_record(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    chain = shunt(small, model(FailingOnce())).with_retry(wait_exponential_jitter=False) | parser()
    chain.invoke(HARD, config)
    sample = only(store)
    assert (sample.trainable, sample.parsed, sample.attempts) == (True, "negative", 2)
    assert (sample.complete_count, sample.incomplete_count) == (1, 0)


def test_retries_of_the_whole_chain_after_an_unreadable_reply_make_one_record(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    replies = iter(["I cannot say.", "negative"])
    chain = (shunt(small, model(lambda _: next(replies))) | parser()).with_retry(
        retry_if_exception_type=(OutputParserException,), wait_exponential_jitter=False
    )
    chain.invoke(HARD, config)
    sample = only(store)
    assert (sample.trainable, sample.complete_count, sample.incomplete_count) == (True, 1, 0)


def test_the_teacher_is_the_fallback_that_answered(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    large = model(FailingOnce(), name="first").with_fallbacks([model("negative", name="second")])
    (shunt(small, large) | parser()).invoke(HARD, config)
    sample = only(store)
    assert sample.trainable
    assert sample.teacher.endswith("second")


def test_a_fallback_of_the_shunt_itself_leaves_its_record_incomplete(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model(FailingOnce())).with_fallbacks([RunnableLambda(lambda _: AIMessage("negative"))])
    (chain | parser()).invoke(HARD, config)
    sample = only(store)
    assert (sample.complete, sample.label) == (False, None)


def test_the_small_models_fallback_answer_is_no_label(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model(FailingOnce()), on_large_error="small") | parser()
    assert chain.invoke(HARD, config) == "positive"
    sample = only(store)
    assert (sample.route, sample.reason) == ("small_on_error", "large_error")
    assert (sample.complete, sample.label, sample.teacher_kind) == (False, None, "small")
    assert "the line is down" in sample.problem


def test_a_failed_parser_leaves_an_incomplete_record(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    with pytest.raises(OutputParserException):
        (shunt(small, model("I cannot say.")) | parser()).invoke(HARD, config)
    sample = only(store)
    assert (sample.complete, sample.label, sample.raw) == (False, None, "I cannot say.")


@pytest.mark.parametrize("on_invalid", ["small", "none"])
def test_what_a_parser_put_in_the_place_of_a_reply_is_no_label(
    store: HardSampleStore, config: Config, small: KeywordSmallModel, on_invalid: str
) -> None:
    chain = shunt(small, model("I cannot say.")) | parser(on_invalid=on_invalid)
    chain.invoke(HARD, config)
    sample = only(store)
    assert sample.complete
    assert (sample.label, sample.trainable) == (None, False)
    assert "cannot be read" in sample.problem


def test_an_error_behind_the_parser_keeps_the_record_from_training(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    def explode(_: str) -> str:
        raise RuntimeError("later")

    with pytest.raises(RuntimeError):
        (shunt(small, model()) | parser() | explode).invoke(HARD, config)
    sample = only(store)
    assert (sample.complete, sample.trainable, sample.label) == (False, False, "negative")


def test_a_stream_that_breaks_leaves_an_incomplete_record(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    with pytest.raises(ValueError, match="break"):
        list(shunt(small, model("negative it is", break_stream_after=2)).stream(HARD, config))
    assert not only(store).complete


def test_a_stream_that_was_closed_early_leaves_an_incomplete_record(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    stream = shunt(small, model("negative it is")).stream(HARD, config)
    next(stream)
    stream.close()
    del stream
    gc.collect()
    sample = only(store)
    assert (sample.complete, sample.trainable) == (False, False)
    assert "closed early" in sample.problem


async def test_an_async_stream_that_was_closed_early_leaves_an_incomplete_record(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    stream = (shunt(small, model("negative it is")) | StrOutputParser()).astream(HARD, config)
    await anext(stream)
    await stream.aclose()
    gc.collect()
    samples = list(store.iter_samples())
    assert [sample.complete for sample in samples] in ([], [False])


async def test_a_cancelled_task_leaves_an_incomplete_record(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model(delay=5)) | parser()
    task = asyncio.create_task(chain.ainvoke(HARD, config))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sample = only(store)
    assert (sample.complete, sample.label) == (False, None)


def test_one_failing_input_of_a_batch_spoils_no_other(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model(raise_on=["explode"])) | parser()
    chain.batch(["explode", "fine", "also fine"], config, return_exceptions=True)
    complete = {sample.input: sample.complete for sample in store.iter_samples()}
    assert complete == {"explode": False, "fine": True, "also fine": True}
