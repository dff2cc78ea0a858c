from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models import class_names, label_name, probability_rows

CLASSES = ("a", "b", "c")


class WithClasses:
    def __init__(self, *classes: object) -> None:
        self.classes_ = list(classes)

    def predict_proba(self, inputs: object) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("label", "name"), [("x", "x"), (1, "1"), (np.int64(1), "1"), (np.True_, "True"), (np.str_("y"), "y")]
)
def test_a_label_is_called_the_same_in_numpy_and_in_python(label: object, name: str) -> None:
    assert label_name(label) == name
    assert type(label_name(label)) is str


def test_a_fitted_scikit_learn_classifier_is_a_small_model_as_it_is() -> None:
    fitted = LogisticRegression().fit([[0.0], [1.0], [2.0]], np.array([0, 1, 1]))
    assert class_names(fitted) == ("0", "1")
    assert probability_rows(fitted.predict_proba([[0.0], [3.0]]), 2, ("0", "1")).shape == (2, 2)


@pytest.mark.parametrize(
    ("small", "said"),
    [
        (LogisticRegression(), "fit it first"),
        (WithClasses("only"), "at least two classes"),
        (WithClasses(1, "1"), r"\['1'\] stand more than once"),
        (WithClasses("a", None), "got None"),
        (WithClasses(np.array(["a", "b"]), np.array(["c", "d"])), "a label is a string"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(small: object, said: str) -> None:
    with pytest.raises(SmallModelError, match=said):
        class_names(small)


def test_good_rows_come_back_unchanged_as_float64() -> None:
    rows = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    checked = probability_rows(rows, 2, CLASSES)
    assert checked.dtype == np.float64
    assert (checked == rows).all()


def test_lists_and_torch_tensors_are_read_too() -> None:
    tensor = torch.tensor([[0.25, 0.25, 0.5]], dtype=torch.bfloat16, requires_grad=True)
    assert (probability_rows(tensor, 1, CLASSES) == probability_rows([[0.25, 0.25, 0.5]], 1, CLASSES)).all()


def test_rounding_beyond_the_unit_interval_is_clipped() -> None:
    checked = probability_rows([[1.0000005, -0.0000005, 0.0]], 1, CLASSES)
    assert checked.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 3)), np.zeros((0, 7))])
def test_no_input_gives_no_row_of_all_classes(nothing: object) -> None:
    assert probability_rows(nothing, 0, CLASSES).shape == (0, 3)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([0.2, 0.3, 0.5], r"shape \(1, 3\); the small model returned shape \(3,\)"),
        ([[0.5, 0.5]], r"returned shape \(1, 2\)"),
        ([[0.2, 0.3, 0.5]] * 2, r"returned shape \(2, 3\)"),
        ([[0.2, float("nan"), 0.8]], r"1 of 1 .* not finite numbers; the first is row 0: \[0.2, nan, 0.8\]"),
        ([[float("inf"), 0.0, 0.0]], "not finite"),
        ([[2.0, -1.5, 0.5]], "Apply a softmax first"),
        ([[0.9, 0.8, 0.1]], "one-vs-rest"),
        ([["a", "b", "c"]], "array of floats"),
        ([[0.1], [0.2, 0.3]], "array of floats"),
        (None, "None|shape"),
    ],
)
def test_anything_but_one_probability_row_an_input_is_refused_and_shown(answer: object, said: str) -> None:
    with pytest.raises(SmallModelError, match=said):
        probability_rows(answer, 1, CLASSES)
