"""What ONNX Runtime saves beside PyTorch, on one classifier and the same texts, in one run.

Run it on a machine that does nothing else: ``bench_onnx.py [THREADS]``, by default as many as there are cores. The
classifier is all-MiniLM-L6-v2 with a sentiment head that is fitted here; the texts are the demo's review sentences.
Both ways go through `predict_proba`, tokenizer included, and take turns. A bar that is missed makes the exit status 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.demo.texts import default_cache, load_snippets
from langchain_datashunt.small_models import OnnxClassifier, TransformersClassifier, export_onnx
from langchain_datashunt.small_models.folders import model_folder
from langchain_datashunt.small_models.sentence_encoder import EMBEDDED_ENCODER

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else CORES
HEAD_ROWS, TIMED_ROWS, COMPARED_ROWS = 400, 128, 1500
SINGLE_CALLS = 40
ROUNDS = 7
BATCH_SIZES = (8, 16, 32)

THROUGHPUT_BAR, LATENCY_BAR, DIFFERENCE_BAR = 2.0, 0.5, 1e-4
"""At least so many times the texts a second; at most so much of the latency; probabilities no further apart."""


def save_classifier(folder: Path, texts: list[str], labels: list[str]) -> None:
    """Save the embedded encoder as a sequence classifier, whose head is a logistic regression of its pooled outputs."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = model_folder(EMBEDDED_ENCODER, None)
    names = sorted(set(labels))
    network = AutoModelForSequenceClassification.from_pretrained(
        source, num_labels=2, id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(source)
    with torch.inference_mode():
        encoded = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        pooled = network.bert(**encoded).pooler_output.double().numpy()
    head = LogisticRegression(C=10.0, max_iter=2000).fit(pooled, labels)
    network.classifier.weight.data = torch.from_numpy(np.vstack([-head.coef_, head.coef_]) / 2).float()
    network.classifier.bias.data = torch.from_numpy(np.concatenate([-head.intercept_, head.intercept_]) / 2).float()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Return the time of one call: on the wall's clock, and the processor's, which other work disturbs less."""
    began, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - used


def in_turns(first: Callable[[], object], second: Callable[[], object]) -> NDArray[np.float64]:
    """Return the ``(2, 2)`` median seconds, way by clock, of two ways that take turns, after one call of each."""
    first(), second()
    times = np.empty((ROUNDS, 2, 2))
    for turn in range(ROUNDS):
        for side in (0, 1) if turn % 2 else (1, 0):
            times[turn, side] = seconds((first, second)[side])
    return np.median(times, axis=0)


def calls(small: TransformersClassifier | OnnxClassifier, texts: list[str], size: int) -> Callable[[], None]:
    """Return what asks for `size` texts at a time."""

    def run() -> None:
        for start in range(0, len(texts), size):
            small.predict_proba(texts[start : start + size])

    return run


def main() -> int:
    """Print the table; return 1 if a bar was missed."""
    import torch

    torch.set_num_threads(THREADS)
    snippets = load_snippets(default_cache())
    rows = [snippets[i] for i in np.random.default_rng(0).permutation(len(snippets))]
    fitted, compared = rows[:HEAD_ROWS], [row.text for row in rows[HEAD_ROWS : HEAD_ROWS + COMPARED_ROWS]]
    timed = compared[:TIMED_ROWS]
    missed = 0
    with tempfile.TemporaryDirectory() as place:
        torch_folder, onnx_folder = Path(place) / "torch", Path(place) / "onnx"
        save_classifier(torch_folder, [row.text for row in fitted], [row.label for row in fitted])
        export_seconds, _ = seconds(lambda: export_onnx(TransformersClassifier(torch_folder), onnx_folder))
        print(f"{THREADS} threads each, {CORES} cores; export and comparison {export_seconds:.1f} s")
        print(f"{f'medians of {ROUNDS} rounds in turns':<40}{'torch':>10}{'ONNX':>10}{'ratio':>8}{'CPU':>7}{'bar':>9}")
        by_onnx = OnnxClassifier(onnx_folder, threads=THREADS)
        for size in BATCH_SIZES:
            by_torch = TransformersClassifier(torch_folder, batch_size=size)
            times = in_turns(calls(by_torch, timed, size), calls(by_onnx, timed, size))
            wall, used = times[0] / times[1]
            rates = len(timed) / times[:, 0]
            missed += wall < THROUGHPUT_BAR
            print(
                f"{f'texts/s, calls of {size} texts':<40}{rates[0]:>10.0f}{rates[1]:>10.0f}{wall:>7.2f}x{used:>6.2f}x"
                f"{f'>= {THROUGHPUT_BAR:g}x':>9}",
                flush=True,
            )
        by_torch, singles = TransformersClassifier(torch_folder), timed[:SINGLE_CALLS]
        times = in_turns(calls(by_torch, singles, 1), calls(by_onnx, singles, 1)) / len(singles)
        wall, used = times[1] / times[0]
        missed += wall > LATENCY_BAR
        print(
            f"{'ms a call of one text':<40}{times[0, 0] * 1e3:>10.2f}{times[1, 0] * 1e3:>10.2f}"
            f"{wall:>7.2f}x{used:>6.2f}x{f'<= {LATENCY_BAR:g}x':>9}"
        )
        theirs, ours = by_torch.predict_proba(compared), by_onnx.predict_proba(compared)
        agreeing = (theirs.argmax(axis=1) == ours.argmax(axis=1)).mean()
        difference = np.abs(theirs - ours).max()
        missed += agreeing < 1 or difference >= DIFFERENCE_BAR
        print(
            f"{len(compared)} texts: labels agree on {agreeing:.2%}; largest difference of a probability "
            f"{difference:.1e} (bar {DIFFERENCE_BAR:g}); probabilities from {ours.min():.4f} to {ours.max():.4f}"
        )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
