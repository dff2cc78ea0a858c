"""Over a real socket: slow and rude clients, clients that leave, and a shutdown with requests in flight."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from reviews import EASY, HARD, shunt
from serving import Running, posted, received, running

from langchain_datashunt import CompositionError
from langchain_datashunt.cli.serve_command import serve
from langchain_datashunt.serve import RequestLimits, create_app
from langchain_datashunt.testing import RecordingChatModel

LIMITS = RequestLimits(receive_timeout_s=0.4, body_bytes=10_000, connections=20)
TOKEN = "correct-horse-battery-staple"  # noqa: S105  of these tests
GOOD = json.dumps({"input": EASY})


@pytest.fixture(scope="module")
def llm() -> RecordingChatModel:
    return RecordingChatModel(answers="one two three", delay=0.2)


@pytest.fixture(scope="module")
def server(llm: RecordingChatModel) -> Iterator[Running]:
    with running(create_app(shunt() | llm, limits=LIMITS)) as server:
        yield server


def status(text: str) -> int:
    return int(text.split(" ", 2)[1])


def still_answers(server: Running) -> bool:
    return httpx.post(f"{server.url}/invoke", json={"input": EASY}).status_code == 200


def seconds_until_closed(connection: socket.socket) -> float:
    start = time.monotonic()
    received(connection)
    return time.monotonic() - start


def test_a_client_that_sends_nothing_is_dropped(server: Running) -> None:
    with server.connect() as connection:
        assert 0.2 < seconds_until_closed(connection) < 5
    assert still_answers(server)


@pytest.mark.parametrize("before", [b"", posted("/invoke", GOOD)], ids=["first request", "second request"])
def test_headers_that_drip_in_are_cut_off(server: Running, before: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(before + b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        start = time.monotonic()
        with suppress(OSError):  # broken pipe
            while time.monotonic() - start < 10:
                connection.sendall(b"X-Drip: 1\r\n")
                time.sleep(0.05)
        assert time.monotonic() - start < 5
    assert still_answers(server)


def test_a_body_that_drips_in_is_answered_408(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000\r\n\r\n")
        for _ in range(4):
            connection.sendall(b" ")
            time.sleep(0.05)
        assert status(received(connection)) == 408
    assert still_answers(server)


def test_dripping_clients_do_not_keep_others_out(server: Running) -> None:
    rude = [server.connect() for _ in range(12)]
    for connection in rude:
        connection.sendall(b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000\r\n\r\n ")
    assert still_answers(server)
    for connection in rude:
        connection.close()


def test_connections_beyond_the_limit_are_answered_503_and_room_comes_back(server: Running) -> None:
    idle = [server.connect() for _ in range(LIMITS.connections)]
    time.sleep(0.05)
    assert httpx.post(f"{server.url}/invoke", json={"input": EASY}).status_code == 503
    for connection in idle:
        connection.close()
    time.sleep(0.05)
    assert still_answers(server)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (posted("/invoke", GOOD, headers="Content-Length: 3\r\n"), 400),
        (posted("/invoke", GOOD, headers="Transfer-Encoding: chunked\r\n"), 400),
        (b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10001\r\n\r\n", 413),
        (b"POST /invoke HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /invoke HTTP/1.0\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}", 403),
        (b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\x00\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 40_000, 400),
        (b"POST /" + b"a" * 40_000, 400),
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 404),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 404),
        (b"GET /invoke%00/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 404),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
    ids=[
        *("two lengths", "length and chunks", "negative length", "huge length", "length too large", "no host"),
        *("two hosts", "other host", "zero byte in a header", "long header", "long path", "absolute target"),
        *("path upwards", "zero byte in a path", "tls"),
    ],
)
def test_requests_that_trick_are_refused(server: Running, request_: bytes, expected: int) -> None:
    with server.connect() as connection:
        connection.sendall(request_)
        assert status(received(connection)) == expected
    assert still_answers(server)


def test_a_body_in_chunks_is_cut_off_at_the_limit(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(
            b"1000\r\n" + b" " * 4096 + b"\r\n" * 1 + b"1000\r\n" + b" " * 4096 + b"\r\n1000\r\n" + b" " * 4096
        )
        assert status(received(connection)) == 413


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("path", ["/invoke", "/stream"])
def test_a_client_that_leaves_cancels_its_large_call(server: Running, llm: RecordingChatModel, path: str) -> None:
    before = len(llm.calls)
    with server.connect() as connection:
        connection.sendall(posted(path, json.dumps({"input": HARD})))
        until(lambda: len(llm.calls) > before)
    start = time.monotonic()
    until(lambda: llm._running == 0)
    assert time.monotonic() - start < 0.15  # and not the call's own 0.2 s and more
    assert still_answers(server)


def test_a_websocket_is_refused(server: Running) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    with server.connect() as connection:
        connection.sendall(b"GET /invoke HTTP/1.1\r\nHost: 127.0.0.1\r\n" + upgrade + b"\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert status(received(connection)) == 405


CHAIN = """
from langchain_datashunt import RunnableDataShunt
from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel

small = KeywordSmallModel({"positive": ["great"], "negative": ["awful"]})


def chain():
    return RunnableDataShunt(small, threshold=0.9) | RecordingChatModel(answers="one two three", delay=1.5)
"""


@contextmanager
def served(folder: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "served_chain.py").write_text(CHAIN)
    command = [sys.executable, "-m", "langchain_datashunt.cli.main", "serve", "served_chain:chain", *options]
    root = str(Path(__file__).resolve().parents[3])
    with subprocess.Popen(  # noqa: S603  our own command
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, **environment},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if "running on http" in line:
            return next(word for word in line.split() if word.startswith("http"))
    raise AssertionError("".join(lines))


def test_the_command_serves_a_chain_to_a_network_and_finishes_what_is_in_flight(tmp_path: Path) -> None:
    options = ("--host", "0.0.0.0", "--port", "0", "--threshold-bounds", "0.5", "0.99")  # noqa: S104  with a token
    with served(tmp_path, *options, DATASHUNT_TOKEN=TOKEN) as process, httpx.Client(timeout=30) as client:
        client.base_url = f"http://127.0.0.1:{url_of(process).rpartition(':')[2]}"
        assert client.post("/invoke", json={"input": EASY}).status_code == 401
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        easy = client.post("/invoke", json={"input": EASY, "threshold": 0.6}).json()
        assert easy["output"]["content"] == "positive"
        assert client.post("/invoke", json={"input": EASY, "threshold": 0.4}).status_code == 422
        with ThreadPoolExecutor(6) as pool:
            flying = [pool.submit(client.post, "/invoke", json={"input": HARD}) for _ in range(5)]
            streamed = pool.submit(lambda: client.post("/stream", json={"input": HARD}).text)
            time.sleep(0.7)
            process.send_signal(signal.SIGTERM)
            assert [each.result().json()["output"]["content"] for each in flying] == ["one two three"] * 5
            assert "event: end" in streamed.result()
        assert process.wait(20) == 0  # and not killed by the signal: what is registered with atexit ran


def test_the_command_refuses_a_network_without_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "another_chain.py").write_text(CHAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATASHUNT_TOKEN", raising=False)
    with pytest.raises(CompositionError, match="asks for no authentication"):
        serve("another_chain:chain", host="0.0.0.0", port=0)  # noqa: S104  refused


def test_the_command_refuses_a_token_that_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fourth_chain.py").write_text(CHAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATASHUNT_TOKEN", "letmein")
    with pytest.raises(CompositionError, match="DATASHUNT_TOKEN holds no secret: a token has 16") as raised:
        serve("fourth_chain:chain")
    assert "letmein" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing", "package.module:attribute, got 'nothing'"),
        ("third_chain:nothing", "no attribute 'nothing'"),
        ("no_such_module:chain", "No module named 'no_such_module'"),
        ("third_chain:small", "has a RunnableDataShunt among its steps"),
    ],
)
def test_the_command_says_what_is_wrong_with_a_chain_s_name(
    name: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "third_chain.py").write_text(CHAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CompositionError, match=problem):
        serve(name)
    sys.modules.pop("third_chain", None)


def test_two_threads_may_serve_two_applications_at_once() -> None:
    answers: list[Any] = []

    def serve_and_ask(word: str) -> None:
        with running(create_app(shunt() | RecordingChatModel(answers=word))) as server:
            answers.append(httpx.post(f"{server.url}/invoke", json={"input": HARD}).json()["output"]["content"])

    threads = [threading.Thread(target=serve_and_ask, args=(word,)) for word in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == ["a", "b"]


def test_requests_that_have_arrived_when_the_server_stops_are_answered_and_later_ones_are_not(
    llm: RecordingChatModel,
) -> None:
    """They lie in an idle connection, and in one that has not been accepted; neither is kept after its answer."""
    with running(create_app(shunt() | llm)) as server, server.connect() as idle:
        idle.sendall(posted("/invoke", GOOD))
        assert status(idle.recv(65536).decode()) == 200
        connections = [idle]

        async def stop() -> None:
            connections.append(server.connect())
            for connection in connections:
                connection.sendall(posted("/invoke", json.dumps({"input": HARD})))
            await server.server.shutdown()

        asyncio.run_coroutine_threadsafe(stop(), server.server.servers[0].get_loop()).result(20)
        for connection in connections:
            assert received(connection).count("HTTP/1.1 200 OK") == 1
            connection.close()
