"""Students of a transformers classifier: all weights are trained, on batches to acquire and to retain in turn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langchain_datashunt.distillation.folder_locks import locked_folder
from langchain_datashunt.distillation.sklearn_student import fit_on_soft_labels
from langchain_datashunt.distillation.stages import Lessons, Stage
from langchain_datashunt.distillation.transformers_training import TransformersTraining
from langchain_datashunt.errors import DistillationError, MissingExtraError
from langchain_datashunt.policy.splitting import as_uniform, hash_inputs
from langchain_datashunt.small_models import TransformersClassifier, version_of
from langchain_datashunt.small_models.fingerprints import fingerprint
from langchain_datashunt.small_models.folders import deciding_files, weight_files
from langchain_datashunt.small_models.torch_text_model import no_progress_bar
from langchain_datashunt.types import BoolArray, SmallModel

CHECKPOINTS = "checkpoints"
_LESSONS = "lessons.json"


class TransformersStudent:
    """A student of a `TransformersClassifier`, written to a folder."""

    def __init__(
        self,
        small: TransformersClassifier,
        training: TransformersTraining,
        progress: Callable[[str, int, int], None] | None,
        seed: int,
    ) -> None:
        self.small = small
        self.training = training
        self.progress = progress
        self.seed = seed
        self.folder = Path(training.folder)
        if small.folder().resolve() == self.folder.resolve():
            raise DistillationError(f"the serving model lies in {self.folder}: give the student a folder of its own")

    def fit(self, lessons: Lessons) -> tuple[TransformersClassifier, dict[str, Any]]:
        """Train, write the student, and return it with what the training says of itself.

        Raises:
            DistillationError: No row is left to validate on, or to train on; or another training is in the folder.
        """
        try:
            from langchain_datashunt.distillation.alternating_trainer import train_alternating  # noqa: PLC0415  extras
        except ImportError as error:
            raise MissingExtraError("training a transformers student", "transformers") from error
        with locked_folder(self.folder, wait=False):
            return self._trained(lessons, train_alternating)

    def _trained(
        self, lessons: Lessons, train: Callable[..., tuple[Any, dict[str, Any]]]
    ) -> tuple[TransformersClassifier, dict[str, Any]]:
        checkpoints = self._checkpoints_of(lessons)
        learned, held_out = self._split(lessons)
        network, facts = train(
            self.small,
            learned,
            held_out,
            self.training,
            checkpoints=checkpoints,
            progress=self.progress,
            seed=self.seed,
        )
        self._write(network)
        (checkpoints / _LESSONS).unlink()  # first: of what is half deleted nothing is resumed
        shutil.rmtree(checkpoints)
        return self._student(), facts

    def fit_to_screen(self, rows: Stage) -> SmallModel:
        """Return a TF-IDF and logistic regression student: five transformers would take five trainings."""
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  an extra
            from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  an extra
            from sklearn.pipeline import make_pipeline  # noqa: PLC0415  an extra
        except ImportError as error:
            raise MissingExtraError("screening the labels of a transformers student", "fit") from error
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        quick = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000))
        student: SmallModel = fit_on_soft_labels(quick, rows, self.small.classes_)
        return student

    def _checkpoints_of(self, lessons: Lessons) -> Path:
        """Return the folder of this training's checkpoints; those of another, or of another place, are deleted."""
        folder = self.folder.resolve() / CHECKPOINTS  # checkpoints name the best one by its path
        rows = lessons.together()
        settings = {name: value for name, value in asdict(self.training).items() if name != "folder"}
        learned = (list(rows.inputs), rows.targets, rows.weights, len(lessons.acquire))
        identity = fingerprint((learned, settings, str(folder), self.small.version, self.seed))
        named = folder / _LESSONS
        if not (named.is_file() and json.loads(named.read_text(encoding="utf-8")) == identity):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            named.write_text(json.dumps(identity), encoding="utf-8")
        return folder

    def _split(self, lessons: Lessons) -> tuple[tuple[Stage, Stage], tuple[Stage, Stage]]:
        """Return (acquire, retain) to learn, and (acquire, retain) held out; equal inputs stay together."""
        share = self.training.validation_share
        stages = (lessons.acquire, lessons.retain)
        chosen: list[BoolArray] = [as_uniform(hash_inputs(stage.inputs, self.seed)) < share for stage in stages]
        learned = (stages[0].where(~chosen[0]), stages[1].where(~chosen[1]))
        held_out = (stages[0].where(chosen[0]), stages[1].where(chosen[1]))
        if not len(learned[0]) or (share > 0 and not len(held_out[0])):
            raise DistillationError(
                f"{len(lessons.acquire)} rows to acquire cannot be split with validation_share={share:g}: give more "
                "rows, or validation_share=0"
            )
        return learned, held_out

    def _write(self, network: Any) -> None:
        parent = self.small.folder()
        weights = set(weight_files(parent))
        with no_progress_bar():
            network.save_pretrained(self.folder)
        for path in deciding_files(parent):
            if path not in weights and path.name != "config.json":  # what cuts text into tokens, byte for byte
                shutil.copyfile(path, self.folder / path.name)

    def _student(self) -> TransformersClassifier:
        kept = ("labels", "max_length", "truncation", "batch_size", "device", "dtype")
        student = TransformersClassifier(self.folder, **{name: getattr(self.small, name) for name in kept})
        # Both are read while the folder is locked: the next training puts other files there.
        version_of(student)
        student.predict_proba(["first"])
        return student
