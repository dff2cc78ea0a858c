"""Prompt transfer at work: batches, async, traces, records, and behind a shunt."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from langchain_datashunt import (
    PromptPruningOutputParser,
    PromptPruningTemplate,
    PromptTransferTemplate,
    RunnableDataShunt,
    Subtask,
)
from langchain_datashunt.callbacks.teachers import teacher_of
from langchain_datashunt.errors import CompositionError, InvalidInputError, PolicyMismatchError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel, ScriptedSmallModel
from langchain_datashunt.transfer.transfer_template import LEFT_OUT_EVENT

TEMPLATE = ChatPromptTemplate([("system", "Judge.\nAspect: {aspect}\nMood: {mood}\nTone: {tone}"), ("human", "{text}")])
WORDS = {"aspect": ["price", "service"], "mood": ["glad", "cross"], "tone": ["calm", "loud"]}


def keyword_model(name: str, **options: Any) -> KeywordSmallModel:
    return KeywordSmallModel({word: [word] for word in WORDS[name]}, **options)


def three_subtasks(**options: Any) -> list[Subtask]:
    return [Subtask(name, keyword_model(name, **options), min_confidence=0.8) for name in WORDS]


class Listener(BaseTracer):
    """Keeps the root runs, and the records of what was left out."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []
        self.left_out: list[tuple[Any, dict[str, Any]]] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        assert name == LEFT_OUT_EVENT
        self.left_out.append((run_id, data))


def texts(n: int) -> list[str]:
    return [f"price glad {i}" if i % 2 else f"service loud {i}" for i in range(n)]


def test_a_batch_of_1000_with_three_subtasks_makes_three_small_calls() -> None:
    subtasks = three_subtasks()
    llm = RecordingChatModel(answers="ok")
    answers = (PromptTransferTemplate(TEMPLATE, subtasks) | llm).batch(texts(1000), {"max_concurrency": 2})
    assert len(answers) == 1000
    assert [subtask.model.batch_sizes for subtask in subtasks] == [[1000]] * 3


async def test_an_async_batch_makes_three_small_calls() -> None:
    subtasks = three_subtasks()
    prompt = PromptTransferTemplate(TEMPLATE, subtasks)
    assert await prompt.abatch(texts(50)) == PromptTransferTemplate(TEMPLATE, three_subtasks()).batch(texts(50))
    assert [subtask.model.batch_sizes for subtask in subtasks] == [[50]] * 3


def test_batch_gives_what_invoke_gives() -> None:
    prompt = PromptTransferTemplate(TEMPLATE, three_subtasks())
    assert prompt.batch(texts(6)) == [prompt.invoke(text) for text in texts(6)]
    assert prompt.batch([]) == []


async def test_async_gives_the_same_prompt() -> None:
    prompt = PromptTransferTemplate(TEMPLATE, three_subtasks())
    assert await prompt.ainvoke("price") == prompt.invoke("price")
    assert await prompt.aformat_messages(text="price") == prompt.invoke("price").to_messages()
    assert await prompt.abatch([]) == []


def test_subtasks_run_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)

    def meet(_: str) -> str:
        together.wait()
        return "met"

    subtasks = [Subtask(name, RunnableLambda(meet)) for name in WORDS]
    messages = PromptTransferTemplate(TEMPLATE, subtasks, on_error="raise").invoke("x").to_messages()
    assert messages[0].text == "Judge.\nAspect: met\nMood: met\nTone: met"


def test_an_input_that_fails_has_its_own_error_in_the_batch() -> None:
    subtasks = three_subtasks(raise_on=["broken"])
    outputs = PromptTransferTemplate(TEMPLATE, subtasks, on_error="raise").batch(
        ["price", "broken", {"no": "text"}, "calm"], return_exceptions=True
    )
    assert [type(output) for output in outputs[1:3]] == [ValueError, InvalidInputError]
    assert [output.to_messages()[1].text for output in (outputs[0], outputs[3])] == ["price", "calm"]
    skipped = PromptTransferTemplate(TEMPLATE, subtasks).batch(["price", "broken"])
    assert skipped[1].to_messages()[0].text == "Judge."


def test_a_failing_runnable_spoils_no_other_input() -> None:
    def picky(text: str) -> str:
        if text == "broken":
            raise ValueError(text)
        return "fine"

    template = ChatPromptTemplate([("human", "{note}\n{text}")])
    prompt = PromptTransferTemplate(template, [Subtask("note", RunnableLambda(picky), input="text")])
    assert [value.to_messages() for value in prompt.batch(["x", "broken"])] == [
        [HumanMessage("fine\nx")],
        [HumanMessage("broken")],
    ]


def test_an_interrupt_of_langgraph_passes_though_failures_are_left_out() -> None:
    from langgraph.errors import GraphInterrupt

    def ask_a_person(_: str) -> str:
        raise GraphInterrupt

    template = ChatPromptTemplate([("human", "{note}\n{text}")])
    prompt = PromptTransferTemplate(template, [Subtask("note", RunnableLambda(ask_a_person), input="text")])
    with pytest.raises(GraphInterrupt):
        prompt.invoke("x")
    with pytest.raises(GraphInterrupt):
        prompt.batch(["x", "y"])


@pytest.mark.parametrize("batched", [False, True])
def test_each_subtask_is_a_child_run_of_the_prompts(batched: bool) -> None:
    listener = Listener()
    chain = RunnableLambda(lambda text: text.upper()) | RunnableLambda(str.lower)
    subtasks = [*three_subtasks()[:2], Subtask("tone", chain)]
    prompt = PromptTransferTemplate(TEMPLATE, subtasks, metadata={"m": 1}, tags=["mine"])
    config: RunnableConfig = {"callbacks": [listener]}
    if batched:
        prompt.batch(["price", "glad"], config)
    else:
        prompt.invoke("price", config)
    for root in listener.roots:
        assert (root.run_type, root.name) == ("prompt", "PromptTransferTemplate")
        assert "mine" in (root.tags or [])
        assert root.extra["metadata"]["m"] == 1
        assert sorted(child.name for child in root.child_runs) == ["aspect", "mood", "tone"]
        assert all("datashunt:small" in (child.tags or []) for child in root.child_runs)
        (tone,) = (child for child in root.child_runs if child.name == "tone")
        assert len(tone.child_runs) == 2
    assert len(listener.roots) == (2 if batched else 1)


async def test_async_runs_are_traced_too() -> None:
    listener = Listener()
    await PromptTransferTemplate(TEMPLATE, three_subtasks()).ainvoke("price", {"callbacks": [listener]})
    (root,) = listener.roots
    assert sorted(child.name for child in root.child_runs) == ["aspect", "mood", "tone"]
    assert sorted(data["subtask"] for _, data in listener.left_out) == ["mood", "tone"]


def test_what_was_left_out_and_why_is_recorded_at_the_prompts_run() -> None:
    listener = Listener()
    subtasks = [
        Subtask("aspect", keyword_model("aspect"), min_confidence=0.8),
        Subtask("mood", keyword_model("mood", raise_on=["price"]), min_confidence=0.8),
        Subtask("tone", RunnableLambda(lambda _: "")),
    ]
    prompt = PromptTransferTemplate(TEMPLATE, subtasks)
    prompt.batch(["price", "hm glad"], {"callbacks": [listener]})
    (first, second) = listener.roots
    assert [(run_id, data["subtask"], data["left_out"]) for run_id, data in listener.left_out] == [
        (first.id, "mood", "error"),
        (first.id, "tone", "empty"),
        (second.id, "aspect", "unsure"),
        (second.id, "tone", "empty"),
    ]
    assert listener.left_out[0][1]["error"] == "ValueError: this small model was told to raise on 'price'"
    assert listener.left_out[2][1] == {
        "subtask": "aspect",
        "left_out": "unsure",
        "answer": "price",
        "confidence": 0.5,
        "error": None,
    }


def test_outcomes_tell_what_each_subtask_contributes_without_a_prompt() -> None:
    (told, left_out) = PromptTransferTemplate(TEMPLATE, three_subtasks()).outcomes(["price", "glad"])
    assert [(outcome.subtask, outcome.text, outcome.left_out) for outcome in told] == [
        ("aspect", "price", None),
        ("mood", None, "unsure"),
        ("tone", None, "unsure"),
    ]
    assert [outcome.text for outcome in left_out] == [None, "glad", None]


def test_a_policy_says_what_is_sure_enough() -> None:
    small = ScriptedSmallModel(["a", "b"], {"x": [0.7, 0.3], "y": [0.6, 0.4]})
    policy = ShuntPolicy(classes=("a", "b"), threshold=0.65, small_model_version="scripted")
    template = ChatPromptTemplate([("human", "{letter}\n{text}")])
    prompt = PromptTransferTemplate(template, [Subtask("letter", small, policy=policy, input="text")])
    assert [value.to_messages()[0].text for value in prompt.batch(["x", "y"])] == ["a\nx", "y"]
    with pytest.raises(PolicyMismatchError):
        Subtask("letter", ScriptedSmallModel(["a", "c"], {}), policy=policy)


# ---- behind a shunt

LABELS = ["good", "bad"]


def sentiment() -> KeywordSmallModel:
    return KeywordSmallModel({"good": ["great"], "bad": ["awful"]})


def test_behind_a_shunt_only_deferred_inputs_reach_the_subtasks_in_one_call() -> None:
    subtasks, llm = three_subtasks(), RecordingChatModel(answers="bad")
    chain = RunnableDataShunt(sentiment(), threshold=0.9) | (PromptTransferTemplate(TEMPLATE, subtasks) | llm)
    answers = chain.batch(["great", "price cross", "awful", "loud"])
    assert [answer.text for answer in answers] == ["good", "bad", "bad", "bad"]
    assert [subtask.model.batch_sizes for subtask in subtasks] == [[2]] * 3
    assert sorted(call.messages[0].text for call in llm.calls) == [
        "Judge.\nAspect: price\nMood: cross",
        "Judge.\nTone: loud",
    ]


def test_behind_a_shunt_the_hints_of_the_wrapped_template_are_filled() -> None:
    template = ChatPromptTemplate([("system", "One of {candidates}.\nAspect: {aspect}"), ("human", "{text}")])
    llm = RecordingChatModel(answers="bad")
    transfer = PromptTransferTemplate(template, three_subtasks()[:1])
    assert (RunnableDataShunt(sentiment(), threshold=0.9) | (transfer | llm)).invoke("price").text == "bad"
    assert llm.calls[0].messages[0].text == "One of good, bad.\nAspect: price"


@pytest.mark.parametrize("streamed", [False, True])
def test_behind_a_shunt_pruning_and_transfer_go_together(streamed: bool) -> None:
    pruning = PromptPruningTemplate(LABELS, hints="soft")
    template = ChatPromptTemplate([("system", "The review is about the {aspect}."), pruning])
    transfer = PromptTransferTemplate(template, three_subtasks()[:1])
    llm = RecordingChatModel(answers="bad")
    parser = PromptPruningOutputParser.for_template(pruning)
    chain = RunnableDataShunt(sentiment(), threshold=0.9) | (transfer | llm) | parser
    assert (list(chain.stream("price")) if streamed else [chain.invoke("price")]) == ["bad"]
    assert llm.calls[0].messages[0].text == "The review is about the price."
    assert "A small classifier estimates: good 50 %, bad 50 %." in llm.calls[0].messages[1].text


def test_a_subtask_does_not_see_the_decision_about_the_whole_task() -> None:
    seen: list[Any] = []

    def note(_: str, config: RunnableConfig) -> str:
        seen.append(sorted(config["configurable"]))
        return "x"

    template = ChatPromptTemplate([("human", "{note}\n{text}")])
    transfer = PromptTransferTemplate(template, [Subtask("note", RunnableLambda(note), input="text")])
    chain = RunnableDataShunt(sentiment(), threshold=0.9) | (transfer | RecordingChatModel(answers="bad"))
    chain.invoke("hm", {"configurable": {"user": "u"}})
    assert seen == [["user"]]


def test_a_model_that_solves_a_subtask_is_no_teacher() -> None:
    listener = Listener()
    template = ChatPromptTemplate([("human", "{note}\n{text}")])
    transfer = PromptTransferTemplate(template, [Subtask("note", RecordingChatModel(answers="noted"), input="text")])
    (transfer | RecordingChatModel(raise_on=["broken"])).batch(
        ["broken", "fine"], {"callbacks": [listener]}, return_exceptions=True
    )
    kinds = {root.inputs["input"]: teacher_of([root], {}).kind for root in listener.roots}
    assert kinds == {"broken": "nobody", "fine": "llm"}


# ---- what does not fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "two words"}, "that of a template variable"),
        ({"name": "stop"}, "that of a template variable"),
        ({"min_confidence": None}, "exactly one of min_confidence= and policy=, got neither"),
        ({"min_confidence": 1.5}, "a number in"),
        ({"model": len}, "wrap a function by RunnableLambda"),
        ({"render": "{label.x} {secret}"}, "known are"),
        ({"render": "{label"}, "cannot be read"),
        ({"model": RunnableLambda(len), "min_confidence": None, "render": "{confidence}"}, "where min_confidence"),
    ],
)
def test_a_subtask_whose_options_do_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    given = {"name": "aspect", "model": keyword_model("aspect"), "min_confidence": 0.8, **options}
    with pytest.raises((CompositionError, InvalidInputError), match=message):
        Subtask(**given)


ASPECT = Subtask("aspect", keyword_model("aspect"), min_confidence=0.8)


@pytest.mark.parametrize(
    ("messages", "subtasks", "message"),
    [
        (["{text}"], [ASPECT], r"no variables \['aspect'\]"),
        (["{aspect} of {text}"], [ASPECT], r"must not name \['text'\] too"),
        (["{aspect}", "Hi."], [ASPECT], r"the input variables \[\]"),
        (["{aspect}"], [Subtask("aspect", keyword_model("aspect"), min_confidence=0, input="text")], "no message is"),
        (["{aspect}\n{a}\n{b}"], [ASPECT], r"the input variables \['a', 'b'\]"),
        (["{aspect}", "{text}"], [ASPECT, ASPECT], r"repeated: \['aspect'\]"),
        (["{text}"], [], "at least one Subtask"),
        (["{text}"], ["aspect"], "at least one Subtask"),
        (["{prior}", "{text}"], [Subtask("prior", keyword_model("aspect"), min_confidence=0)], "the shunt fills"),
        (["{text}"], [Subtask("loud", RunnableLambda(str), rewrite="review")], r"no variables \['review'\]"),
        (
            ["{aspect}", "{mood}", "{text}"],
            [ASPECT, Subtask("mood", keyword_model("mood"), min_confidence=0, input="aspect")],
            r"none can read \['aspect'\]",
        ),
    ],
)
def test_subtasks_that_do_not_fit_the_template_are_refused(
    messages: list[str], subtasks: list[Any], message: str
) -> None:
    with pytest.raises(CompositionError, match=message):
        PromptTransferTemplate(ChatPromptTemplate([("human", text) for text in messages]), subtasks)


def test_other_template_formats_placeholders_and_foreign_templates_are_refused() -> None:
    mustache = ChatPromptTemplate([("human", "{{text}}\n{{aspect}}")], template_format="mustache")
    with pytest.raises(CompositionError, match="f-string format only; they stand in a template in mustache format"):
        PromptTransferTemplate(mustache, [Subtask("aspect", keyword_model("aspect"), min_confidence=0, input="text")])
    placeholder = ChatPromptTemplate([("placeholder", "{aspect}"), ("human", "{text}")])
    with pytest.raises(CompositionError, match=r"no variables \['aspect'\]"):
        PromptTransferTemplate(placeholder, [ASPECT])
    with pytest.raises(CompositionError, match="a ChatPromptTemplate only; got PromptPruningTemplate"):
        PromptTransferTemplate(
            PromptPruningTemplate(LABELS, text_variable="aspect"),
            [Subtask("aspect", keyword_model("aspect"), min_confidence=0)],
        )
    with pytest.raises(CompositionError, match="the template is a ChatPromptTemplate; got str"):
        PromptTransferTemplate("{aspect}", [ASPECT])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "on_error is one of"),
        ({"on_unsure": None}, "on_unsure is one of"),
        ({"on_eror": "skip"}, r"no options \['on_eror'\]"),
        ({"partial_variables": {"aspect": "price"}}, "cannot be partial variables"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, Any], message: str) -> None:
    template = ChatPromptTemplate([("human", "{aspect}\n{text}")])
    with pytest.raises(CompositionError, match=message):
        PromptTransferTemplate(template, [ASPECT], **options)
