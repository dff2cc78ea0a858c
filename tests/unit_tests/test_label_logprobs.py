from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_datashunt.errors import CalibrationDataError, CompositionError, PolicyError, PolicyMismatchError
from langchain_datashunt.policy.pruning_facts import LogprobCalibration, PruningFacts
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.prompting.label_logprobs import LabelPrior, check_first_tokens, distribution, label_logprobs
from langchain_datashunt.prompting.labels import LabelSpace
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser

SWAPPED = {"positive": "negative", "negative": "positive"}
SENTIMENT = {"positive": "positive", "negative": "negative"}


def reply(*tokens: str, top: dict[str, float], at: int = 0) -> AIMessage:
    """Return a message as ChatOpenAI makes it, with the likeliest tokens `top` at position `at`."""
    content: list[dict[str, Any]] = [{"token": token, "logprob": -0.5, "top_logprobs": []} for token in tokens]
    content[at]["logprob"] = top.get(tokens[at], -30.0)
    content[at]["top_logprobs"] = [{"token": token, "logprob": value} for token, value in top.items()]
    return AIMessage("".join(tokens), response_metadata={"logprobs": {"content": content}})


def test_each_label_gets_the_log_probability_of_its_first_token() -> None:
    found = label_logprobs(reply("positive", top={"positive": -0.1, "negative": -2.5, "The": -4.0}), SENTIMENT)
    assert found is not None
    assert found.values == {"positive": -0.1, "negative": -2.5}
    assert found.floored == frozenset()


def test_spellings_of_one_label_are_summed() -> None:
    top = {
        " Positive": math.log(0.5),
        "positive": math.log(0.25),
        "POSITIVE": math.log(0.125),
        "negative": math.log(0.1),
    }
    found = label_logprobs(reply(" Positive", top=top), SENTIMENT)
    assert found is not None
    assert math.exp(found.values["positive"]) == pytest.approx(0.875)


def test_a_beginning_that_no_other_label_shares_counts() -> None:
    found = label_logprobs(reply("neg", "ative", top={"neg": -0.2, "pos": -1.7, "n": -3.0, "p": -3.1}), SENTIMENT)
    assert found is not None
    assert found.values == {"positive": -1.7, "negative": -0.2}


def test_the_first_word_of_a_sentence_is_no_beginning_of_a_label() -> None:
    answers = {"theft": "theft", "assault": "assault"}
    top = {"The": -0.1, "the": -1.0, "As": -1.5, "I": -2.0, "assault": -5.0}
    found = label_logprobs(reply("The", " text", top=top), answers)
    assert found is not None
    assert found.values == {"theft": -5.0, "assault": -5.0}
    assert found.floored == {"theft"}


def test_the_written_token_counts_only_if_the_reply_goes_on_as_the_label() -> None:
    top = {"pos": -0.1, "negative": -3.0}
    assert label_logprobs(reply("pos", "sible", top=top), SENTIMENT).floored == {"positive"}  # type: ignore[union-attr]
    assert label_logprobs(reply("pos", "itive", top=top), SENTIMENT).floored == frozenset()  # type: ignore[union-attr]
    assert label_logprobs(reply("pos", top=top), SENTIMENT).floored == frozenset()  # type: ignore[union-attr]
    assert label_logprobs(reply("Pos", "itive", top={"Pos": -0.1, "x": -9.0}), SENTIMENT).floored == {"negative"}  # type: ignore[union-attr]


def test_an_absent_label_is_floored_at_the_lowest_that_was_reported() -> None:
    found = label_logprobs(reply("positive", top={"positive": -0.1, "good": -2.0, "great": -7.5}), SENTIMENT)
    assert found is not None
    assert found.values["negative"] == -7.5
    assert found.floored == {"negative"}


@pytest.mark.parametrize(
    ("tokens", "at"),
    [
        (['"', "positive", '"'], 1),
        (["**", "positive", "**"], 1),
        (["\n", " positive"], 1),
        (['{"', "label", '":', ' "', "positive", '"}'], 4),
        (["{", '"label"', ": ", '"positive', '"}'], 3),
    ],
)
def test_the_answer_is_found_behind_quotes_markdown_and_json(tokens: list[str], at: int) -> None:
    top = {tokens[at]: -0.1, " negative": -1.5, "x": -9.0}
    found = label_logprobs(reply(*tokens, top=top, at=at), SENTIMENT)
    assert found is not None
    assert found.values == {"positive": -0.1, "negative": -1.5}


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("positive"),
        AIMessage("positive", response_metadata={"logprobs": None}),
        AIMessage("positive", response_metadata={"logprobs": {"content": None}}),
        AIMessage("positive", response_metadata={"logprobs": {"content": []}}),
        AIMessage("", response_metadata={"logprobs": {"content": [{"token": "", "logprob": 0.0, "top_logprobs": []}]}}),
        reply("positive", top={}),
        reply("The", " text", top={"The": -0.1, "This": -1.0}),
    ],
)
def test_a_reply_without_log_probabilities_of_labels_gives_none(message: AIMessage) -> None:
    assert label_logprobs(message, SENTIMENT) is None


def test_labels_that_share_the_likeliest_token_cannot_be_told_apart() -> None:
    answers = {"arrival": "card arrival", "linking": "card linking", "spam": "spam"}
    shared = reply("card", " arrival", top={"card": -0.5, "Card": -0.6, "spam": -2.0})
    found = label_logprobs(shared, answers)
    assert found is not None  # the written one is told apart by how the reply goes on
    assert found.values["arrival"] == -0.5
    assert label_logprobs(reply("It", " is", top={"It": -0.1, "card": -0.5, "spam": -2.0}), answers) is None


def test_numbers_with_two_digits_share_the_first() -> None:
    answers = {str(i): str(i) for i in range(1, 13)}
    assert label_logprobs(reply("x", top={"x": -0.1, "12": -0.5, "3": -2.0}), answers) is not None
    found = label_logprobs(reply("1", "2", top={"1": -0.5, "3": -2.0}), answers)
    assert found is not None
    assert found.values["12"] == -0.5
    assert found.floored >= {"1", "11"}


def test_a_letter_answer_is_not_the_article() -> None:
    answers = LabelSpace.of(["x", "y"], answer="letter").answers
    found = label_logprobs(reply("B", top={"B": -0.5, "a": -1.0, "A": -3.0}), answers)
    assert found is not None
    assert found.values == {"x": -3.0, "y": -0.5}


@pytest.mark.parametrize(
    ("labels", "answer"),
    [
        (["card arrival", "card_linking"], "label"),
        (["card", "cardinal"], "label"),
        (["Card", "card arrival"], "label"),
        ([f"c{i}" for i in range(10)], "number"),
    ],
)
def test_labels_that_begin_alike_are_refused_for_log_probabilities(labels: list[str], answer: Any) -> None:
    with pytest.raises(CompositionError, match="answer='letter'"):
        check_first_tokens(LabelSpace.of(labels, answer=answer))


def test_labels_that_begin_differently_pass() -> None:
    check_first_tokens(LabelSpace.of(["positive", "possible"]))
    check_first_tokens(LabelSpace.of([f"c {i}" for i in range(26)], answer="letter"))
    check_first_tokens(LabelSpace.of([f"c {i}" for i in range(9)], answer="number"))


logits = st.dictionaries(st.sampled_from("abcdef"), st.floats(-40, 0), min_size=1)


@given(logits, st.floats(-20, 0))
def test_a_distribution_sums_to_one_and_does_not_see_a_common_factor(values: dict[str, float], shift: float) -> None:
    probabilities = distribution(values)
    assert sum(probabilities.values()) == pytest.approx(1)
    shifted = distribution({label: value + shift for label, value in values.items()})
    assert shifted == pytest.approx(probabilities)


def biased_replies() -> list[AIMessage]:
    """Four replies of a model that always prefers positive; to the last two texts less than on average."""
    return [reply("positive", top={"positive": -1.0, "negative": -1.0 - odds, "x": -20.0}) for odds in (3, 1.5, 1, 0.5)]


def test_the_prior_takes_a_preference_off_so_that_it_no_longer_decides() -> None:
    space = LabelSpace.of(["positive", "negative"])
    replies = biased_replies()
    prior = LabelPrior.fit(replies, space)
    assert prior.n == 4
    assert prior.means["positive"] - prior.means["negative"] == pytest.approx(1.5)
    last = label_logprobs(replies[-1], SENTIMENT)
    assert last is not None
    assert distribution(last.values)["positive"] > 0.5
    assert distribution(last.values, prior)["positive"] < 0.5


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=12))
def test_no_label_is_preferred_on_average_once_the_prior_is_off(odds: list[float]) -> None:
    replies = [reply("positive", top={"positive": -9.0, "negative": -9.0 - odd, "x": -30.0}) for odd in odds]
    prior = LabelPrior.fit(replies, LabelSpace.of(["positive", "negative"]))
    corrected = [prior.corrected(label_logprobs(each, SENTIMENT).values) for each in replies]  # type: ignore[union-attr]
    assert sum(each["positive"] - each["negative"] for each in corrected) == pytest.approx(0, abs=1e-6)


def test_replies_that_say_nothing_are_passed_over_and_all_of_them_are_too_few() -> None:
    space = LabelSpace.of(["positive", "negative"])
    assert LabelPrior.fit([*biased_replies(), AIMessage("positive")], space).n == 4
    with pytest.raises(CalibrationDataError, match="logprobs=True"):
        LabelPrior.fit([AIMessage("positive")], space)


def test_the_escape_option_keeps_its_place_when_the_prior_is_taken_off() -> None:
    prior = LabelPrior({"positive": -1.0, "negative": -3.0}, 5)
    assert prior.corrected({"positive": -1.0, "negative": -1.0, "none": -1.0}) == {
        "positive": 0.0,
        "negative": 2.0,
        "none": 1.0,
    }


def test_a_prior_makes_the_round_trip_through_json() -> None:
    prior = LabelPrior.fit(biased_replies(), LabelSpace.of(["positive", "negative"]))
    assert LabelPrior.from_dict(json.loads(json.dumps(prior.to_dict()))) == prior


def test_known_labels_give_a_temperature_that_calibrates_an_overconfident_model() -> None:
    space = LabelSpace.of(["positive", "negative"])
    odds = [6.0, -6.0] * 50  # it claims .998 each time, and is right four times in five
    replies = [reply("positive", top={"positive": -9.0, "negative": -9.0 - odd, "x": -30.0}) for odd in odds]
    labels = [("positive" if odd > 0 else "negative") for odd in odds]
    labels = [SWAPPED[label] if i % 10 in (0, 1) else label for i, label in enumerate(labels)]
    prior = LabelPrior.fit(replies, space, labels)
    values = label_logprobs(replies[0], SENTIMENT)
    assert values is not None
    assert distribution(values.values, prior)["positive"] == pytest.approx(0.8, abs=0.01)
    assert LabelPrior.fit(replies, space).temperature == 1
    with pytest.raises(CalibrationDataError, match="each reply needs one label"):
        LabelPrior.fit(replies, space, labels[:3])


def test_a_policy_keeps_the_prior_in_the_order_of_its_own_classes() -> None:
    prior = LabelPrior({"positive": -1.0, "negative": -3.0}, 5, 2.0)
    policy = ShuntPolicy(("negative", "positive"), 0.9)
    assert LabelPrior.of_policy(policy) is None
    kept = policy.with_pruning(logprobs=prior.as_facts(policy.classes))
    assert kept.pruning == PruningFacts(logprobs=LogprobCalibration((-3.0, -1.0), 2.0, 5))
    assert LabelPrior.of_policy(ShuntPolicy.from_dict(kept.to_dict())) == prior
    assert PromptPruningOutputParser.for_policy(kept).label_prior == prior
    with pytest.raises(PolicyMismatchError, match="the label prior is of"):
        prior.as_facts(["up", "down"])


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"means": [], "n": 1, "temperature": 1.0},
        {"means": {}, "n": 1, "temperature": 1.0},
        {"means": {"a": "x"}, "n": 1, "temperature": 1.0},
        {"means": {"a": math.nan}, "n": 1, "temperature": 1.0},
        {"means": {"a": -1.0}, "n": 0, "temperature": 1.0},
        {"means": {"a": -1.0}, "n": 1, "temperature": 0.0},
        {"means": {"a": -1.0}, "n": 1},
    ],
)
def test_a_malformed_prior_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="label prior"):
        LabelPrior.from_dict(data)
