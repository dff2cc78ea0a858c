from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.svm import LinearSVC

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models import version_of
from langchain_datashunt.small_models.fingerprints import files_fingerprint, fingerprint

TEXTS = [f"w{i % 7} v{i % 5} x{i % 3}" for i in range(60)]
LABELS = ["odd" if i % 2 else "even" for i in range(60)]
VECTORS = np.random.default_rng(0).normal(size=(60, 4))

OF_TEXT = [
    make_pipeline(TfidfVectorizer(stop_words=["v1"]), LogisticRegression()),
    make_pipeline(
        FeatureUnion([("chars", CountVectorizer(analyzer="char")), ("words", TfidfVectorizer())]), LogisticRegression()
    ),
]
OF_VECTORS = [
    LogisticRegression(),
    SGDClassifier(loss="log_loss", random_state=np.random.RandomState(1)),
    RandomForestClassifier(5, random_state=0),
    HistGradientBoostingClassifier(max_iter=3, random_state=0),
    KNeighborsClassifier(algorithm="kd_tree"),
    MLPClassifier(max_iter=3, tol=1e9),
    CalibratedClassifierCV(LinearSVC(), cv=2),
    GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2),
    StackingClassifier([("bayes", GaussianNB()), ("linear", LogisticRegression())], cv=2),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", [*OF_TEXT, *OF_VECTORS], ids=lambda model: type(model).__name__)
def test_predicting_and_pickling_leave_the_identity_as_it_is(model: ClassifierMixin) -> None:
    inputs = TEXTS if model in OF_TEXT else VECTORS
    fitted = model.fit(inputs, LABELS)
    version = version_of(fitted)
    np.random.rand()  # noqa: NPY002  moves the global generator, which some estimators keep a reference to
    fitted.predict_proba(inputs)
    assert version is not None
    assert version.startswith(type(model).__name__ + "-")
    assert version_of(fitted) == version
    assert version_of(pickle.loads(pickle.dumps(fitted))) == version


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_every_process_finds_the_same_identity(tmp_path: Path, hash_seed: str) -> None:
    fitted = make_pipeline(TfidfVectorizer(vocabulary=frozenset({"v1", "v2", "w3", "x1"})), LogisticRegression())
    fitted.fit(TEXTS, LABELS)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(fitted))
    elsewhere = (
        "import pickle, sys; from langchain_datashunt.small_models import version_of; "
        "print(version_of(pickle.load(open(sys.argv[1], 'rb'))))"
    )
    answer = subprocess.run(  # noqa: S603  this Python, our own line
        [sys.executable, "-c", elsewhere, str(tmp_path / "model.pickle")],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert answer.stdout.strip() == version_of(fitted)


def test_fitting_again_on_the_same_rows_gives_the_same_identity() -> None:
    first, second = (LogisticRegression().fit(VECTORS, LABELS) for _ in range(2))
    assert version_of(first) == version_of(second)


def test_other_rows_and_other_parameters_give_another_identity() -> None:
    models = [
        LogisticRegression().fit(VECTORS, LABELS),
        LogisticRegression().fit(VECTORS[1:], LABELS[1:]),
        LogisticRegression(C=2.0).fit(VECTORS, LABELS),
        LogisticRegression().fit(VECTORS, [label.upper() for label in LABELS]),
    ]
    assert len({version_of(model) for model in models}) == len(models)


def test_the_last_bit_of_one_coefficient_changes_the_identity() -> None:
    fitted = LogisticRegression().fit(VECTORS, LABELS)
    before = version_of(fitted)
    fitted.coef_[0, 0] = np.nextafter(fitted.coef_[0, 0], 1.0)
    assert version_of(fitted) != before


def test_how_many_cores_a_model_runs_on_is_no_part_of_its_identity() -> None:
    fitted = RandomForestClassifier(3, random_state=0).fit(VECTORS, LABELS)
    before = version_of(fitted)
    assert version_of(fitted.set_params(n_jobs=2)) == before


def test_a_model_with_a_nameless_part_has_no_known_identity() -> None:
    fitted = make_pipeline(CountVectorizer(preprocessor=lambda text: text), LogisticRegression()).fit(TEXTS, LABELS)
    assert version_of(fitted) is None
    assert version_of(object()) is None


def test_a_model_with_a_version_is_known_by_it() -> None:
    fitted = make_pipeline(CountVectorizer(preprocessor=lambda text: text), LogisticRegression()).fit(TEXTS, LABELS)
    fitted.version = "mine-3"
    assert version_of(fitted) == "mine-3"
    fitted.version = 3
    with pytest.raises(SmallModelError, match="got 3"):
        version_of(fitted)


def test_different_values_have_different_fingerprints() -> None:
    values = [
        None, True, 1, 1.0, "1", b"1", 1j, [], (), {}, set(), [1], [[1]], [1, 1], "ab", ["a", "b"], ["ab"],
        {"a": 1}, {"a": 2}, {1: "a"}, {1, 2}, np.int64(1), np.float32(1), np.ones(2), np.ones((1, 2)), np.ones((2, 1)),
        np.array(["a"], dtype=object), np.array(["a"]), np.ma.array([1.0, 2.0], mask=[True, False]),
        np.ma.array([1.0, 2.0], mask=[False, True]), sparse.csr_array(np.eye(2)), sparse.csr_array(np.ones((2, 2))),
        np.array([(1, 2.0)], dtype=[("a", "i1"), ("b", "f8")]), np.dtype("f4"), len, functools.partial(int, base=2),
        functools.partial(int, base=3), np.log1p, str.lower, 0.1, np.nextafter(0.1, 1), -0.0, 0.0,
        np.random.default_rng(0), np.random.RandomState(0),
    ]  # fmt: skip
    assert len({fingerprint(value) for value in values}) == len(values)


def test_what_only_looks_different_has_one_fingerprint() -> None:
    eye = sparse.csr_array(np.eye(3))
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({3, 1, 2}) == fingerprint({2, 3, 1})
    assert fingerprint(np.asfortranarray(np.eye(2))) == fingerprint(np.eye(2))
    assert fingerprint(eye) == fingerprint(eye.tocsc())
    generator = np.random.default_rng(0)
    before = fingerprint(generator)
    generator.random()
    assert fingerprint(generator) == before


def test_a_value_that_holds_itself_has_a_fingerprint() -> None:
    endless: list[object] = [1]
    endless.append(endless)
    other: list[object] = [2]
    other.append(other)
    assert fingerprint(endless) is not None
    assert fingerprint(endless) != fingerprint(other)


def test_files_count_by_name_and_content_and_not_by_place(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "weights").write_bytes(b"1")
    here, there = tmp_path / "here" / "weights", tmp_path / "there" / "weights"
    assert files_fingerprint([here], {"dtype": "float32"}) == files_fingerprint([there], {"dtype": "float32"})
    assert files_fingerprint([here], {"dtype": "float32"}) != files_fingerprint([here], {"dtype": "float16"})
    there.write_bytes(b"2")
    assert files_fingerprint([here], {}) != files_fingerprint([there], {})
    with pytest.raises(SmallModelError, match="cannot be read"):
        files_fingerprint([tmp_path / "none"], {})
