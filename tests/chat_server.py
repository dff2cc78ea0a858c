"""A tiny OpenAI-compatible chat server on loopback: the documentation's code runs with the real `ChatOpenAI`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatServer(ThreadingHTTPServer):
    """Gives one answer to every chat completion, whole or as a stream, and keeps the requests."""

    daemon_threads = True

    def __init__(self, answer: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[dict[str, Any]] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


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
        if request.get("stream"):
            self._send("text/event-stream", "".join(self._events(request)).encode())
        else:
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": self.server.answer},
            }
            body = {**self._head(request, "chat.completion"), "choices": [choice], "usage": USAGE}
            self._send("application/json", json.dumps(body).encode())

    def _events(self, request: dict[str, Any]) -> Iterator[str]:
        head = self._head(request, "chat.completion.chunk")
        for token in self.server.answer.split(" "):
            choice = {"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": f"{token} "}}
            yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
        yield f"data: {json.dumps({**head, 'choices': [{'index': 0, 'finish_reason': 'stop', 'delta': {}}]})}\n\n"
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': USAGE})}\n\n"
        yield "data: [DONE]\n\n"

    def _head(self, request: dict[str, Any], kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "created": 0, "object": kind, "model": request.get("model", "")}

    def _send(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


USAGE = {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41}
