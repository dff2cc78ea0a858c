from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from hard_samples import HARD, Config, model, only, parser, shunt
from langchain_core.tracers.base import BaseTracer

from langchain_datashunt.callbacks.handler import HardSampleCallbackHandler
from langchain_datashunt.store import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel


def test_the_handler_keeps_nothing_of_finished_traces(
    store: HardSampleStore, handler: HardSampleCallbackHandler, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model("I cannot say.")) | parser(on_invalid="small")
    chain.batch([f"text {i}" for i in range(20)], config)
    list(chain.stream(HARD, config))
    assert handler.run_map == {}
    assert handler.order_map == {}
    assert handler._heard == {}
    assert handler._reports == {}


def test_tokens_of_a_stream_are_not_collected(
    handler: HardSampleCallbackHandler, config: Config, small: KeywordSmallModel
) -> None:
    events: list[int] = []

    class Watching(BaseTracer):
        def _persist_run(self, run: Any) -> None:
            pass

    class Handler(HardSampleCallbackHandler):
        def _persist_run(self, run: Any) -> None:
            events.extend(len(child.events) for child in run.child_runs)
            super()._persist_run(run)

    chain = shunt(small, model("negative " + "word " * 50))
    list(chain.stream(HARD, {"callbacks": [Handler(handler.store), Watching()]}))
    assert max(events) == 2


def test_what_is_written_is_ascii_json(
    tmp_path: Path, store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    (shunt(small, model()) | parser()).invoke("Ünïcode \0 and \ud800", config)
    with sqlite3.connect(tmp_path / "samples.db") as connection:
        (payload,) = connection.execute("SELECT payload FROM samples").fetchone()
    assert payload.isascii()
    assert json.loads(payload)["input"] == "Ünïcode \0 and \ud800"
    assert only(store).input == "Ünïcode \0 and \ud800"
