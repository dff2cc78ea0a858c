"""Who may ask, and that no secret is shown."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest
from fastapi.testclient import TestClient
from reviews import EASY, HARD, shunt

from langchain_datashunt import CompositionError
from langchain_datashunt.serve import BearerTokens, create_app, run_server
from langchain_datashunt.serve.access import is_loopback
from langchain_datashunt.testing import RecordingChatModel

HERE = "http://127.0.0.1"
TOKEN = "correct-horse-battery-staple"  # noqa: S105  of this test


def chain(**options: Any) -> Any:
    return shunt() | RecordingChatModel(**options)


def asked(app: Any, base_url: str = HERE, **headers: str) -> int:
    with TestClient(app, base_url=base_url) as client:
        return int(client.post("/invoke", json={"input": EASY}, headers=headers).status_code)


@pytest.mark.parametrize("host", [HERE, "http://localhost:8000", "http://127.8.9.1", "http://[::1]:8000"])
def test_without_authentication_the_own_machine_is_answered(host: str) -> None:
    assert asked(create_app(chain()), host) == 200


@pytest.mark.parametrize("host", ["http://192.168.1.7", "http://[2001:db8::1]", "http://example.org", "http://0.0.0.0"])
def test_without_authentication_nobody_else_is_answered(host: str) -> None:
    app = create_app(chain())
    assert asked(app, host) == 403
    with TestClient(app, base_url=host) as client:
        assert client.get("/openapi.json").status_code == 403
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        {"host": ""},
        {"host": "evil.example", "x-forwarded-host": "127.0.0.1"},
    ],
)
def test_a_page_that_names_this_machine_otherwise_is_not_answered(headers: dict[str, str]) -> None:
    assert asked(create_app(chain()), **headers) == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null", "", "http://[", "file://"]
)
def test_a_page_of_another_site_is_not_answered(origin: str) -> None:
    assert asked(create_app(chain()), origin=origin) == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://localhost:3000", "http://[::1]"])
def test_a_page_of_this_machine_is_answered(origin: str) -> None:
    assert asked(create_app(chain()), origin=origin) == 200


def test_headers_of_proxies_open_nothing() -> None:
    forwarded = {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "127.0.0.1", "forwarded": "host=127.0.0.1"}
    assert asked(create_app(chain()), "http://192.168.1.7", **forwarded) == 403


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}"])
def test_a_token_opens_the_server_to_every_host(given: str) -> None:
    assert (
        asked(
            create_app(chain(), authenticate=BearerTokens("x" * 16, TOKEN)), "http://192.168.1.7", Authorization=given
        )
        == 200
    )


@pytest.mark.parametrize(
    "given",
    [
        "",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer  {TOKEN}",
        f"Bearer {TOKEN} {TOKEN}",
    ],
)
def test_anything_but_a_token_is_refused(given: str) -> None:
    app = create_app(chain(), authenticate=BearerTokens(TOKEN))
    with TestClient(app, base_url=HERE) as client:
        for path in ("/invoke", "/batch", "/stream", "/decide"):
            answer = client.post(path, json={"input": EASY}, headers={"Authorization": given})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert TOKEN not in answer.text


def test_two_authorization_headers_are_refused() -> None:
    with TestClient(create_app(chain(), authenticate=BearerTokens(TOKEN)), base_url=HERE) as client:
        headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")]
        assert client.post("/invoke", json={"input": EASY}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/invoke/", "//invoke", "/INVOKE", "/./invoke", "/health/../invoke", "/ready/../invoke", "/health%2f..%2finvoke"],
)
def test_no_path_leads_around_the_door(path: str) -> None:
    with TestClient(create_app(chain(), authenticate=BearerTokens(TOKEN)), base_url=HERE) as client:
        answer = client.request("POST", f"{HERE}{path}", json={"input": EASY}, follow_redirects=False)
        assert answer.status_code == 401
        for open_path in ("/openapi.json", "/docs", "/redoc"):
            assert client.get(open_path).status_code == 401
        assert (client.get("/health").status_code, client.post("/health").status_code) == (200, 405)


def test_any_function_of_the_request_may_decide() -> None:
    def by_header(request: Any) -> bool:
        return bool(request.headers.get("x-team") == "triage")

    async def slowly(request: Any) -> bool:
        return by_header(request)

    for authenticate in (by_header, slowly):
        app = create_app(chain(), authenticate=authenticate)
        assert (asked(app), asked(app, **{"x-team": "triage"})) == (401, 200)


def test_a_token_in_the_place_of_an_authentication_is_refused_and_not_shown() -> None:
    with pytest.raises(CompositionError, match=r"BearerTokens.*of the type str") as raised:
        create_app(chain(), authenticate=TOKEN)  # type: ignore[arg-type]
    assert TOKEN not in str(raised.value)


def test_an_authentication_that_answers_other_than_true_refuses() -> None:
    assert asked(create_app(chain(), authenticate=lambda _: "no")) == 401  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    "token", ["", "short", "with spaces in the token", "with\nnewline-in-it", "ünïcödé-is-not-plain"]
)
def test_a_poor_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match="16 printable ASCII") as refused:
        BearerTokens(token)
    assert token == "" or token not in str(refused.value)
    with pytest.raises(ValueError, match="needs a token"):
        BearerTokens()


def test_no_token_is_in_a_repr_or_a_pickle() -> None:
    tokens = BearerTokens(TOKEN)
    app = create_app(chain(), authenticate=tokens)
    assert repr(tokens) == "BearerTokens(1 of them)"
    assert TOKEN not in f"{app!r} {app.user_middleware!r} {vars(tokens)!r}"
    assert TOKEN.encode() not in pickle.dumps(tokens)


def test_what_a_model_says_when_it_fails_is_neither_sent_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    class LeakyError(Exception):
        """Says what it should not."""

    secret = "sk-very-secret"  # noqa: S105  of this test
    llm = RecordingChatModel(raise_on=[HARD], error=lambda _: LeakyError(f"bad key {secret}"))
    with caplog.at_level(logging.DEBUG), TestClient(create_app(shunt() | llm), base_url=HERE) as client:
        single = client.post("/invoke", json={"input": HARD})
        many = client.post("/batch", json={"inputs": [HARD]})
    assert (single.status_code, single.json()) == (502, {"detail": "the chain failed: LeakyError"})
    assert secret not in single.text + many.text + caplog.text
    assert "The chain failed: LeakyError" in caplog.text


def test_a_small_model_that_fails_tells_its_error_s_type_only() -> None:
    small_error = "KeyError: 'sk-secret'"
    llm = RecordingChatModel()
    app = create_app(shunt(_Failing()) | llm)
    with TestClient(app, base_url=HERE) as client:
        answer = client.post("/invoke", json={"input": EASY})
    assert answer.json()["decisions"][0]["error"] == "KeyError"
    assert small_error not in answer.text


class _Failing:
    classes_ = ("positive", "negative")
    version = "1"

    def predict_proba(self, inputs: Any, /) -> Any:
        raise KeyError("sk-secret")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])  # noqa: S104  refused
def test_a_server_on_a_network_does_not_start_without_authentication(host: str) -> None:
    with pytest.raises(CompositionError, match="asks for no authentication"):
        run_server(create_app(chain()), host=host)


def test_loopback_is_this_machine() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.3.2.1", "::1", "[::1]", "LOCALHOST"]))
    assert not any(map(is_loopback, [None, "", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example"]))  # noqa: S104
