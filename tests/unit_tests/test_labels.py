from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.prompting.labels import LabelSpace, name_key
from langchain_datashunt.prompting.replies import read_label


def test_labels_keep_their_order_and_numbers_become_strings() -> None:
    assert LabelSpace.of([2, 1, True]).labels == ("2", "1", "True")
    assert LabelSpace.of({"spam": "unwanted", "ham": ""}).descriptions == {"spam": "unwanted", "ham": ""}


def test_the_classes_of_a_scikit_learn_model_are_labels_as_they_come() -> None:
    assert LabelSpace.of(np.array(["ham", "spam"])).labels == ("ham", "spam")
    assert LabelSpace.of(np.array([0, 1])).labels == ("0", "1")


def test_each_option_has_the_answer_of_its_style() -> None:
    labels = ["x", "y"]
    assert LabelSpace.of(labels).answers == {"x": "x", "y": "y"}
    assert LabelSpace.of(labels, answer="number").answers == {"x": "1", "y": "2"}
    assert LabelSpace.of(labels, answer="letter", escape="neither").answers == {"x": "A", "y": "B", "neither": "C"}


@pytest.mark.parametrize(
    "spelling", ["card_arrival", "Card Arrival", "**card-arrival**.", '"card  arrival"', "- CARD_ARRIVAL"]
)
def test_spellings_of_a_name_have_one_key(spelling: str) -> None:
    assert name_key(spelling) == "card arrival"


@pytest.mark.parametrize("name", ["-1", ":)", "c++", "c#", "100%", "x-1"])
def test_signs_that_mean_something_stay_in_the_key(name: str) -> None:
    assert name_key(name) in (name, name.replace("-", " ") if name[0] != "-" else name)


@given(st.text(max_size=30))
def test_the_key_of_a_key_is_itself(text: str) -> None:
    assert name_key(name_key(text)) == name_key(text)


@given(
    st.text(min_size=1, max_size=30),
    st.sampled_from(["{}", "**{}**", "- {}", "{}.", '"{}"', "Answer: {}", "It is {} now"]),
)
def test_every_label_is_read_back_from_itself_or_refused(label: str, reply: str) -> None:
    try:
        space = LabelSpace.of([label, "zebra crossing"])
    except CompositionError:
        assume(False)  # noqa: FBT003  hypothesis takes it by position
    reading = read_label(reply.format(label), space)
    assert reading.label == label if reply == "{}" else reading.label in (label, None)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([], {}, "at least one label"),
        ("positive", {}, "labels are a list"),
        (["a", "a"], {}, "more than once"),
        ([1, "1"], {}, "more than once"),
        (["Card", "card"], {}, "would name both"),
        (["card-arrival", "card_arrival"], {}, "would name both"),
        (["good", "good!"], {}, "would name both"),
        (["a\nb", "c"], {}, "one line"),
        (["\u200b", "c"], {}, "one line"),
        ([" ", "c"], {}, "one line"),
        (["a", "b"], {"aliases": {"c": ["x"]}}, "which is no label"),
        (["a", "b"], {"aliases": {"a": "xyz"}}, "a list of names"),
        (["a", "b"], {"aliases": {"a": ["B"]}}, "would name both"),
        (["a", "b"], {"escape": "b"}, "more than once"),
        (["a", "b"], {"answer": "word"}, "answer is one of"),
        (["2", "1"], {"answer": "number"}, "would name both"),
        ([f"c{i}" for i in range(27)], {"answer": "letter"}, "26 letters"),
    ],
)
def test_a_label_space_in_which_replies_would_be_ambiguous_is_refused(labels, options, message) -> None:  # noqa: ANN001  a table
    with pytest.raises(CompositionError, match=message):
        LabelSpace.of(labels, **options)


def test_the_longest_name_wins_where_names_contain_each_other() -> None:
    pattern = LabelSpace.of(["card", "card arrival"]).prose_pattern
    assert pattern is not None
    assert [match[1] for match in pattern.finditer("about card arrival")] == ["card arrival"]


def test_a_label_space_survives_pickle() -> None:
    space = LabelSpace.of({"a": "first", "b": ""}, aliases={"a": ["x"]}, answer="number", escape="none")
    assert space.prose_pattern is not None
    assert pickle.loads(pickle.dumps(space)) == space
