"""A template that was not told which hints to give follows the policy of the shunt in front."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate

from langchain_datashunt.candidates import TopK
from langchain_datashunt.errors import InvalidInputError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.prompting.pruning_template import PromptPruningTemplate
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

LABELS = ("bad", "fine", "good")
SMALL = ScriptedSmallModel(list(LABELS), {}, default=[0.125, 0.5, 0.375])
POLICY = ShuntPolicy(LABELS, 0.9)


def asked(policy: ShuntPolicy, prompt: Any = None, **options: Any) -> str:
    """Return the system message that reaches the LLM behind a shunt."""
    llm = RecordingChatModel(answers="good")
    chain = RunnableDataShunt(SMALL, policy=policy, **options) | (llm if prompt is None else prompt | llm)
    chain.invoke("a text")
    return "\n".join(message.text for message in llm.calls[-1].messages if message.type == "system")


PROMPTS = {
    "the default prompt": None,
    "a pruning template": PromptPruningTemplate(list(LABELS)),
    "one inside a chat template": ChatPromptTemplate([("system", "Hello."), PromptPruningTemplate(list(LABELS))]),
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize(("verdict", "told"), [("soft", "p"), ("hard", "c"), ("both", "cp"), ("none", "")])
def test_the_verdict_says_what_is_told(verdict: str, told: str, prompt: Any) -> None:
    system = asked(POLICY.with_pruning(hints=verdict), prompt, candidates=TopK(2))
    assert ("A small classifier estimates" in system) == ("p" in told)
    assert ("- bad" not in system) == ("c" in told)


def test_without_a_verdict_candidates_are_told_where_labels_were_removed() -> None:
    system = asked(POLICY, candidates=TopK(2))
    assert "- bad" not in system
    assert "fine 57 %, good 43 %" in system
    assert "- bad" in asked(POLICY)
    assert "fine 50 %, good 38 %, bad 12 %" in asked(POLICY)


def test_hints_given_to_the_template_outdo_the_verdict() -> None:
    told = asked(POLICY.with_pruning(hints="none"), PromptPruningTemplate(list(LABELS), hints="soft"))
    assert "A small classifier estimates: fine 50 %" in told


def test_an_audited_input_is_told_nothing_of_the_small_models_opinion() -> None:
    llm = RecordingChatModel(answers="good")
    sure = ScriptedSmallModel(list(LABELS), {}, default=[0.01, 0.01, 0.98])
    chain = RunnableDataShunt(sure, policy=POLICY.with_pruning(hints="soft"), audit_rate=1.0, large=llm)
    assert chain.invoke("a text").response_metadata["datashunt"]["route"] == "audit"
    system = llm.calls[-1].messages[0].text
    assert "classifier" not in system
    assert all(f"- {label}" in system for label in LABELS)


def test_alone_it_tells_what_it_is_given() -> None:
    template = PromptPruningTemplate(list(LABELS))
    assert "- bad" not in template.format(text="t", candidates=["good"])
    assert "- bad" in template.format(text="t", prior={"good": 1.0})


def test_a_verdict_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="hint_verdict is one of"):
        PromptPruningTemplate(list(LABELS)).format(text="t", hint_verdict="loud")
