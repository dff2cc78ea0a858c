"""The chain under load: all-MiniLM-L6-v2 with a linear head on banking77, before recorded GPT-4 answers.

`datashunt serve banking_chain:chain` serves it, with its log and its metrics; the environment says with what.
"""

from __future__ import annotations

import atexit
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from langchain_datashunt import (
    EmbeddingClassifier,
    HardSampleCallbackHandler,
    HardSampleStore,
    MicroBatched,
    RunnableDataShunt,
    SentenceEncoder,
    ShuntMetrics,
)

DATA = Path(os.environ.get("DATASHUNT_SHARED", "../shared")) / "data" / "banking77"
LARGE = "gpt-4-fewshot"
A_CLASS = 10
"""Training rows a class."""
DEFERRED = 0.4
"""Wished share of the deferred."""


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a file."""
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def asked_rows() -> list[dict[str, Any]]:
    """Return the rows to ask about: those with a recorded answer, and a text that stands there once."""
    recorded = [row for row in rows("dev") if LARGE in row.get("answers", {})]
    count = Counter(row["text"] for row in recorded)
    return [row for row in recorded if count[row["text"]] == 1 and len(row["text"]) >= 24]  # the server's key


def small_model() -> EmbeddingClassifier:
    """Return the fitted small model."""
    taken: Counter[str] = Counter()
    train: list[dict[str, Any]] = []
    for row in rows("train"):
        if taken[row["label"]] < A_CLASS:
            taken[row["label"]] += 1
            train.append(row)
    texts, labels = [row["text"] for row in train], [row["label"] for row in train]
    return EmbeddingClassifier.fit(texts, labels, embeddings=SentenceEncoder.embedded())


def threshold_between(confidences: Any, share: float) -> float:
    """Return the middle of the widest gap near a quantile, where rounding decides no input otherwise.

    What is measured is load and not accuracy, so the rows that are asked may choose it.
    """
    ordered = np.sort(confidences)
    middle = int(share * len(ordered))
    near = ordered[middle - 10 : middle + 10]
    widest = int(np.argmax(np.diff(near)))
    return float(near[widest : widest + 2].mean())


def chain() -> Any:
    """Return the chain as it is served, with a log in FOLDER; what the metrics counted is written there at the end."""
    folder = Path(os.environ["FOLDER"])
    small: Any = EmbeddingClassifier.load(folder / "small.json", embeddings=SentenceEncoder.embedded())
    if os.environ["MICRO_BATCHED"] == "yes":
        small = MicroBatched(small)
    large = ChatOpenAI(model=LARGE, base_url=os.environ["LARGE_URL"], api_key="recorded", max_retries=10)  # type: ignore[arg-type]
    shunt = RunnableDataShunt(small, threshold=float(os.environ["THRESHOLD"]))
    store, reader = HardSampleStore(folder / "samples.db"), InMemoryMetricReader()
    metrics = ShuntMetrics(log=store, meter_provider=MeterProvider([reader], shutdown_on_exit=False))
    atexit.register(write_counters, reader, folder / "counters.json")
    handler = HardSampleCallbackHandler(store, observer=metrics)
    branch = ChatPromptTemplate.from_template("{text}") | large
    return (shunt | branch | StrOutputParser()).with_config(callbacks=[handler])


def write_counters(reader: InMemoryMetricReader, path: Path) -> None:
    """Write what ``datashunt.requests`` and ``datashunt.records`` counted, by route."""
    counters: dict[str, Counter[str]] = {"datashunt.requests": Counter(), "datashunt.records": Counter()}
    data: Any = reader.get_metrics_data()
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    for metric in (each for scope in scopes for each in scope.metrics if each.name in counters):
        for point in metric.data.data_points:
            counters[metric.name][point.attributes["datashunt.route"]] += point.value
    path.write_text(json.dumps(counters), encoding="utf-8")
