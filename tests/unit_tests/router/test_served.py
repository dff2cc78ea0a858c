"""Behind HTTP: a shunt as a LangServe route."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langserve import add_routes
from reviews import EASY, HARD, shunt

from langchain_datashunt.testing import RecordingChatModel


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    config_keys = ["configurable"]
    llm = RecordingChatModel(answers="from the llm")
    add_routes(app, shunt() | llm | StrOutputParser(), path="/labels", config_keys=config_keys)
    add_routes(app, shunt() | llm, path="/messages", config_keys=config_keys)
    with TestClient(app) as client:
        yield client


def posted(client: TestClient, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()["output"]


def test_a_served_route_of_an_unbound_shunt_raises_while_building() -> None:
    with pytest.raises(TypeError, match=r"shunt \| llm"):
        add_routes(FastAPI(), shunt(), path="/labels")


def test_invoke_and_batch_are_served(client: TestClient) -> None:
    assert posted(client, "/labels/invoke", input=EASY) == "positive"
    assert posted(client, "/labels/batch", inputs=[HARD, EASY]) == ["from the llm", "positive"]


def test_a_served_message_carries_the_record(client: TestClient) -> None:
    message = posted(client, "/messages/invoke", input=HARD)
    assert message["response_metadata"]["datashunt"]["route"] == "large"


def test_a_request_may_set_the_switches(client: TestClient) -> None:
    config = {"configurable": {"datashunt_route": "large", "datashunt_threshold": 0.5}}
    message = posted(client, "/messages/invoke", input=EASY, config=config)
    record = message["response_metadata"]["datashunt"]
    assert (record["route"], record["threshold"], record["certified"]) == ("large", 0.5, False)


def test_tokens_are_streamed(client: TestClient) -> None:
    with client.stream("POST", "/labels/stream", json={"input": HARD}) as response:
        lines = [line for line in response.iter_lines() if line.startswith("data: ")]
    assert [line for line in lines if '"from"' in line]
    assert [line for line in lines if '"llm"' in line]


def test_the_schemas_and_the_page_with_the_switches_are_served(client: TestClient) -> None:
    for page in ("input_schema", "output_schema", "config_schema"):
        assert client.get(f"/labels/{page}").status_code == 200
    assert "datashunt_threshold" in client.get("/labels/config_schema").text


def test_the_input_schema_names_the_variables_of_a_prompt_template_with_hints() -> None:
    template = ChatPromptTemplate.from_template("{candidates} {review} {shop}")
    chain = shunt(input="review", input_key="review") | (template | RecordingChatModel())
    schema = chain.get_input_schema()
    for value in (EASY, {"review": EASY, "shop": 3}, {"review": EASY, "shop": "a", "more": "b"}):
        assert schema.model_validate(value).model_dump() == value
    with pytest.raises(ValueError, match="shop"):
        schema.model_validate({"review": EASY})
    variables = chain.get_input_jsonschema()["$defs"]["Variables"]["properties"]
    assert set(variables) == {"review", "shop"}
