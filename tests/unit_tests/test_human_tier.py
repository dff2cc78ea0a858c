"""The example of three tiers in LangGraph, with models that answer as they are told."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langgraph.types import Command

from langchain_datashunt import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "langgraph_human_tier.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[EXAMPLE.stem] = module  # LangGraph looks the state's annotations up there
    spec.loader.exec_module(module)
    return module


def test_a_person_answers_what_neither_model_can_and_the_log_keeps_it_as_the_true_label(
    example: ModuleType, tmp_path: Path
) -> None:
    def reply(messages: Any) -> str:
        return "technical" if "crashes" in messages[-1].text else "unsure"

    small = KeywordSmallModel({"billing": ["invoice"], "technical": ["login"]})
    llm = RecordingChatModel(answers=reply)
    with HardSampleStore(tmp_path / "samples.db") as store:
        graph = example.build(small, llm, store, threshold=0.8)

        def sent(number: int, text: str) -> Any:
            return graph.invoke({"number": number, "text": text}, example.config_of(number, store))

        assert sent(1, "my invoice")["team"] == "billing"
        assert (len(llm.calls), list(store.iter_samples())) == (0, [])  # the first tier
        assert sent(2, "it crashes")["team"] == "technical"  # the second

        waiting = [sent(3, "hello?"), sent(4, "good morning")]
        assert [state["__interrupt__"][0].value["ticket"] for state in waiting] == ["hello?", "good morning"]
        assert not any(sample.gold for sample in store.iter_samples())
        state = graph.invoke(Command(resume="billing"), example.config_of(3, store))
        assert (state["team"], state["answered_by"]) == ("billing", "a person")

        kept = {sample.input: sample for sample in store.iter_samples()}
        assert {text: (sample.gold, sample.target) for text, sample in kept.items()} == {
            "it crashes": (None, "technical"),
            "hello?": ("billing", "billing"),
            "good morning": (None, None),  # still waiting
        }
        assert {sample.input for sample in store.iter_samples(trainable_only=True)} == {"it crashes", "hello?"}
        assert len(llm.calls) == 3  # resuming asked no model again
