"""One round of the loop: what is promoted, what is not, and what is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worded_texts import draw, hard_samples, model_of

from langchain_datashunt import ModelRegistry, PromotedModel, PromotionGate, RegistryError, TargetRisk, learn_once
from langchain_datashunt.errors import DistillationError
from langchain_datashunt.learning_loop import attempts
from langchain_datashunt.small_models import version_of

GATE = draw(3000, 1)
REQUESTS, ANSWERS = draw(1500, 2)
START = draw(60, 3)


def gate_in(folder: Path) -> PromotionGate:
    return PromotionGate(*GATE, goal=TargetRisk(0.1), ledger=folder / "gate.json")


@pytest.fixture(scope="module")
def first() -> Any:
    return model_of(*START)


@pytest.fixture
def registry(first: Any, tmp_path: Path) -> ModelRegistry:
    registry = ModelRegistry(tmp_path / "models")
    registry.promote(registry.add(first, gate_in(tmp_path).fit_policy(first)).number)
    return registry


def deferred(registry: ModelRegistry, small: Any) -> tuple[list[str], list[str]]:
    hard = ~registry.version(1).policy.accepts(small.predict_proba(REQUESTS))
    return [REQUESTS[row] for row in np.flatnonzero(hard)], [ANSWERS[row] for row in np.flatnonzero(hard)]


def test_a_better_student_is_kept_promoted_and_picked_up(registry: ModelRegistry, first: Any, tmp_path: Path) -> None:
    serving = PromotedModel(registry.folder)
    samples = hard_samples(*deferred(registry, first))
    outcome = learn_once(registry, samples, gate_in(tmp_path), replay=REQUESTS, gold=START)
    assert (outcome.status, outcome.serving, outcome.version) == ("promoted", 1, 2)
    assert registry.promoted().version == 2  # type: ignore[union-attr]
    assert registry.history()[-1].reason == outcome.reason
    card = registry.version(2).card
    assert card.parents == (1,)
    assert card.data["acquire"] > 0
    assert card.metrics["gate"]["decision"] == "promote"
    assert serving.reload()
    defers = [
        1 - float(np.mean(version.policy.accepts(registry.load(version.number).small.predict_proba(GATE[0]))))
        for version in registry.versions()
    ]
    assert defers[1] < defers[0]


def test_labels_that_are_wrong_promote_nothing(registry: ModelRegistry, first: Any, tmp_path: Path) -> None:
    texts, labels = deferred(registry, first)
    flipped = ["negative" if label == "positive" else "positive" for label in labels]
    outcome = learn_once(registry, hard_samples(texts, flipped), gate_in(tmp_path), screen=False)
    assert outcome.status == "rejected"
    assert (outcome.version, registry.promoted().version, len(registry.versions())) == (None, 1, 1)  # type: ignore[union-attr]
    assert attempts(registry)[-1]["status"] == "rejected"


def test_without_new_samples_there_is_nothing_to_do(registry: ModelRegistry, first: Any, tmp_path: Path) -> None:
    texts, labels = deferred(registry, first)
    gate = gate_in(tmp_path)
    few = hard_samples(texts[:30], labels[:30])
    assert learn_once(registry, few, gate, min_new=31).status == "nothing to do"
    assert attempts(registry) == []
    done = learn_once(registry, few, gate, min_new=30)
    assert done.status != "nothing to do"
    again = learn_once(registry, few, gate, min_new=1)
    assert (again.status, again.new_samples) == ("nothing to do", 0)
    more = [*few, *hard_samples(texts[30:60], labels[30:60], since=1000.0)]
    outcome = learn_once(registry, more, gate, min_new=1)
    assert (outcome.status != "nothing to do", outcome.new_samples) == (True, 30)
    assert len(attempts(registry)) == 2


def test_samples_that_cannot_train_are_not_new(registry: ModelRegistry, tmp_path: Path) -> None:
    from dataclasses import replace

    broken = [replace(sample, complete=False, label=None) for sample in hard_samples(REQUESTS[:200], ANSWERS[:200])]
    outcome = learn_once(registry, broken, gate_in(tmp_path))
    assert (outcome.status, outcome.new_samples) == ("nothing to do", 0)


def test_a_student_that_was_compared_with_a_version_that_no_longer_serves_is_not_promoted(
    registry: ModelRegistry, first: Any, tmp_path: Path
) -> None:
    other = model_of(*draw(100, 9))
    gate = gate_in(tmp_path)
    registry.add(other, gate.fit_policy(other))

    class Interrupted(PromotionGate):
        def judge(self, candidate: Any, serving: Any, serving_policy: Any) -> Any:
            registry.promote(2)  # somebody else, meanwhile
            return super().judge(candidate, serving, serving_policy)

    interrupted = Interrupted(*GATE, goal=TargetRisk(0.1), ledger=tmp_path / "other.json")
    samples = hard_samples(*deferred(registry, first))
    with pytest.raises(RegistryError, match="was to replace version 1, but version 2 serves now"):
        learn_once(registry, samples, interrupted, replay=REQUESTS, gold=START)
    assert registry.promoted().version == 2  # type: ignore[union-attr]


def test_a_registry_that_has_promoted_nothing_has_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no version is promoted, so there is none to distil from"):
        learn_once(ModelRegistry(tmp_path / "models"), hard_samples(REQUESTS, ANSWERS), gate_in(tmp_path))


def test_arguments_in_another_order_are_named(registry: ModelRegistry, tmp_path: Path) -> None:
    gate: Any = gate_in(tmp_path)
    with pytest.raises(DistillationError, match="gate is no PromotionGate"):
        learn_once(registry, gate, hard_samples(REQUESTS, ANSWERS))
    with pytest.raises(DistillationError, match=r"registry is no ModelRegistry: 'models'"):
        learn_once("models", hard_samples(REQUESTS, ANSWERS), gate)  # type: ignore[arg-type]
    with pytest.raises(DistillationError, match="samples are HardSample records"):
        learn_once(registry, gate, gate)


def test_what_is_noted_of_a_round_holds_no_input(registry: ModelRegistry, first: Any, tmp_path: Path) -> None:
    texts, labels = deferred(registry, first)
    learn_once(registry, hard_samples(texts, labels), gate_in(tmp_path), replay=REQUESTS, gold=START)
    written = [path.read_text() for path in registry.folder.rglob("*.json")]
    assert not any(text in content for content in written for text in texts[:50])
    assert version_of(first) in "".join(written)
