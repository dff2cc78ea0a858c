"""Whatever a chain returns becomes JSON."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, SecretStr
from reviews import EASY, HARD, shunt

from langchain_datashunt.serve import create_app
from langchain_datashunt.serve.replies import as_json
from langchain_datashunt.testing import RecordingChatModel


def circle() -> list[Any]:
    """Return a list that holds itself."""
    values: list[Any] = []
    values.append(values)
    return values


def nest() -> list[Any]:
    """Return more lists in lists than Python's stack holds."""
    values: list[Any] = []
    for _ in range(100_000):
        values = [values]
    return values


class Ticket(BaseModel):
    queue: str
    cost: Decimal
    key: SecretStr = SecretStr("top-secret")


@dataclass
class Place:
    path: Path
    parts: frozenset[int]


class Team(Enum):
    BILLING = "billing"


VALUES = {
    "a numpy number": (np.float32(0.5), 0.5),
    "a numpy array": (np.array([[1, 2]]), [[1, 2]]),
    "a numpy bool": (np.bool_(True), True),  # noqa: FBT003  the value at test
    "a set": ({"b", "a"}, ["a", "b"]),
    "bytes": (b"\xff\x00", "_wA="),
    "a decimal": (Decimal("1.50"), "1.50"),
    "a pydantic model": (Ticket(queue="a", cost=Decimal(2)), {"queue": "a", "cost": "2", "key": "**********"}),
    "a dataclass": (Place(Path("a/b"), frozenset({1})), {"path": "a/b", "parts": [1]}),
    "an enum": (Team.BILLING, "billing"),
    "a date": (dt.date(2026, 11, 25), "2026-11-25"),
    "a uuid": (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "not a number": ([float("nan"), float("inf")], ["nan", "inf"]),
    "keys of any kind": ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "(1, 2)": "c"}),
    "half a surrogate pair": ("\ud800", "\ud800"),
    "an object": (object(), "<object>"),
    "messages": ([AIMessage("hello")], [{"type": "ai", "content": "hello"}]),
    "nothing": (None, None),
    "a circle": (circle(), "<list>"),
    "a nest": (nest(), "<list>"),
    "thousands of digits": (10**5_000, "<int>"),
}


@pytest.mark.parametrize(("value", "expected"), VALUES.values(), ids=VALUES)
def test_any_output_is_served(value: Any, expected: Any) -> None:
    anything = RunnableLambda(lambda _: value)
    app = create_app(shunt(answer=lambda _: value) | anything)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        for text in (EASY, HARD):
            assert client.post("/invoke", json={"input": text}).json()["output"] == expected
        stream = client.post("/stream", json={"input": HARD}).text
        assert json.loads(stream.split("data: ")[1].split("\n")[0]) == expected


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(ANY)
def test_any_nest_of_values_is_json_on_one_line(value: Any) -> None:
    text = as_json(value)
    json.loads(text, parse_constant=pytest.fail)
    assert text.isascii()
    assert "\n" not in text


def test_a_message_keeps_the_tokens_that_it_took() -> None:
    app = create_app(shunt() | RecordingChatModel(answers="one two"))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        output = client.post("/invoke", json={"input": HARD}).json()["output"]
    assert (output["content"], output["usage_metadata"]["output_tokens"]) == ("one two", 2)
