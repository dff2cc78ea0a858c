"""A text goes through one prompt into every branch that starts with a chat model, a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from langchain_datashunt import PromptTransferTemplate, RunnableDataShunt, Subtask
from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

LABELS = ["no", "yes"]


class Counting:
    """A small model that counts its calls, and fails on one text."""

    version = "counting"

    def __init__(self, *labels: str, fails_on: str | None = None) -> None:
        self.classes_ = labels
        self.calls: list[int] = []
        self.fails_on = fails_on

    def predict_proba(self, texts: Sequence[str]) -> Any:
        self.calls.append(len(texts))
        if self.fails_on in texts:
            raise ValueError("no such text")
        return np.tile([0.9, 0.1], (len(texts), 1))


def subtasks(**options: Any) -> dict[str, Counting]:
    return {name: Counting(f"{name} 1", f"{name} 2", **options) for name in ("aspect", "language", "topic")}


def transfer(models: dict[str, Counting], **options: Any) -> PromptTransferTemplate:
    lines = "\n".join(f"Its {name} is {{{name}}}." for name in models)
    return PromptTransferTemplate(
        ChatPromptTemplate([("system", f"Judge.\n{lines}"), ("human", "{text}")]),
        [Subtask(name, model, min_confidence=0.5) for name, model in models.items()],
        **options,
    )


def shunt(prompt: Any, llm: Any, **options: Any) -> RunnableDataShunt:
    small = ScriptedSmallModel(LABELS, {"easy": [0.01, 0.99]}, default=[0.5, 0.5])
    return RunnableDataShunt(small, threshold=0.9, prompt=prompt, large=llm, **options)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_batch_of_1000_makes_three_small_calls_for_three_subtasks(*, asynchronous: bool) -> None:
    models = subtasks()
    llm = RecordingChatModel(answers="yes")
    chain = shunt(transfer(models), llm)
    texts = ["easy" if i % 4 == 0 else f"text {i}" for i in range(1000)]
    answers = await chain.abatch(texts) if asynchronous else chain.batch(texts)
    assert [answer.text for answer in answers] == ["yes"] * 1000
    assert {name: model.calls for name, model in models.items()} == {name: [750] for name in models}
    assert len(llm.calls) == 750
    assert (
        llm.calls[0].messages[0].text
        == "Judge.\nIts aspect is aspect 1.\nIts language is language 1.\nIts topic is topic 1."
    )


async def test_one_text_gets_the_same_prompt_in_every_way_of_running() -> None:
    llm = RecordingChatModel(answers="yes")
    chain = shunt(transfer(subtasks()), llm)
    chain.invoke("a text")
    list(chain.stream("a text"))
    await chain.ainvoke("a text")
    assert [chunk async for chunk in chain.astream("a text")]
    assert all(call.messages == llm.calls[0].messages for call in llm.calls)
    assert len(llm.calls) == 4


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_prompt_that_fails_on_one_input_is_that_inputs_error(*, asynchronous: bool) -> None:
    models = {"aspect": Counting("a", "b", fails_on="broken")}
    chain = shunt(transfer(models, on_error="raise"), RecordingChatModel(answers="yes"))
    texts = ["one", "broken", "easy", "two"]
    run = chain.abatch(texts, return_exceptions=True) if asynchronous else None
    outputs = await run if run is not None else chain.batch(texts, return_exceptions=True)
    assert [getattr(output, "content", type(output)) for output in outputs] == ["yes", ValueError, "yes", "yes"]
    with pytest.raises(ValueError, match="no such text"):
        chain.batch(texts)
    with pytest.raises(ValueError, match="no such text"):
        list(chain.stream("broken"))


def test_a_prompt_that_fails_falls_back_to_the_small_model_where_the_user_chose_so() -> None:
    models = {"aspect": Counting("a", "b", fails_on="broken")}
    llm = RecordingChatModel(answers="yes")
    chain = shunt(transfer(models, on_error="raise"), llm, on_large_error="small")
    broken, fine = chain.batch(["broken", "fine"])
    assert broken.response_metadata["datashunt"]["route"] == "small_on_error"
    assert fine.response_metadata["datashunt"]["route"] == "large"
    assert chain.invoke("broken").response_metadata["datashunt"]["error"] == "ValueError: no such text"
    (chunk,) = chain.stream("broken")
    assert chunk.response_metadata["datashunt"]["route"] == "small_on_error"
    assert len(llm.calls) == 1


BRANCHES = {
    "alone": lambda llm: llm,
    "with a parser": lambda llm: llm | StrOutputParser(),
    "bound, with a parser": lambda llm: llm.bind(stop=["."]) | StrOutputParser(),
    "with a function": lambda llm: llm | RunnableLambda(lambda message: message),
}


@pytest.mark.parametrize("branch", BRANCHES.values(), ids=BRANCHES)
def test_every_branch_that_starts_with_a_chat_model_gets_the_same_prompt(branch: Any) -> None:
    alone, llm = RecordingChatModel(answers="yes"), RecordingChatModel(answers="yes")
    shunt(None, alone).invoke("a text")
    shunt(None, branch(llm), answer=lambda prediction: prediction.label).invoke("a text")
    assert llm.calls[0].messages == alone.calls[0].messages
    assert llm.calls[0].messages[0].text.startswith("Classify the text.\n\nLabels:\n- no\n- yes")


def test_a_branch_that_starts_with_anything_else_gets_the_text_itself() -> None:
    llm = RecordingChatModel(answers="yes")
    shunt(None, RunnableLambda(lambda text: f"Well: {text}") | llm).invoke("a text")
    assert llm.calls[0].text == "Well: a text"


def test_a_wrong_shape_from_a_subtasks_model_is_still_raised() -> None:
    class Broken(Counting):
        def predict_proba(self, texts: Sequence[str]) -> Any:
            return [[1.0]]

    chain = shunt(transfer({"aspect": Broken("a", "b")}), RecordingChatModel())
    with pytest.raises(SmallModelError):
        chain.invoke("a text")
