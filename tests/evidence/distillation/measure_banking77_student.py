"""banking77: a MiniLM of ten labels a class learns from what GPT-4 answered to the dev rows that it deferred.

Run: ``python -m tests.evidence.distillation.measure_banking77_student``, about twenty minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from langchain_datashunt.distillation.distilling import distill
from langchain_datashunt.distillation.transformers_training import TransformersTraining
from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.fitting import fit_policy
from langchain_datashunt.policy.goals import TargetRisk
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.small_models import TransformersClassifier
from langchain_datashunt.small_models.folders import model_folder
from langchain_datashunt.small_models.sentence_encoder import EMBEDDED_ENCODER
from langchain_datashunt.types import SmallModel
from tests.evidence.distillation.learning_streams import hard_samples
from tests.evidence.recorded.measure_banking77 import LARGE_MODEL, few_labels
from tests.evidence.recorded.recorded_rows import Rows, read_rows, recorded_folder

GATE = 3_000
RISK = 0.1
STREAM = 700
"""Of the 1,001 dev rows; the others are scored, and 3,000 further train rows beside them, which have no answers."""


def measure(folder: Path, scratch: Path, *, epochs: int, learning_rate: float) -> None:
    """Fine-tune on ten labels a class, serve the stream, distil, and print both models."""
    dev = read_rows(folder, "banking77", "dev")
    train = read_rows(folder, "banking77", "train").without(dev.texts)
    gold = few_labels(train)
    rest = train.without(gold.texts)
    order = np.random.default_rng(0).permutation(len(rest))
    gate, test = rest.at(order[:GATE]), rest.at(order[GATE : 2 * GATE])
    requests = np.random.default_rng(1).permutation(len(dev))
    stream, scored = dev.at(requests[:STREAM]), dev.at(requests[STREAM:])
    settings = {"learning_rate": learning_rate, "batch_size": 16, "device": "cpu"}
    first = TransformersTraining(scratch / "first", epochs=epochs, validation_share=0.0, **settings)
    untrained = untrained_minilm(scratch / "untrained", sorted(set(train.labels)))
    made = distill(untrained, [], gold=(gold.texts, gold.labels.tolist()), screen=False, training=first)
    serving = made.student
    print(f"fine-tuned on {len(gold)} labels: {made.report.training}, {made.report.seconds:.0f} s", flush=True)
    policy = report("serving", serving, gate, test, scored)
    hard = stream.at(np.flatnonzero(~policy.accepts(serving.predict_proba(stream.texts))))
    made = distill(
        serving,
        hard_samples(hard, LARGE_MODEL),
        policy=policy,
        replay=stream.texts,
        gold=(gold.texts, gold.labels.tolist()),
        held_out=gate.texts,
        teacher_prior=0.8,
        training=TransformersTraining(scratch / "student", epochs=epochs // 2, **settings),
    )
    print(f"student: {made.report.counts}; {made.report.training}; {made.report.seconds:.0f} s", flush=True)
    report("student", made.student, gate, test, scored)
    naive = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=100.0))
    answered = [(text, answer) for text, answer in zip(hard.texts, hard.answers(LARGE_MODEL), strict=True) if answer]
    naive.fit([*gold.texts, *(text for text, _ in answered)], [*gold.labels, *(answer for _, answer in answered)])
    report("TF-IDF + LR on gold + hard", naive, gate, test, scored)


def untrained_minilm(folder: Path, labels: Sequence[str]) -> TransformersClassifier:
    """All-MiniLM-L6-v2 with a fresh classification head."""
    source = model_folder(EMBEDDED_ENCODER, None)
    names = {column: str(label) for column, label in enumerate(labels)}
    network = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(labels), id2label=names)
    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return TransformersClassifier(folder, max_length=64, device="cpu")


def report(name: str, small: SmallModel, gate: Rows, test: Rows, scored: Rows) -> ShuntPolicy:
    """Print a model with a policy of its own, on rows that neither trained it nor fitted the policy."""
    classes = np.asarray(small.classes_)
    try:
        policy = fit_policy(small, gate.texts, gate.labels.tolist(), TargetRisk(RISK))
    except InfeasibleTargetError as error:
        print(f"| {name} | {error} |", flush=True)
        raise
    rows = small.predict_proba(test.texts)
    accepted, right = policy.accepts(rows), classes[np.argmax(rows, axis=1)] == test.labels
    answers = small.predict_proba(scored.texts)
    kept = policy.accepts(answers)
    large_right = np.array(scored.answers(LARGE_MODEL), dtype=object) == scored.labels
    system = np.where(kept, classes[np.argmax(answers, axis=1)] == scored.labels, large_right)
    print(
        f"| {name} | accuracy {right.mean():.3f} (n = {len(test):,}) | deferral {1 - accepted.mean():.3f} "
        f"| selective risk {(~right[accepted]).mean():.3f} | system {system.mean():.3f}, large alone "
        f"{large_right.mean():.3f} (n = {len(scored)}), deferral there {1 - kept.mean():.3f} |",
        flush=True,
    )
    return policy


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        measure(recorded_folder(), Path(place), epochs=given.epochs, learning_rate=given.learning_rate)
