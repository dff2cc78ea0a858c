from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding
from made_up_texts import CLASSES, answered, draw, linear_model, other
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from tiny_models import save_tiny_onnx

from langchain_datashunt import distill
from langchain_datashunt.distillation.linear_student import moved_head
from langchain_datashunt.distillation.screening import suspect_labels
from langchain_datashunt.distillation.sklearn_student import MASS_KEPT, fit_on_soft_labels, weighted_rows
from langchain_datashunt.distillation.stages import Stage
from langchain_datashunt.errors import DistillationError
from langchain_datashunt.small_models import (
    EmbeddingClassifier,
    FunctionClassifier,
    LinearHead,
    OnnxClassifier,
    version_of,
)


def stage(inputs: object, targets: np.ndarray, weights: np.ndarray) -> Stage:
    n = len(targets)
    return Stage(inputs, targets, weights, [""] * n, np.ones(n), np.zeros(n, dtype=bool))


@given(st.integers(2, 8), st.integers(1, 20), st.integers(0, 1000))
def test_weighted_rows_keep_each_rows_weight_and_nearly_its_distribution(k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets, weights = rng.dirichlet(np.full(k, 0.3), n), rng.uniform(0.1, 5, n)
    rows, columns, shares = weighted_rows(targets, weights)
    rebuilt = np.zeros((n, k))
    np.add.at(rebuilt, (rows, columns), shares)
    np.testing.assert_allclose(rebuilt.sum(axis=1), weights)
    assert np.abs(rebuilt / weights[:, None] - targets).max() <= 1 - MASS_KEPT + 1e-9


def test_fitting_on_soft_labels_is_minimising_the_cross_entropy_to_them() -> None:
    rng = np.random.default_rng(0)
    inputs, truth = rng.normal(size=(4000, 1)), 2.0
    positive = 1 / (1 + np.exp(-truth * inputs[:, 0]))
    soft = np.column_stack([1 - positive, positive])
    fitted = fit_on_soft_labels(LogisticRegression(C=1e6), stage(inputs, soft, np.ones(4000)), CLASSES)
    assert fitted.coef_[0, 0] == pytest.approx(truth, abs=0.05)


def test_the_only_row_of_a_class_is_learned_although_no_student_could_judge_it() -> None:
    texts, labels = draw(40, seed=0)
    alike = [text for text, label in zip(texts, labels, strict=True) if label == "positive"]
    rows = answered([*alike, "unlike all others"], ["positive"] * len(alike) + ["negative"])
    made = distill(linear_model(texts, labels), rows)
    assert (made.report.counts["acquire"], made.report.suspected) == (len(rows), ())


def test_a_class_that_no_row_speaks_of_is_named_also_where_teachers_are_screened() -> None:
    texts, labels = draw(40, seed=0)
    with pytest.raises(DistillationError, match=r"no row speaks of the classes \['negative'\]"):
        distill(linear_model(texts, labels), answered(texts, ["positive"] * 40))


def test_a_pipeline_counts_each_text_once_in_its_vocabulary() -> None:
    texts, labels = draw(40, seed=0)
    targets = np.array([[0.5, 0.5]] * 40)
    pipeline = make_pipeline(TfidfVectorizer(min_df=2), LogisticRegression())
    fitted = fit_on_soft_labels(pipeline, stage([*texts[:-1], "rare"], targets, np.ones(40)), CLASSES)
    assert "rare" not in fitted.steps[0][1].vocabulary_
    assert labels
    assert not hasattr(pipeline.steps[0][1], "vocabulary_"), "the pipeline that was given stays as it was"


@pytest.mark.parametrize("frames", ["default", "pandas"])
def test_a_pipeline_whose_steps_give_frames_learns_the_same(frames: str) -> None:
    """`set_output` is not cloned away: steps hand on a frame, whose ``[rows]`` would be columns."""
    gold, stream = draw(60, seed=1), draw(200, seed=2)

    def student(output: str) -> Any:
        reduced = TruncatedSVD(8, random_state=0).set_output(transform=output)
        pipeline = make_pipeline(TfidfVectorizer(), reduced, LogisticRegression()).fit(*gold)
        return distill(pipeline, answered(*stream), gold=gold, replay=draw(50, seed=3)[0]).student

    texts, _ = draw(50, seed=4)
    np.testing.assert_allclose(student(frames).predict_proba(texts), student("default").predict_proba(texts))


def test_a_student_learns_what_the_teacher_knows_and_the_serving_model_stays_frozen() -> None:
    gold, stream, test = draw(60, seed=1), draw(800, seed=2), draw(1500, seed=3)
    small = linear_model(*gold)
    before = version_of(small)
    made = distill(small, answered(*stream), gold=gold)
    assert version_of(small) == before == made.report.parent_version
    assert made.report.student_version == version_of(made.student) != before
    assert made.student.score(*test) > small.score(*test) + 0.05
    assert made.report.counts["acquire"] + made.report.counts["suspected"] == 800


def test_an_embedding_student_without_much_to_learn_stays_what_it_was() -> None:
    texts, labels = draw(60, seed=1)
    embeddings = DeterministicFakeEmbedding(size=16)
    small = EmbeddingClassifier.fit(texts, labels, embeddings=embeddings, embeddings_version="fake")
    own = small.predict_proba(texts)
    head = moved_head(small.head, small.vectors(texts), own, np.ones(60))
    np.testing.assert_allclose(head.predict_proba(small.vectors(texts)), own, atol=1e-4)
    untaught = moved_head(small.head, small.vectors(texts), own[:, ::-1], np.full(60, 1e-9))
    np.testing.assert_allclose(untaught.coefficients, small.head.coefficients, atol=1e-6)


def test_an_embedding_student_learns_and_keeps_its_encoder() -> None:
    texts, labels = draw(60, seed=1)
    embeddings = DeterministicFakeEmbedding(size=64)
    small = EmbeddingClassifier.fit(texts, labels, embeddings=embeddings, embeddings_version="fake")
    hard, answers = draw(30, seed=2)
    made = distill(small, answered(hard, answers), screen=False)
    assert isinstance(made.student.head, LinearHead)
    assert made.student.embeddings is embeddings
    learned = np.array(made.student.classes_)[made.student.predict_proba(hard).argmax(axis=1)]
    assert (learned == answers).mean() > 0.9


def test_an_embedding_student_with_another_head_is_fitted_anew() -> None:
    texts, labels = draw(60, seed=1)
    forest = RandomForestClassifier(n_estimators=5, random_state=0)
    small = EmbeddingClassifier.fit(
        texts, labels, embeddings=DeterministicFakeEmbedding(size=8), head=forest, embeddings_version="fake"
    )
    made = distill(small, answered(*draw(30, seed=2)), gold=(texts, labels))
    assert isinstance(made.student.head, RandomForestClassifier)
    assert made.student.classes_ == small.classes_


def test_labels_that_contradict_what_all_others_teach_are_suspected_and_listed() -> None:
    gold, (texts, labels) = draw(100, seed=1), draw(600, seed=2)
    wrong = list(range(0, 600, 12))
    said = [other(label) if place in wrong else label for place, label in enumerate(labels)]
    made = distill(linear_model(*gold), answered(texts, said), gold=gold)
    suspected = {int(each.id) for each in made.report.suspected}
    assert len(suspected) >= 10
    assert len(suspected & set(wrong)) / len(suspected) > 0.5, "a share of 1/12 were wrong"
    first = made.report.suspected[0]
    assert first.student_label == other(first.teacher_label)
    assert made.report.counts["acquire"] == 600 - len(suspected)


def test_no_student_that_screens_an_input_was_trained_on_it_in_the_other_stage() -> None:
    inputs = [f"text {place}" for place in range(50)]
    acquire = stage(inputs, np.eye(2)[np.arange(50) % 2], np.ones(50))
    audits = stage([*inputs[:20], "easy"], np.full((21, 2), 0.5), np.ones(21))
    judged: list[str] = []

    def fit(rows: Stage) -> Any:
        def answers(given: list[str]) -> np.ndarray:
            assert not set(given) & set(rows.inputs)
            assert "easy" in rows.inputs
            judged.extend(given)
            return np.full((len(given), 2), 0.5)

        return FunctionClassifier(answers, classes=CLASSES, version="1")

    suspect_labels(acquire, audits, CLASSES, fit)
    assert sorted(judged) == sorted(inputs)


def test_gold_labels_are_never_suspected() -> None:
    texts, labels = draw(300, seed=1)
    flipped = [other(label) if place % 12 == 0 else label for place, label in enumerate(labels)]
    made = distill(linear_model(texts, labels), [], gold=(texts, flipped))
    assert made.report.suspected == ()
    assert made.report.counts["gold"] == 300


def test_distilling_twice_gives_the_same_student() -> None:
    gold, stream = draw(60, seed=1), draw(200, seed=2)
    small = linear_model(*gold)
    versions = {distill(small, answered(*stream), gold=gold).report.student_version for _ in range(2)}
    assert len(versions) == 1


def test_the_report_is_plain_json() -> None:
    import json

    gold = draw(60, seed=1)
    made = distill(linear_model(*gold), answered(*draw(40, seed=2)), gold=gold)
    assert json.loads(json.dumps(made.report.to_dict()))["counts"]["gold"] == 60


def test_models_that_cannot_be_trained_are_refused_with_what_can() -> None:
    function = FunctionClassifier(lambda texts: np.full((len(texts), 2), 0.5), classes=CLASSES, version="1")
    with pytest.raises(DistillationError, match="EmbeddingClassifier"):
        distill(function, answered(["a"], ["positive"]))
    gold = draw(30, seed=1)
    neighbours = make_pipeline(TfidfVectorizer(), KNeighborsClassifier()).fit(*gold)
    with pytest.raises(DistillationError, match="sample_weight"):
        distill(neighbours, answered(*gold))
    nested = make_pipeline(TfidfVectorizer(), make_pipeline(LogisticRegression())).fit(*gold)
    with pytest.raises(DistillationError, match="a pipeline that ends in a pipeline"):
        distill(nested, answered(*gold))


def test_an_onnx_model_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    save_tiny_onnx(tmp_path / "model")
    with pytest.raises(DistillationError, match="export the student with export_onnx"):
        distill(OnnxClassifier(tmp_path / "model"), answered(["a"], ["positive"]))


def test_a_class_that_nothing_speaks_of_is_not_lost_in_silence() -> None:
    texts, labels = draw(30, seed=1)
    with pytest.raises(DistillationError, match="negative"):
        distill(linear_model(texts, labels), answered(["word1"], ["positive"]))
