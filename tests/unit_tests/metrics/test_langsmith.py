"""What LangSmith's own client sends, over HTTP, when it is told to hide inputs and outputs."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hard_samples import EASY, HARD, model, parser, shunt, small_model
from langchain_core.tracers import LangChainTracer
from langsmith import Client

INGESTION = {
    "use_multipart_endpoint": False,
    "size_limit": 100,
    "size_limit_bytes": 20_000_000,
    "scale_up_nthreads_limit": 1,
    "scale_up_qsize_trigger": 1000,
    "scale_down_nempty_trigger": 4,
}


class Collector(ThreadingHTTPServer):
    """Takes what is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.bodies: list[bytes] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_GET(self) -> None:
        self._answer({"batch_ingest_config": INGESTION})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.server.bodies.append(body)
        sent = json.loads(body)
        for run in [*sent.get("post", []), *sent.get("patch", [])]:
            self.server.runs.setdefault(run["id"], {}).update({k: v for k, v in run.items() if v is not None})
        self._answer({})

    def _answer(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def traced(collector: Collector, chain: Any, texts: list[str]) -> list[dict[str, Any]]:
    """Return the shunts' runs that LangSmith's client sent."""
    url = f"http://127.0.0.1:{collector.server_port}"
    client = Client(api_url=url, api_key="none", hide_inputs=True, hide_outputs=True, auto_batch_tracing=True)
    chain.batch(texts, {"callbacks": [LangChainTracer(client=client)]})
    client.flush()
    return [run for run in collector.runs.values() if run["name"] == "RunnableDataShunt"]


def test_runs_stay_informative_where_inputs_and_outputs_are_hidden(collector: Collector) -> None:
    chain = shunt(small_model(), model()) | parser()
    runs = traced(collector, chain, [f"{EASY}, says Smith", f"{HARD}, says Smith"])
    assert all(not run.get("inputs") and not run.get("outputs") for run in runs)
    assert b"Smith" not in b"".join(collector.bodies)
    by_route = {run["extra"]["metadata"]["datashunt_route"]: run for run in runs}
    assert set(by_route) == {"small", "large"}
    assert "datashunt:route:large" in by_route["large"]["tags"]
    assert (
        by_route["large"]["extra"]["metadata"]
        | {
            "datashunt_reason": "below_threshold",
            "datashunt_confidence": 0.5,
            "datashunt_threshold": 0.8,
            "datashunt_certified": False,
            "datashunt_sampling_probability": 1.0,
        }
        == by_route["large"]["extra"]["metadata"]
    )
    assert "datashunt_label" not in by_route["small"]["extra"]["metadata"]


def test_a_fallback_takes_the_place_of_the_first_decision(collector: Collector) -> None:
    def fail(_: Any) -> str:
        raise ConnectionError("Smith's line is down")

    (run,) = traced(collector, shunt(small_model(), model(fail), on_large_error="small"), [HARD])
    routes = [tag for tag in run["tags"] if tag.startswith("datashunt:route:")]
    assert routes == ["datashunt:route:small_on_error"]
    assert run["extra"]["metadata"]["datashunt_error"] == "ConnectionError"
