from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from langchain_core.prompts import PromptTemplate

from langchain_datashunt.candidates import CandidateLabels, CandidateRule, Prior, TopK, TopP
from langchain_datashunt.candidates.rules import LearnedCandidates
from langchain_datashunt.errors import PolicyError

CLASSES = ("bad", "fine", "good")
ROW = np.array([0.1, 0.2, 0.7])

weights = arrays.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 12)), elements=st.floats(0.01, 1.0))


@given(weights, st.integers(1, 15))
def test_top_k_keeps_exactly_k_and_nothing_more_probable_is_dropped(weight: np.ndarray, k: int) -> None:
    probabilities = weight / weight.sum(axis=1, keepdims=True)
    kept = TopK(k).select(probabilities)
    assert kept.shape == probabilities.shape
    assert (kept.sum(axis=1) == min(k, probabilities.shape[1])).all()
    for row, mask in zip(probabilities, kept, strict=True):
        assert mask.all() or row[mask].min() >= row[~mask].max()


@given(weights, st.integers(1, 14))
def test_a_larger_k_only_adds_labels(weight: np.ndarray, k: int) -> None:
    assert (TopK(k + 1).select(weight) >= TopK(k).select(weight)).all()


@given(weights, st.integers(1, 14))
def test_a_row_is_selected_the_same_alone_and_in_a_batch(weight: np.ndarray, k: int) -> None:
    together = TopK(k).select(weight)
    assert all((TopK(k).select(weight[i : i + 1])[0] == together[i]).all() for i in range(len(weight)))


def test_of_equal_probabilities_the_earlier_column_stays() -> None:
    assert TopK(1).select(np.array([[0.5, 0.5]])).tolist() == [[True, False]]


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "2", None])
def test_a_k_that_leaves_no_label_is_refused(k: object) -> None:
    with pytest.raises(PolicyError, match="at least 1"):
        TopK(k)  # type: ignore[arg-type]


def test_top_k_is_a_candidate_rule() -> None:
    assert isinstance(TopK(3), CandidateRule)


def test_candidates_stand_most_probable_first() -> None:
    labels = CandidateLabels.of(CLASSES, ROW, np.array([True, False, True]))
    assert labels == ("good", "bad")
    assert str(labels) == "good, bad"


def test_a_prior_stands_most_probable_first_and_holds_plain_floats() -> None:
    prior = Prior.of(CLASSES, ROW)
    assert list(prior.items()) == [("good", 0.7), ("fine", 0.2), ("bad", 0.1)]
    assert all(type(value) is float for value in prior.values())
    assert json.loads(json.dumps(prior)) == prior


def test_a_prior_is_rendered_in_whole_percents_that_never_lie_about_certainty() -> None:
    assert str(Prior({"good": 0.996, "bad": 0.004})) == "good over 99 %, bad under 1 %"
    assert str(Prior({"good": 1.0, "bad": 0.0})) == "good 100 %, bad 0 %"


def test_an_unknown_prior_is_the_empty_text() -> None:
    assert str(Prior()) == ""
    assert str(CandidateLabels()) == ""


def test_a_rendered_prior_names_ten_labels_and_sums_the_rest() -> None:
    text = str(Prior.of([f"c{i}" for i in range(77)], np.full(77, 1 / 77)))
    assert text.startswith("c0 1 %, c1 1 %")
    assert text.endswith("c9 1 %, 67 other labels together 87 %")


def test_among_conditions_on_the_labels_left() -> None:
    assert Prior.of(CLASSES, ROW).among(["bad", "good"]) == pytest.approx({"good": 0.875, "bad": 0.125})
    assert Prior({"good": 1.0, "bad": 0.0}).among(["bad"]) == {}


def test_templates_render_them_for_a_reader_and_braces_in_labels_stay_text() -> None:
    template = PromptTemplate.from_template("One of: {candidates}. Prior: {prior}")
    text = template.format(candidates=CandidateLabels(["{a}", "b"]), prior=Prior({"{a}": 0.75, "b": 0.25}))
    assert text == "One of: {a}, b. Prior: {a} 75 %, b 25 %"


@pytest.mark.parametrize("value", [CandidateLabels(["a", "b"]), Prior({"a": 0.75, "b": 0.25})])
def test_both_survive_pickle_with_their_rendering(value: CandidateLabels | Prior) -> None:
    copy = pickle.loads(pickle.dumps(value))
    assert type(copy) is type(value)
    assert (copy, str(copy)) == (value, str(value))


@given(weights, st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_labels_that_reach_p(weight: np.ndarray, p: float) -> None:
    probabilities = weight / weight.sum(axis=1, keepdims=True)
    kept = TopP(p).select(probabilities)
    for row, mask in zip(probabilities, kept, strict=True):
        assert mask.any()
        assert row[mask].sum() >= p - 1e-9
        assert row[mask].sum() - row[mask].min() < p
        assert mask.all() or row[mask].min() >= row[~mask].max()


def test_top_p_of_one_keeps_all_labels_that_have_any_probability() -> None:
    assert TopP(1).select(np.array([[0.5, 0.5, 0.0]])).tolist() == [[True, True, False]]
    assert TopP(0.9).select(np.array([[0.7, 0.2, 0.1]])).tolist() == [[True, True, False]]


@pytest.mark.parametrize("p", [0, -0.1, 1.1, True, "0.5", None])
def test_a_p_that_no_labels_reach_is_refused(p: object) -> None:
    with pytest.raises(PolicyError, match=r"p in \(0, 1\]"):
        TopP(p)  # type: ignore[arg-type]


@given(weights, st.floats(0, 1), st.data())
def test_learned_candidates_are_never_dropped_labels_and_always_at_least_one(
    weight: np.ndarray, bound: float, data: st.DataObject
) -> None:
    probabilities = weight / weight.sum(axis=1, keepdims=True)
    k = probabilities.shape[1]
    dropped = tuple(data.draw(st.sets(st.integers(0, k - 1), max_size=k - 1)))
    kept = LearnedCandidates(bound, dropped).select(probabilities)
    assert not kept[:, list(dropped)].any()
    assert kept.any(axis=1).all()
    others = np.setdiff1d(np.arange(k), dropped)
    assert (kept[:, others] >= (probabilities[:, others] >= bound)).all()
    assert (kept.sum(axis=1) <= np.maximum((probabilities[:, others] >= bound).sum(axis=1), 1)).all()
