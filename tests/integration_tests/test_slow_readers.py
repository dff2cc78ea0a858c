"""Clients that ask and do not read the answer: their requests end, their connections too, and others are served."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableGenerator
from reviews import EASY, HARD, shunt
from serving import Running, posted, running

from langchain_datashunt.serve import RequestLimits, create_app
from langchain_datashunt.testing import RecordingChatModel

PATIENCE = 0.5
LIMITS = RequestLimits(receive_timeout_s=PATIENCE, concurrency=1, timeout_s=60)


def unread(server: Running, path: str, text: str) -> socket.socket:
    """Return a connection that has asked, and takes next to nothing of the answer."""
    server.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # connections inherit it
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(posted(path, json.dumps({"input": text})))
    return connection


def seconds_until(condition: Callable[[], bool]) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < 10
        time.sleep(0.005)
    return time.monotonic() - start


def asked(server: Running, text: str = EASY) -> int:
    return httpx.post(f"{server.url}/invoke", json={"input": text}).status_code


def connections(server: Running) -> int:
    return len(server.server.server_state.connections)


class Endless:
    """A large model that never stops, and notes that it was stopped."""

    def __init__(self) -> None:
        self.pieces = 0
        self.stopped = threading.Event()

    async def speak(self, _: AsyncIterator[Any]) -> AsyncIterator[str]:
        try:
            while True:
                self.pieces += 1
                await asyncio.sleep(0)  # as whoever reads from a network
                yield "word " * 2_000
        finally:
            self.stopped.set()


def test_a_stream_that_nobody_reads_is_stopped_and_others_are_served() -> None:
    endless = Endless()
    chain = shunt(answer=lambda prediction: prediction.label) | RunnableGenerator(endless.speak)
    with running(create_app(chain, limits=LIMITS)) as server:
        with unread(server, "/stream", HARD):
            seconds_until(lambda: endless.pieces > 0)
            assert asked(server) == 503  # the one request at a time is this one
            assert seconds_until(endless.stopped.is_set) < PATIENCE + 3
            pieces = endless.pieces
            assert seconds_until(lambda: asked(server) == 200) < 3
            assert seconds_until(lambda: connections(server) == 0) < 3
        assert endless.pieces == pieces < 2_000  # it was held up too: what waits to be read is bounded


@pytest.fixture(scope="module")
def large_answers() -> Iterator[Running]:
    """A server that answers as many letters as it is asked for."""
    chain = shunt() | RecordingChatModel(answers=lambda messages: "x" * int(messages[-1].text)) | StrOutputParser()
    with running(create_app(chain, limits=RequestLimits(receive_timeout_s=PATIENCE))) as server:
        yield server


# What the operating system takes at once, and what the server may hold beside it, are each some 64 kB here.
@pytest.mark.parametrize("letters", [20_000, 60_000, 100_000, 140_000, 2_000_000])
def test_an_answer_that_nobody_reads_holds_no_connection(large_answers: Running, letters: int) -> None:
    """Also one so small that the server may believe it is sent, while some of it waits."""
    with unread(large_answers, "/invoke", str(letters)):
        seconds_until(lambda: connections(large_answers) == 1)
        assert seconds_until(lambda: connections(large_answers) == 0) < 3 * PATIENCE + 3
        assert asked(large_answers) == 200


def test_a_large_answer_that_is_read_slowly_comes_whole(large_answers: Running) -> None:
    size, pause = 300_000, 4 * PATIENCE / 75
    with unread(large_answers, "/invoke", str(size)) as connection:
        start, parts = time.monotonic(), [connection.recv(4096)]
        while len(parts[-1]) and sum(map(len, parts)) < size:
            time.sleep(pause)
            parts.append(connection.recv(4096))
        assert sum(map(len, parts)) >= size
        assert time.monotonic() - start > 3 * PATIENCE
