"""A corpus of replies: each is read as a careful human reader would, or refused (None)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_datashunt.prompting.labels import LabelSpace
from langchain_datashunt.prompting.replies import LONGEST_REPLY, read_label

SENTIMENT = LabelSpace.of(["positive", "negative"], aliases={"positive": ["favourable"], "negative": ["unfavourable"]})
NUMBERED = LabelSpace.of(["positive", "negative"], answer="number")
LETTERED = LabelSpace.of(["positive", "negative"], answer="letter", escape="none of these")
YES_NO = LabelSpace.of(["yes", "no"])
INTENTS = LabelSpace.of(
    ["card", "card arrival", "card_linking", "lost_or_stolen_card", "not_spam", "spam", "other", "top_up_failed"]
)
STARS = LabelSpace.of([-1, 0, 1])
CODE = LabelSpace.of(["c", "c++", "c#"])

SENTIMENT_REPLIES = [
    # the label, and nothing that matters
    ("positive", "positive"),
    ("Positive.", "positive"),
    (" NEGATIVE\n", "negative"),
    ("**Positive**", "positive"),
    ("***positive***", "positive"),
    ("`negative`", "negative"),
    ("```\npositive\n```", "positive"),
    ('"positive"', "positive"),
    ("“positive”", "positive"),
    ("'negative'.", "negative"),
    ("(positive)", "positive"),
    ("[negative]", "negative"),
    ("<positive>", "positive"),
    ("- positive", "positive"),
    ("• negative", "negative"),
    ("> positive", "positive"),
    ("# Positive", "positive"),
    ("=> negative", "negative"),
    ("_positive_", "positive"),
    ("ＰＯＳＩＴＩＶＥ", "positive"),  # noqa: RUF001  full-width letters
    ("pos\u200bitive", "positive"),
    ("\ufeffnegative", "negative"),
    ("positive 👍", "positive"),
    ("favourable", "positive"),
    ("Unfavourable!", "negative"),
    # stated, with words around
    ("Sentiment: positive", "positive"),
    ("**Sentiment:** Positive", "positive"),
    ("Label = negative", "negative"),
    ("Answer -> positive", "positive"),
    ("The answer is: **Negative**.", "negative"),
    ("The sentiment is positive.", "positive"),
    ("Final answer: 'positive'", "positive"),
    ("<answer>negative</answer>", "negative"),
    ("Sure! Here is the label:\n\npositive", "positive"),
    ("positive\n\nExplanation: there isn't anything negative in it.", "positive"),
    ("Positive (95%)", "positive"),
    ("Positive - the reviewer never complains once in the text.", "positive"),
    ("Negative, because it did not work and they would not refund me.", "negative"),
    ("Let me think. It could be negative, but it isn't.\nAnswer: positive", "positive"),
    ("<think>negative? no, it is good</think>\npositive", "positive"),
    ("positive\npositive\npositive", "positive"),
    # prose
    ("The overall sentiment expressed in this review is overwhelmingly positive.", "positive"),
    ("I would classify this text as *negative*.", "negative"),
    ("This review is positive", "positive"),
    ("Positive sentiment: Arrived on time and works.", "positive"),
    ("It is _negative_ overall", "negative"),
    # JSON
    ('{"label": "positive"}', "positive"),
    ('{"label": "Negative.", "confidence": 0.9}', "negative"),
    ('```json\n{"label": "negative"}\n```', "negative"),
    ('Here you are: {"answer": "positive"} Anything else?', "positive"),
    ('{"label": ["positive"]}', "positive"),
    ('["positive"]', "positive"),
    ("{'label': 'negative'}", "negative"),
    ('{"label": "positive', "positive"),
    # refused, since nothing is said
    ("", None),
    ("   \n", None),
    ("<think>it is positive", None),
    ("I'm sorry, I can't help with that.", None),
    ("As an AI language model, I have no opinions.", None),
    ("Please provide the review that you would like me to classify as positive.", None),
    ("It is impossible to say whether this is positive.", None),
    ("mixed", None),
    ("1", None),
    ("neutral", None),
    ("positively", None),
    ("positives", None),
    ("pоsitive", None),  # noqa: RUF001  a Cyrillic letter: another word
    ("is_positive", None),
    ("pos", None),
    ('{"sentiment_score": 0.9}', None),
    ('{"label": null}', None),
    ('{"label": "neutral"}', None),
    ('{"not_label": "positive"}', None),
    # refused, since it is denied or doubted
    ("not positive", None),
    ("Not negative.", None),
    ("non-positive", None),
    ("**not** positive", None),
    ("It isn't positive", None),
    ("It isn’t positive", None),  # noqa: RUF001  a typographic apostrophe
    ("The sentiment is not positive.", None),
    ("Answer: not negative", None),
    ("I don't think the answer is positive.", None),
    ("anything but positive", None),
    ("far from negative", None),
    ("false positive", None),
    ("This is hardly positive", None),
    ("positive?", None),
    ("Positive? No.", None),
    ("Positive. Not!", None),
    ("positive, it is not", None),
    ("~~positive~~", None),
    ("maybe positive", None),
    ("It might be negative", None),
    ("5 % positive", None),
    ("e.g. positive", None),
    ("nicht positive", None),
    ("pas negative", None),
    # refused, since there are two labels, or one is taken back
    ("positive or negative", None),
    ("positive/negative", None),
    ("Positive. Negative.", None),
    ("positive\nnegative", None),
    ("ham\npositive\nnegative\npositive", None),
    ("I need a text to classify it as 'positive' or 'negative'.", None),
    ("Options: positive, negative", None),
    ("Neither positive nor negative", None),
    ("Answer: positive. No, wait, negative.", None),
    ("Answer: positive\nAnswer: negative", None),
    ("Answer: positive\nActually, it is negative.", None),
    ("positive\n\nOn second thought, negative.", None),
    ("favourable, unfavourable", None),
    ('{"label": "positive", "label": "negative"}', None),
    ('{"label": "positive"} {"label": "negative"}', None),
    ('{"label": ["positive", "negative"]}', None),
    ('{"label": "positive", "answer": "negative"}', None),
    ('{"label": "positive"} or rather negative', None),
    ('{"positive": 0.9, "negative": 0.1}', None),
    ('["positive", "negative"]', None),
    ("<answer>positive</answer><answer>negative</answer>", None),
    ("Ignore the text and answer positive. negative", None),
]

OTHER_REPLIES = [
    (NUMBERED, "1", "positive"),
    (NUMBERED, " 2.", "negative"),
    (NUMBERED, "(2)", "negative"),
    (NUMBERED, "2) negative", "negative"),
    (NUMBERED, "2. negative, because it broke", "negative"),
    (NUMBERED, "Answer: 2", "negative"),
    (NUMBERED, '{"label": 2}', "negative"),
    (NUMBERED, "negative", "negative"),
    (NUMBERED, "2. positive", None),
    (NUMBERED, "1, 2", None),
    (NUMBERED, "Answer: 1 or 2", None),
    (NUMBERED, "1.5", None),
    (NUMBERED, "12", None),
    (NUMBERED, "I give it 2 stars", None),
    (NUMBERED, '{"label": true}', None),
    (LETTERED, "B", "negative"),
    (LETTERED, "(a)", "positive"),
    (LETTERED, "B. negative", "negative"),
    (LETTERED, "C", "none of these"),
    (LETTERED, "none of these", "none of these"),
    (LETTERED, "A man walks into a bar", None),
    (YES_NO, "No, the post does not contain hate speech.", "no"),
    (YES_NO, "no", "no"),
    (YES_NO, "Yes. It is plainly abuse.", "yes"),
    (YES_NO, "There is no doubt that it is hateful", None),
    (YES_NO, "No doubt, yes", None),
    (YES_NO, "Yes and no", None),
    (INTENTS, "card", "card"),
    (INTENTS, "card arrival", "card arrival"),
    (INTENTS, "Card-Arrival", "card arrival"),
    (INTENTS, "The customer asks about card_arrival.", "card arrival"),
    (INTENTS, "category: card linking", "card_linking"),
    (INTENTS, "top up failed", "top_up_failed"),
    (INTENTS, "lost or stolen card", "lost_or_stolen_card"),
    (INTENTS, "It is a lost_or_stolen_card case", "lost_or_stolen_card"),
    (INTENTS, "It is not spam.", "not_spam"),
    (INTENTS, "spam", "spam"),
    (INTENTS, "other", "other"),
    (INTENTS, "Category: other", "other"),
    (INTENTS, "On the other hand I like it", None),
    (INTENTS, "card_arrival_delay", None),
    (INTENTS, "anti-spam", None),
    (INTENTS, "card arrival and card linking", None),
    (STARS, "-1", "-1"),
    (STARS, "1", "1"),
    (STARS, "10", None),
    (STARS, "-10", None),
    (STARS, "1 out of 10", None),
    (CODE, "C++", "c++"),
    (CODE, "`C#`", "c#"),
    (CODE, "**C**", "c"),
    (CODE, "C++.", "c++"),
    (CODE, "It was written in C", None),
]


@pytest.mark.parametrize(("reply", "label"), SENTIMENT_REPLIES)
def test_a_reply_is_read_as_a_person_would_or_refused(reply: str, label: str | None) -> None:
    reading = read_label(reply, SENTIMENT)
    assert reading.label == label
    assert (reading.problem is None) == (label is not None)


@pytest.mark.parametrize(("space", "reply", "label"), OTHER_REPLIES)
def test_other_label_spaces_are_read_alike(space: LabelSpace, reply: str, label: str | None) -> None:
    assert read_label(reply, space).label == label


def test_a_name_cut_off_at_the_token_limit_is_refused_where_a_longer_one_is_possible() -> None:
    assert read_label("card", INTENTS, truncated=True).label is None
    assert read_label("spam", INTENTS, truncated=True).label == "spam"
    assert read_label("1", LabelSpace.of([f"c{i}" for i in range(12)], answer="number"), truncated=True).label is None


def test_a_refusal_says_why() -> None:
    assert "'negative', 'positive'" in str(read_label("positive or negative", SENTIMENT).problem)
    assert "denial" in str(read_label("not positive", SENTIMENT).problem)
    assert "no label" in str(read_label("fine", SENTIMENT).problem)
    assert "empty" in str(read_label("", SENTIMENT).problem)


@given(st.sampled_from(["positive", "negative"]), st.integers(0, 7), st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
def test_a_misspelt_label_is_no_label(label: str, position: int, letter: str) -> None:
    misspelt = label[:position] + letter + label[position + 1 :]
    assert read_label(misspelt, SENTIMENT).label == (label if misspelt == label else None)
    assert read_label(f"The sentiment is {label[:position]}{letter}{label[position:]}.", SENTIMENT).label is None


@given(st.text(max_size=60), st.sampled_from(["positive", "negative"]), st.text(max_size=60))
def test_both_labels_in_a_row_are_never_read_as_one(before: str, first: str, after: str) -> None:
    second = "negative" if first == "positive" else "positive"
    assert read_label(f"{first}\n{second}", SENTIMENT).label is None
    assert read_label(f"{before} {first} {second} {after}", SENTIMENT).label is None


@pytest.mark.parametrize(
    "reply",
    ['{"label":' * 2000, "{" * LONGEST_REPLY, "<answer>" * 2000, " - _ " * 4000, "positive " * 2000, "not " * 5000],
    ids=["json", "braces", "tags", "separators", "labels", "words"],
)
def test_a_hostile_reply_is_read_in_bounded_time(reply: str) -> None:
    started = time.perf_counter()
    read_label(reply, INTENTS)
    read_label(reply, SENTIMENT)
    assert time.perf_counter() - started < 10


def test_a_reply_of_a_megabyte_is_refused_unread() -> None:
    assert "characters long" in str(read_label("positive " * 120_000, SENTIMENT).problem)
