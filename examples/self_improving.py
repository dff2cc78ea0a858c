"""The whole learning loop on this machine, in minutes: serve, log, distil, judge, promote, reload, serve better.

    python examples/self_improving.py

A small model (a head on all-MiniLM-L6-v2) begins with a few labels and a certified policy. It serves a stream of review
sentences; what it is not sure of goes to a real, if weak, LLM on a local server (SmolLM2-135M). The log keeps those
sentences with the LLM's answers. A person labels the ones nearest to the threshold; here the raters of the data set
do. Then one round of the loop: a student is distilled, judged on gold rows that never train, and promoted if it
defers less at the same certified risk; the running chain switches to it. The same test sentences are served before and
after.

Everything is installed by ``make setup``. What it shows is that the parts fit together, and what a round can bring
where labels are few; an LLM of 135 million parameters stands for no large model's quality.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_datashunt import (
    EmbeddingClassifier,
    HardSampleCallbackHandler,
    HardSampleStore,
    LoopOutcome,
    ModelRegistry,
    PromotedModel,
    PromotionGate,
    RunnableDataShunt,
    SentenceEncoder,
    TargetRisk,
    learn_once,
)
from langchain_datashunt.demo.large_model import LargeModel, local_model
from langchain_datashunt.demo.local_server import LocalServer
from langchain_datashunt.demo.small_model import columns
from langchain_datashunt.demo.splits import split_by_review
from langchain_datashunt.demo.texts import Snippet, default_cache, load_snippets


@dataclass(frozen=True)
class Measured:
    """What a chain did on the test sentences.

    Attributes:
        deferral: Share of the sentences that went to the LLM.
        accuracy: Share that the chain answered as the raters do.
        versions: The policies that stand in the records.
    """

    deferral: float
    accuracy: float
    versions: set[str]


def measure(chain: Any, rows: Sequence[Snippet], large: LargeModel) -> Measured:
    """Serve the rows, and compare the answers with the raters'."""
    texts, labels = columns(rows)
    messages = chain.batch(texts, config={"max_concurrency": large.concurrency})
    parser = large.parser(on_invalid="small")
    records = [message.response_metadata["datashunt"] for message in messages]
    answers = [
        record["label"] if record["route"] == "small" else parser.invoke(message)
        for record, message in zip(records, messages, strict=True)
    ]
    return Measured(
        deferral=sum(record["route"] == "large" for record in records) / len(rows),
        accuracy=sum(answer == label for answer, label in zip(answers, labels, strict=True)) / len(rows),
        versions={record["policy_id"] for record in records},
    )


def label_by_hand(store: HardSampleStore, threshold: float, how_many: int, rows: Sequence[Snippet]) -> int:
    """Label the logged sentences that are nearest to the threshold, as a person would: here the raters do."""
    truth = {row.text: row.label for row in rows}
    nearest = store.nearest(threshold, limit=how_many)
    for sample in nearest:
        store.label(sample.id, truth[sample.input])
    return len(nearest)


def improve(folder: Path, large: LargeModel, options: argparse.Namespace) -> tuple[Measured, LoopOutcome, Measured]:
    """Run the loop once; return what the chain did on the test sentences before, the outcome, and the same after."""
    split = split_by_review(
        load_snippets(default_cache()),
        train_rows=options.labels,
        calibration_rows=options.gate,
        test_rows=options.test,
        seed=options.seed,
    )
    stream = split.development[: options.stream]
    gate = PromotionGate(*columns(split.calibration), goal=TargetRisk(options.risk), ledger=folder / "gate.json")

    say(f"a first model from {len(split.train)} labels, its policy certified on half of {options.gate} gold rows")
    first = EmbeddingClassifier.fit(*columns(split.train), embeddings=SentenceEncoder.embedded())
    registry = ModelRegistry(folder / "models")
    registry.promote(registry.add(first, gate.fit_policy(first), data={"gold": len(split.train)}).number)

    serving = PromotedModel(registry.folder)
    chain = RunnableDataShunt(serving) | (large.prompt() | large.chat)
    say(f"version {serving.number} serves {len(split.test)} test sentences")
    before = measure(chain, split.test, large)

    say(f"version {serving.number} serves a stream of {len(stream)} other sentences, and the log fills")
    with HardSampleStore(folder / "samples.db") as store:
        logged = chain | large.parser(on_invalid="none")
        config = {"callbacks": [HardSampleCallbackHandler(store)], "max_concurrency": large.concurrency}
        logged.batch([row.text for row in stream], config=config)
        labelled = label_by_hand(store, serving.policy.threshold, options.by_hand, stream)
        say(f"{labelled} of the logged sentences are labelled by hand; a student is distilled and judged")
        outcome = learn_once(
            registry,
            store.iter_samples(),
            gate,
            min_new=1,
            replay=[row.text for row in stream],
            gold=columns(split.train),
            teacher_prior=options.teacher_prior,
            seed=options.seed,
        )
    say(f"{outcome.status}: {outcome.reason}")
    if outcome.status == "promoted":
        serving.reload()
    say(f"version {serving.number} serves the same test sentences")
    return before, outcome, measure(chain, split.test, large)


def say(what: str) -> None:
    """Print what happens, with the seconds since the start."""
    print(f"{time.perf_counter() - STARTED:6.1f} s  {what}", flush=True)


def main() -> None:
    """Read the options, start the LLM's server, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=60, help="that the first model learns from")
    parser.add_argument("--gate", type=int, default=1100, help="gold rows that certify and judge")
    parser.add_argument("--stream", type=int, default=600, help="sentences that are served and logged")
    parser.add_argument("--by-hand", type=int, default=150, help="of the logged sentences that a person labels")
    parser.add_argument("--test", type=int, default=200, help="sentences that are scored, before and after")
    parser.add_argument("--risk", type=float, default=0.2, help="that the policies certify")
    parser.add_argument("--teacher-prior", type=float, default=0.75, help="how often the LLM is right on hard inputs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, LocalServer() as server:
        before, outcome, after = improve(Path(folder), local_model(server.base_url), options)
    for name, measured in (("before", before), ("after", after)):
        print(f"{name:>7}: defers {measured.deferral:.1%}, answers {measured.accuracy:.1%} as the raters do")
    counts = {} if outcome.candidate is None else dict(outcome.candidate.made.report.counts)
    print(f"{outcome.status}; the student learned from {counts}")


STARTED = time.perf_counter()

if __name__ == "__main__":
    main()
