"""One round of the learning loop where an ONNX export serves: the lines of docs/registry.md, as they stand there."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hard_samples import sample
from tiny_models import save_tiny_bert, save_tiny_onnx
from transformers import BertForSequenceClassification

import langchain_datashunt
from langchain_datashunt import (
    HardSampleStore,
    ModelRegistry,
    OnnxClassifier,
    PromotionGate,
    ShuntPolicy,
    TargetRisk,
    TransformersClassifier,
    TransformersTraining,
    distill,
)

PAGE = Path(__file__).parents[3] / "docs" / "registry.md"
CLASSES = ("negative", "neutral", "positive")
VERDICTS = {"good": "positive", "great": "positive", "bad": "negative", "awful": "negative"}

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def draw(n: int, seed: int) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    words = ["the", "of", "and", "film", "was", "story", "actors", "money", "service"]
    texts = [f"{' '.join(rng.choice(words, size=4))} {rng.choice(list(VERDICTS))}" for _ in range(n)]
    return texts, [VERDICTS[text.rsplit(maxsplit=1)[-1]] for text in texts]


def answered(texts: list[str], labels: list[str]) -> list[Any]:
    return [
        sample(text, label=label, classes=CLASSES, probabilities=None, id=str(place))
        for place, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]


def taught(small: TransformersClassifier, folder: Path) -> None:
    """A first model."""
    training = TransformersTraining(folder, epochs=8, learning_rate=1e-2, validation_share=0)
    distill(small, answered(*draw(160, 1)), screen=False, training=training)


def test_the_round_of_the_page_promotes_the_export_of_a_better_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_bert(Path("untrained"))
    network = BertForSequenceClassification.from_pretrained("untrained")
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(0.2 if weights.ndim > 1 else 1.0)  # such large random weights as it has learn slowly
    network.save_pretrained("untrained")
    taught(TransformersClassifier("untrained"), Path("parent"))

    gate = PromotionGate(*draw(400, 2), goal=TargetRisk(0.45), ledger="gate.json")
    save_tiny_onnx(Path("serving"))  # no export of the parent, which would take as long again
    first = OnnxClassifier("serving")
    registry = ModelRegistry("models")
    policy = ShuntPolicy(first.classes_, threshold=0.999, small_model_version=first.version)
    registry.promote(registry.add(first, policy).number)
    with HardSampleStore("samples.db") as store:
        store.append(answered(*draw(160, 3)))
        names = {name: getattr(langchain_datashunt, name) for name in langchain_datashunt.__all__}
        round_: dict[str, Any] = {**names, "registry": registry, "store": store, "gate": gate, "texts": draw(60, 4)[0]}
        round_["TransformersTraining"] = partial(TransformersTraining, learning_rate=1e-2)  # it is so small
        (lines,) = re.findall(r"```text\n(serving = registry\.load.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        exec(lines, round_)  # noqa: S102  the page's own
    assert round_["verdict"].decision == "promote", round_["verdict"]
    promoted = registry.promoted()
    assert promoted is not None
    served = registry.load(promoted.version)
    assert served.number == 2
    assert isinstance(served.small, OnnxClassifier)
    assert served.small.version == round_["exported"].version
