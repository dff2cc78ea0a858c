"""pickle, deepcopy, and LangChain's dumps and loads."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import dumpd, dumps, loads
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, HumanMessagePromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableSequence
from langchain_openai import ChatOpenAI
from reviews import EASY, HARD, record, shunt, small_model

from langchain_datashunt import (
    PolicyMismatchError,
    PromptPruningTemplate,
    RunnableDataShunt,
    ShuntPolicy,
    TopK,
    TransformersClassifier,
    UnboundDataShunt,
)
from langchain_datashunt.testing import RecordingChatModel

pytestmark = pytest.mark.filterwarnings("ignore:The function `loads` is in beta")

TEMPLATE = ChatPromptTemplate.from_template("{prior} {text}")
POLICY = ShuntPolicy(classes=("positive", "negative"), threshold=0.9, small_model_version="keywords")


def llm() -> RecordingChatModel:
    return RecordingChatModel(answers="from the llm")


CHAINS = {
    "message": lambda: shunt() | llm(),
    "text": lambda: shunt() | (TEMPLATE | llm() | StrOutputParser()),
    "with a parser behind": lambda: shunt() | llm() | StrOutputParser(),
    "with a policy": lambda: RunnableDataShunt(small_model(), policy=POLICY) | llm(),
    "with candidates": lambda: shunt(candidates=TopK(1), name="triage") | llm(),
    "three tiers": lambda: shunt() | (shunt(small_model(version="2")) | llm()),
    "wrapped": lambda: (shunt() | llm()).with_retry().with_config(tags=["x"]),
}


def said(chain: Any) -> list[str]:
    return [getattr(output, "content", output) for output in chain.batch([EASY, HARD])]


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_chain_survives_pickling(chain: Any) -> None:
    copied = pickle.loads(pickle.dumps(chain()))
    assert said(copied) == ["positive", "from the llm"]


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_chain_survives_deepcopy(chain: Any) -> None:
    assert said(copy.deepcopy(chain())) == ["positive", "from the llm"]


def test_the_options_survive_pickling() -> None:
    chain = shunt(candidates=TopK(1), on_large_error="small", name="triage") | RecordingChatModel(raise_on=["broken"])
    copied = pickle.loads(pickle.dumps(chain))
    assert copied.get_name() == "triage"
    found = record(copied.invoke("broken"))
    assert (found["route"], found["candidates"]) == ("small_on_error", ["positive"])


def test_an_unbound_shunt_survives_pickling_and_deepcopy() -> None:
    for copied in (pickle.loads(pickle.dumps(shunt())), copy.deepcopy(shunt())):
        assert isinstance(copied, UnboundDataShunt)
        assert (copied | RecordingChatModel()).invoke(EASY).content == "positive"


def test_the_fakes_survive_pickling_with_what_they_counted() -> None:
    small, large = small_model(), llm()
    (shunt(small) | large).batch([EASY, HARD])
    assert pickle.loads(pickle.dumps(small)).batch_sizes == [2]
    assert len(pickle.loads(pickle.dumps(large)).calls) == 1


def test_dumps_never_fails_and_names_what_cannot_be_loaded_again() -> None:
    text = dumps(shunt() | RecordingChatModel())
    assert "RunnableDataShunt" in text
    assert "not_implemented" in text
    assert "KeywordSmallModel" in text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier's folder, as far as it is read before the first prediction."""
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "negative", "1": "positive"}}))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


LOADABLE = [
    RunnableDataShunt,
    RunnableSequence,
    TransformersClassifier,
    PromptPruningTemplate,
    ChatPromptTemplate,
    HumanMessagePromptTemplate,
    PromptTemplate,
    ChatOpenAI,
]


def loaded(text: str) -> Any:
    return loads(
        text,
        allowed_objects=LOADABLE,
        valid_namespaces=["langchain_datashunt"],
        secrets_map={"OPENAI_API_KEY": "not-a-key"},
    )


def test_a_shunt_over_an_adapter_that_loads_from_a_path_survives_dumps_and_loads(folder: Path) -> None:
    small = TransformersClassifier(folder)
    policy = ShuntPolicy(classes=("negative", "positive"), threshold=0.9, small_model_version=small.version)
    chain = RunnableDataShunt(small, policy=policy, candidates=TopK(2), on_large_error="small", name="triage") | (
        TEMPLATE | ChatOpenAI(model="gpt-x", api_key="not-a-key")
    )
    text = dumps(chain)
    again = loaded(text)
    assert isinstance(again, RunnableDataShunt)
    assert again.policy.policy_id == policy.policy_id
    assert (again.candidates, again.on_large_error, again.get_name()) == (TopK(2), "small", "triage")
    assert again.small.classes_ == ("negative", "positive")
    assert again.large.last.model_name == "gpt-x"
    assert dumpd(again) == dumpd(chain)


def test_no_secret_is_written(folder: Path) -> None:
    chain = shunt(TransformersClassifier(folder)) | ChatOpenAI(model="gpt-x", api_key="top-secret")
    assert "top-secret" not in dumps(chain)


def test_a_loaded_shunt_refuses_a_model_that_changed_since(folder: Path) -> None:
    small = TransformersClassifier(folder)
    policy = ShuntPolicy(classes=("negative", "positive"), threshold=0.9, small_model_version=small.version)
    text = dumps(RunnableDataShunt(small, policy=policy) | ChatOpenAI(model="gpt-x", api_key="not-a-key"))
    (folder / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(PolicyMismatchError):
        loaded(text)
