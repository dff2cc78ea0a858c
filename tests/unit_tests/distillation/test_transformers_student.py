from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hard_samples import sample
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tiny_models import WORDS, save_tiny_bert
from transformers import BertForSequenceClassification

from langchain_datashunt import Distillation, TransformersClassifier, TransformersTraining, distill
from langchain_datashunt.distillation.alternating_batches import alternating_batches, stage_scales
from langchain_datashunt.distillation.folder_locks import locked_folder
from langchain_datashunt.distillation.transformers_student import TransformersStudent
from langchain_datashunt.errors import DistillationError

CLASSES = ("negative", "neutral", "positive")
VERDICTS = {"good": "positive", "great": "positive", "bad": "negative", "awful": "negative"}
FILMS, ORDERS = ["the", "of", "and", "film", "was", "story", "actors"], WORDS[11:]
RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def texts(words: list[str], endings: list[str], n: int) -> list[str]:
    starts = [" ".join(RNG.choice(words, size=int(RNG.integers(2, 6)))) for _ in range(4 * n)]
    return list(dict.fromkeys(f"{start} {RNG.choice(endings)}" for start in starts))[:n]


def label(text: str) -> str:
    """What the teacher says."""
    return VERDICTS[text.rsplit(maxsplit=1)[-1]]


HARD, REPLAY = texts(FILMS, list(VERDICTS), 160), texts(ORDERS, ORDERS, 80)
SAMPLES = [sample(text, label=label(text), classes=CLASSES, id=str(place)) for place, text in enumerate(HARD)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TransformersClassifier:
    folder = tmp_path_factory.mktemp("serving")
    save_tiny_bert(folder)
    network = BertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(0.2 if weights.ndim > 1 else 1.0)  # such large random weights as it has learn slowly
    network.save_pretrained(folder)
    return TransformersClassifier(folder, device="cpu")


def training(folder: Path, **settings: Any) -> TransformersTraining:
    given_settings = {"epochs": 6, "learning_rate": 1e-2, "device": "cpu", **settings}
    return TransformersTraining(folder, **given_settings)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=50),
    st.lists(st.integers(1, 60), max_size=50),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(0, 5),
)
def test_batches_alternate_and_each_epoch_shows_every_row_to_acquire_once(
    acquire: list[int], retain: list[int], epochs: int, batch_size: int, seed: int
) -> None:
    plan = alternating_batches(acquire, retain, epochs=epochs, batch_size=batch_size, seed=seed)
    acquiring = plan[:: 2 if retain else 1]
    per_epoch = -(-len(acquire) // batch_size)
    assert len(acquiring) == epochs * per_epoch
    for epoch in range(epochs):
        shown = [row for batch in acquiring[epoch * per_epoch :][:per_epoch] for row in batch]
        assert sorted(shown) == list(range(len(acquire)))
    retained = {row for batch in (plan[1::2] if retain else []) for row in batch}
    assert retained <= set(range(len(acquire), len(acquire) + len(retain)))
    assert plan == alternating_batches(acquire, retain, epochs=epochs, batch_size=batch_size, seed=seed)


@given(st.integers(1, 2000), st.integers(1, 40))
def test_no_row_weighs_much_more_than_another_because_its_batch_is_small(n: int, batch_size: int) -> None:
    """A batch's loss is a mean: a rest of one row would count as much as a whole batch."""
    sizes = [len(batch) for batch in alternating_batches(list(range(n)), [], epochs=1, batch_size=batch_size, seed=0)]
    assert sum(sizes) == n
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_the_scales_give_each_stage_its_share_of_the_loss() -> None:
    scales = stage_scales(np.array([1.0, 3.0]), np.array([0.5, 0.5, 1.0]))
    assert scales[:2].mean() == pytest.approx(1.0)
    assert scales[2:].mean() == pytest.approx(0.5)


def test_a_student_learns_the_teachers_answers_and_keeps_its_own_on_replay(
    small: TransformersClassifier, tmp_path: Path
) -> None:
    steps: list[tuple[str, int, int]] = []
    made = distill(
        small,
        SAMPLES,
        replay=REPLAY,
        screen=False,
        training=training(tmp_path / "student"),
        progress=lambda *step: steps.append(step),
    )
    student, facts = made.student, made.report.training
    right = [label(text) for text in HARD]

    def accuracy(of: TransformersClassifier) -> float:
        return float((np.array(of.classes_)[of.predict_proba(HARD).argmax(axis=1)] == right).mean())

    assert accuracy(student) > accuracy(small) + 0.2
    before, after = small.predict_proba(REPLAY), student.predict_proba(REPLAY)
    forgetful = distill(small, SAMPLES, screen=False, training=training(tmp_path / "forgetful")).student
    assert np.abs(after - before).mean() < 0.8 * np.abs(forgetful.predict_proba(REPLAY) - before).mean()
    assert student.classes_ == small.classes_
    assert made.report.student_version == student.version != small.version
    assert steps[-1] == ("train", facts["steps"], facts["steps_planned"])
    assert min(entry["nll"] for entry in facts["evaluations"]) < facts["evaluations"][0]["nll"]
    assert facts["device"] == "cpu"
    assert not (tmp_path / "student" / "checkpoints").exists()
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "student").iterdir()
    }


@pytest.mark.parametrize("criterion", ["nll", "aurc"])
def test_the_best_checkpoint_on_held_out_rows_is_the_student(
    small: TransformersClassifier, tmp_path: Path, criterion: Any
) -> None:
    made = distill(
        small,
        SAMPLES,
        screen=False,
        training=training(tmp_path / "student", learning_rate=3e-2, criterion=criterion, patience=2),
    )
    facts = made.report.training
    best = min(facts["evaluations"], key=lambda entry: (entry[criterion], entry["step"]))
    assert facts["best_step"] == best["step"]
    assert facts["held_out"] > 0


def interruptible(small: TransformersClassifier, folder: Any) -> Distillation:
    """The training that one test kills."""
    settings = training(folder, evaluations=6, patience=6)
    return distill(small, SAMPLES, replay=REPLAY, screen=False, training=settings)


@pytest.fixture(scope="module")
def killed_once(small: TransformersClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed behind its first checkpoint."""
    folder = tmp_path_factory.mktemp("killed") / "student"
    tests = Path(__file__).parents[2]
    paths = [str(Path(__file__).parent), str(tests), str(tests.parent)]
    command = [sys.executable, "-c", _SCRIPT, str(small.folder()), str(folder), *paths]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603  this interpreter
    while not list(folder.glob("checkpoints/checkpoint-*/complete")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "model.safetensors").exists()
    return Path(shutil.copytree(folder, folder.with_name("kept")))


@pytest.fixture
def killed(killed_once: Path) -> Path:
    """The same, for each test as it was; in its place, which is part of what is resumed."""
    folder = killed_once.with_name("student")
    shutil.rmtree(folder)
    return Path(shutil.copytree(killed_once, folder))


def test_a_training_that_was_killed_resumes_and_ends_at_the_same_student(
    small: TransformersClassifier, killed: Path, tmp_path: Path
) -> None:
    resumed, whole = interruptible(small, killed), interruptible(small, tmp_path / "whole")
    assert resumed.report.training["resumed_from_step"] > 0
    assert whole.report.training["resumed_from_step"] is None
    assert resumed.report.training["evaluations"] == whole.report.training["evaluations"]
    expected = load_file(tmp_path / "whole" / "model.safetensors")
    for name, values in load_file(killed / "model.safetensors").items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def overfitting(small: TransformersClassifier, folder: Path) -> Distillation:
    """A training that stops early, its best checkpoint behind it."""
    settings = training(folder, learning_rate=5e-2, patience=1)
    return distill(small, SAMPLES, replay=REPLAY, screen=False, training=settings)


@pytest.fixture
def stopped(small: TransformersClassifier, tmp_path: Path) -> Path:
    """The folder of a training that was killed when it had stopped early, and had not yet written the student."""
    folder = tmp_path / "stopped"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransformersStudent, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            overfitting(small, folder)
    return folder


@pytest.fixture
def whole(small: TransformersClassifier, tmp_path: Path) -> Distillation:
    """The same training, left alone."""
    made = overfitting(small, tmp_path / "whole")
    facts = made.report.training
    assert facts["best_step"] < facts["steps"] < facts["steps_planned"]
    return made


def test_a_training_that_had_stopped_early_is_not_trained_on(
    small: TransformersClassifier, stopped: Path, whole: Distillation
) -> None:
    again, facts = overfitting(small, stopped), whole.report.training
    assert again.report.training == {**facts, "resumed_from_step": facts["steps"]}
    assert again.student.version == whole.student.version


def test_a_checkpoint_that_was_half_deleted_is_not_resumed(
    small: TransformersClassifier, stopped: Path, whole: Distillation
) -> None:
    last = stopped / "checkpoints" / f"checkpoint-{whole.report.training['steps']}"
    (last / "optimizer.pt").unlink()
    again = overfitting(small, stopped)
    assert again.report.training["resumed_from_step"] < whole.report.training["steps"]
    assert again.student.version == whole.student.version


def test_checkpoints_that_were_moved_start_anew(
    small: TransformersClassifier, stopped: Path, whole: Distillation
) -> None:
    """They name the best of them by its path: moved, it would be lost, and the last weights taken in its place."""
    again = overfitting(small, stopped.rename(stopped.with_name("moved")))
    assert again.report.training == whole.report.training
    assert again.student.version == whole.student.version


def test_two_trainings_at_once_in_one_folder_are_refused(small: TransformersClassifier, tmp_path: Path) -> None:
    with locked_folder(tmp_path, wait=False), pytest.raises(DistillationError, match="another training is writing"):
        overfitting(small, tmp_path)


def test_checkpoints_of_other_lessons_are_not_resumed(small: TransformersClassifier, killed: Path) -> None:
    made = distill(small, SAMPLES[:80], screen=False, training=training(killed, epochs=1))
    assert made.report.training["resumed_from_step"] is None


def test_a_transformers_student_needs_a_folder_of_its_own(small: TransformersClassifier, tmp_path: Path) -> None:
    with pytest.raises(DistillationError, match="training=TransformersTraining"):
        distill(small, SAMPLES)
    with pytest.raises(DistillationError, match="folder of its own"):
        distill(small, SAMPLES, training=training(small.folder()))
    with pytest.raises(DistillationError, match="validation_share"):
        distill(small, SAMPLES[:1], screen=False, training=training(tmp_path / "student"))


@pytest.mark.parametrize(
    "settings",
    [{"epochs": 0}, {"validation_share": 1.0}, {"learning_rate": 0.0}, {"criterion": "f1"}, {"device": "tpu"}],
)
def test_settings_that_cannot_train_are_refused_by_name(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(DistillationError, match=next(iter(settings))):
        TransformersTraining(tmp_path, **settings)


_SCRIPT = """
import sys
sys.path[:0] = sys.argv[3:]
from test_transformers_student import TransformersClassifier, interruptible
interruptible(TransformersClassifier(sys.argv[1], device="cpu"), sys.argv[2])
"""
