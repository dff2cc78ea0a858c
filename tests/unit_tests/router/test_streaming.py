"""stream, astream, transform and the event streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from reviews import EASY, HARD, record, shunt

from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

ANSWER = "the large model thinks so"


def stamped(chunks: list[Any]) -> list[int]:
    return [i for i, chunk in enumerate(chunks) if "datashunt" in chunk.response_metadata]


async def collected(stream: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in stream]


async def streamed(chain: Any, text: Any, mode: str, config: Any = None, **kwargs: Any) -> list[Any]:
    if mode == "stream":
        return list(chain.stream(text, config, **kwargs))
    return await collected(chain.astream(text, config, **kwargs))


both = pytest.mark.parametrize("mode", ["stream", "astream"])


@both
async def test_an_accepted_input_is_one_chunk(mode: str) -> None:
    llm = RecordingChatModel(answers=ANSWER)
    (chunk,) = await streamed(shunt() | llm, EASY, mode)
    assert type(chunk) is AIMessageChunk
    assert (chunk.content, record(chunk)["route"], chunk.chunk_position) == ("positive", "small", "last")
    assert llm.calls == []


@both
async def test_a_deferred_input_gives_the_tokens_of_the_large_branch(mode: str) -> None:
    chunks = await streamed(shunt() | RecordingChatModel(answers=ANSWER), HARD, mode)
    assert {type(chunk) for chunk in chunks} == {AIMessageChunk}
    tokens = [chunk.content for chunk in chunks if chunk.content]
    assert tokens == ["the", " ", "large", " ", "model", " ", "thinks", " ", "so"]


@both
async def test_only_the_last_chunk_carries_the_record(mode: str) -> None:
    chunks = await streamed(shunt() | RecordingChatModel(answers=ANSWER), HARD, mode)
    assert stamped(chunks) == [len(chunks) - 1]


@both
async def test_exactly_one_chunk_is_marked_as_the_last(mode: str) -> None:
    chunks = await streamed(shunt() | RecordingChatModel(answers=ANSWER), HARD, mode)
    assert len({chunk.id for chunk in chunks}) == 1
    assert "last" in {chunk.chunk_position for chunk in chunks}
    assert reduce(add, chunks).chunk_position == "last"


@pytest.mark.parametrize("text", [EASY, HARD])
@both
async def test_the_chunks_add_up_to_the_message_of_invoke(mode: str, text: str) -> None:
    chain = shunt() | RecordingChatModel(answers=ANSWER)
    total = reduce(add, await streamed(chain, text, mode))
    message = chain.invoke(text)
    assert total.content == message.content
    assert record(total) == record(message)
    assert total.usage_metadata == message.usage_metadata
    assert total.response_metadata.get("model_name") == message.response_metadata.get("model_name")


@both
async def test_the_rejected_draft_of_the_small_model_never_appears(mode: str) -> None:
    small = ScriptedSmallModel(["draft", "other"], {}, default=[0.6, 0.4])
    for chain in (
        shunt(small) | RecordingChatModel(answers=ANSWER),
        shunt(small).to(RecordingChatModel() | str_parser()),
    ):
        chunks = await streamed(chain, "x", mode)
        assert not any("draft" in (chunk if isinstance(chunk, str) else chunk.content) for chunk in chunks)


def str_parser() -> StrOutputParser:
    return StrOutputParser()


def test_the_first_token_arrives_before_the_large_model_has_finished() -> None:
    llm = RecordingChatModel(answers=ANSWER)
    stream = (shunt() | llm | StrOutputParser()).stream(HARD)
    assert next(stream) == "the"
    assert llm._running == 1
    list(stream)
    assert llm._running == 0


async def test_the_first_token_arrives_before_the_large_model_has_finished_in_async_code() -> None:
    llm = RecordingChatModel(answers=ANSWER)
    stream = (shunt() | llm | StrOutputParser()).astream(HARD)
    assert await anext(stream) == "the"
    assert llm._running == 1
    await collected(stream)
    assert llm._running == 0


@both
async def test_tokens_pass_through_a_parser_behind_the_shunt(mode: str) -> None:
    chain = shunt() | RecordingChatModel(answers="a b") | StrOutputParser()
    assert [chunk for chunk in await streamed(chain, HARD, mode) if chunk] == ["a", " ", "b"]
    assert await streamed(chain, EASY, mode) == ["positive"]


@both
async def test_a_text_branch_streams_texts(mode: str) -> None:
    chain = shunt() | (RecordingChatModel(answers="a b") | StrOutputParser())
    assert [chunk for chunk in await streamed(chain, HARD, mode) if chunk] == ["a", " ", "b"]
    assert await streamed(chain, EASY, mode) == ["positive"]


@both
async def test_an_answer_of_another_type_is_one_chunk(mode: str) -> None:
    chain = shunt(answer=lambda prediction: {"label": prediction.label}) | RunnableLambda(lambda text: {"label": text})
    assert await streamed(chain, EASY, mode) == [{"label": "positive"}]
    assert await streamed(chain, HARD, mode) == [{"label": HARD}]


@both
async def test_a_branch_that_cannot_stream_gives_one_chunk_of_content(mode: str) -> None:
    branch = RunnableLambda(AIMessage).with_types(output_type=AIMessage)
    chunks = await streamed(shunt() | branch, HARD, mode)
    assert {type(chunk) for chunk in chunks} == {AIMessageChunk}
    assert "".join(chunk.content for chunk in chunks) == HARD
    assert stamped(chunks) == [len(chunks) - 1]


@both
async def test_a_chat_model_with_streaming_disabled_still_streams_chunks(mode: str) -> None:
    chunks = await streamed(shunt() | RecordingChatModel(answers=ANSWER, disable_streaming=True), HARD, mode)
    assert {type(chunk) for chunk in chunks} == {AIMessageChunk}
    assert reduce(add, chunks).content == ANSWER
    assert stamped(chunks) == [len(chunks) - 1]


@pytest.mark.parametrize(("second_row", "content"), [([0.5, 0.5], ANSWER), ([0.99, 0.01], "positive")])
@both
async def test_three_tiers_stream_one_record_with_the_inner_one_inside(
    mode: str, second_row: list[float], content: str
) -> None:
    second = ScriptedSmallModel(["positive", "negative"], {}, default=second_row, version="second")
    chain = shunt() | (shunt(second) | RecordingChatModel(answers=ANSWER))
    chunks = await streamed(chain, HARD, mode)
    assert stamped(chunks) == [len(chunks) - 1]
    total = reduce(add, chunks)
    assert total.content == content
    assert record(total) == record(chain.invoke(HARD))
    assert record(total)["inner"]["small_model_version"] == "second"


@both
async def test_other_arguments_reach_the_large_branch_while_streaming(mode: str) -> None:
    llm = RecordingChatModel()
    await streamed(shunt() | llm, HARD, mode, None, stop=["."])
    assert llm.calls[0].kwargs == {"stop": ["."]}


@both
async def test_the_decision_reaches_the_large_branch_while_streaming(mode: str) -> None:
    llm = RecordingChatModel()
    await streamed(shunt() | llm, HARD, mode)
    assert llm.calls[0].config["configurable"]["datashunt_decision"].route == "large"


@both
async def test_the_route_switch_works_while_streaming(mode: str) -> None:
    chain = shunt() | RecordingChatModel(answers=ANSWER)
    chunks = await streamed(chain, EASY, mode, {"configurable": {"datashunt_route": "large"}})
    assert reduce(add, chunks).content == ANSWER


@both
async def test_an_unsupported_input_raises_before_any_chunk(mode: str) -> None:
    llm = RecordingChatModel()
    with pytest.raises(TypeError, match="None"):
        await streamed(shunt() | llm, None, mode)
    assert llm.calls == []


@both
async def test_an_error_before_the_first_token_falls_back_to_the_small_model_when_asked(mode: str) -> None:
    llm = RecordingChatModel(raise_on=[HARD])
    chunks = await streamed(shunt(on_large_error="small") | llm, HARD, mode)
    total = reduce(add, chunks)
    assert (total.content, record(total)["route"]) == ("positive", "small_on_error")
    assert stamped(chunks) == [len(chunks) - 1]


@pytest.mark.parametrize("fallback", ["raise", "small"])
@both
async def test_an_error_after_the_first_token_is_raised_because_tokens_cannot_be_taken_back(
    mode: str, fallback: str
) -> None:
    chain = shunt(on_large_error=fallback) | RecordingChatModel(answers=ANSWER, break_stream_after=2)
    seen: list[str] = []
    with pytest.raises(ValueError, match="break"):  # noqa: PT012  the chunks before the error matter
        if mode == "stream":
            for chunk in chain.stream(HARD):
                seen.append(chunk.content)  # noqa: PERF401  extend would lose what came before the error
        else:
            async for chunk in chain.astream(HARD):
                seen.append(chunk.content)  # noqa: PERF401  extend would lose what came before the error
    assert seen == ["the", " "]


def test_transform_takes_a_stream_of_text_and_decides_once_it_is_whole() -> None:
    chain = shunt() | RecordingChatModel(answers=ANSWER)
    assert [chunk.content for chunk in chain.transform(iter(["a great", " film"]))] == ["positive"]


async def test_atransform_takes_a_stream_of_text_and_decides_once_it_is_whole() -> None:
    async def words() -> AsyncIterator[str]:
        yield "a great"
        yield " film"

    chain = shunt() | RecordingChatModel(answers=ANSWER)
    assert [chunk.content async for chunk in chain.atransform(words())] == ["positive"]


@both
async def test_a_streaming_step_before_the_shunt_is_gathered(mode: str) -> None:
    def letters(texts: Iterator[str]) -> Iterator[str]:
        for text in texts:
            yield from text

    async def aletters(texts: AsyncIterator[str]) -> AsyncIterator[str]:
        async for text in texts:
            for letter in text:
                yield letter

    chain = RunnableGenerator(letters, aletters) | (shunt() | RecordingChatModel()) | StrOutputParser()
    assert await streamed(chain, EASY, mode) == ["positive"]


@both
async def test_a_streaming_llm_before_a_shunt_is_gathered_into_its_message(mode: str) -> None:
    chain = RecordingChatModel(answers=EASY) | StrOutputParser() | shunt().to(RecordingChatModel()) | StrOutputParser()
    assert await streamed(chain, "say something", mode) == ["positive"]


async def test_events_show_both_branches_and_the_tokens_of_the_large_one() -> None:
    chain = shunt() | RecordingChatModel(answers="a b")
    events = [event async for event in chain.astream_events(HARD, version="v2")]
    tokens = [event["data"]["chunk"].content for event in events if event["event"] == "on_chat_model_stream"]
    assert [token for token in tokens if token] == ["a", " ", "b"]
    tags = {tag for event in events for tag in event["tags"] if tag.startswith("datashunt:")}
    assert tags == {"datashunt:small", "datashunt:large"}
    assert events[0]["event"] == "on_chain_start"
    assert events[0]["data"]["input"] == HARD
    assert events[-1]["event"] == "on_chain_end"
    assert record(events[-1]["data"]["output"])["route"] == "large"


async def test_events_of_an_accepted_input_show_no_chat_model() -> None:
    events = [event async for event in (shunt() | RecordingChatModel()).astream_events(EASY, version="v2")]
    assert not [event for event in events if event["event"].startswith("on_chat_model")]
    assert events[-1]["data"]["output"].content == "positive"
    assert any("datashunt:small" in event["tags"] for event in events)


@pytest.mark.filterwarnings("ignore:astream_log is deprecated")
async def test_astream_log_ends_in_the_same_output() -> None:
    patches = [patch async for patch in (shunt() | RecordingChatModel(answers="a b")).astream_log(HARD)]
    final = reduce(add, patches).state["final_output"]
    assert final.content == "a b"
