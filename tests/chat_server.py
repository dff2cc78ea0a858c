"""A tiny OpenAI-compatible chat server on loopback, so that tests and documentation speak to it with `ChatOpenAI`."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41}


class ChatServer(ThreadingHTTPServer):
    """Gives one answer to every chat completion, whole or token by token, and keeps the requests.

    Attributes:
        answer: What it answers.
        requests: The bodies of all requests.
        statuses: HTTP statuses of the next requests, in order; 200 when it is empty.
        refuse: A text whose requests are all refused, with status 500.
        pause: Seconds between streamed tokens.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.statuses: deque[int] = deque()
        self.refuse: str | None = None
        self.pause = 0.0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def status_of(self, request: dict[str, Any]) -> int:
        if self.refuse is not None and self.refuse in request["messages"][-1]["content"]:
            return 500
        return self.statuses.popleft() if self.statuses else 200


@contextmanager
def running(answer: str) -> Iterator[ChatServer]:
    """Run a server until the block ends."""
    server = ChatServer(answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        status = self.server.status_of(request)
        if status != 200:
            self._send(status, "application/json", _error(status))
        elif request.get("stream"):
            self._stream(request)
        else:
            message = {"role": "assistant", "content": self.server.answer}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            self._send(200, "application/json", _body(request, "chat.completion", [choice], USAGE))

    def _stream(self, request: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for token in self.server.answer.split(" "):
            choice = {"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": f"{token} "}}
            self._event(_body(request, "chat.completion.chunk", [choice]))
            time.sleep(self.server.pause)
        last = {"index": 0, "finish_reason": "stop", "delta": {}}
        self._event(_body(request, "chat.completion.chunk", [last]))
        self._event(_body(request, "chat.completion.chunk", [], USAGE))
        self._event(b"[DONE]")

    def _event(self, data: bytes) -> None:
        self.wfile.write(b"data: " + data + b"\n\n")
        self.wfile.flush()

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _body(request: dict[str, Any], kind: str, choices: list[Any], usage: dict[str, int] | None = None) -> bytes:
    head = {"id": "chatcmpl-1", "created": 0, "object": kind, "model": request.get("model", "")}
    return json.dumps({**head, "choices": choices, **({} if usage is None else {"usage": usage})}).encode()


def _error(status: int) -> bytes:
    return json.dumps({"error": {"message": f"refused with {status}", "type": "error", "code": str(status)}}).encode()
