"""Reading a label out of a text reply as a careful human reader would, or refusing.

A reply *states* a label where the label stands for itself: in JSON, behind ``Answer:``, alone on a line, or at the head
of the reply before its explanation. Otherwise it is read as prose: it must name exactly one label, in plain sentences.
What could mean two things is refused: a refused reply can be repaired, or answered by the small model, while a wrong
label is never seen again.

The words of doubt are English, with the commonest German, French, Spanish and Italian negations. Prose in another
language is refused only where it names two labels; ask there for the label alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_datashunt.prompting.labels import LabelSpace, folded, name_key

LONGEST_REPLY = 20_000
"""Characters; a longer reply is no answer to a question for one label, and is refused unread."""

_DENIAL = """
not no never neither nor none non nothing without cannot hardly barely scarcely rarely lack lacks lacking false
incorrect wrong opposite far anything but unlike except exclude excludes excluded excluding rule ruled rules reject
rejected deny denied instead rather than less isnt arent wasnt dont doesnt didnt cant wont aint other
nicht kein keine weder ohne pas ne ni sin nunca nie jamais nessuno
"""
_NO_ANSWER = """
whether if unclear unsure uncertain maybe perhaps possibly might may could either or between versus vs please provide
need unable sorry apologize apologise impossible depends depending example hard difficult unlikely
hesitate disagree refuse ignore
"""
_CHANGED_MIND = "actually wait correction scratch mistake"
_DOUBT = frozenset(f"{_DENIAL} {_NO_ANSWER} {_CHANGED_MIND}".split())
_CORRECTION = re.compile(
    r"\b(?:actually|wait|correction|scratch|mistake|rather|instead|sorry|on second thought|changed? my mind)\b"
)
_THINKING = re.compile(r"\A\s*<(think|thinking)>.*?(?:</\1>|\Z)", re.DOTALL)
_EMPHASIS = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")
_JSON_KEYS = ("label", "answer", "class", "category", "prediction")
_TAG = re.compile(r"<(answer|label|class|category)>([^<]*)</\1>")
_MARKER = re.compile(
    r"\b(?:answer|label|class|category|classification|sentiment|intent|prediction|verdict|assistant)\b"
    r"[\"'*_` ]*(?::|=|->|\u2192|\bis\b:?)[\"'*_` ]*(.+)"
)
_CLAUSE_END = re.compile(r"[,;:](?!\d)|\.(?!\w)|[(!\n\u2014]|\s[-\u2013]\s|\b(?:because|since|as)\b")
_SENTENCE_END = re.compile(r"(?<=[.!?;\n])(?![.!?])")
_ABBREVIATION = re.compile(r"\be\.\s?g\.|\bi\.\s?e\.")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_OPEN = re.compile(r"\?|~~")
"""A question, or struck-out text: no statement."""
_ASKED = re.compile(r"\A[^.!\n]*[.!]*\?")
"""How a sentence goes on that turns out to be a question: ``, right?``, ``!?``."""
_SHORT_REMARK = 4
"""A remark of at most so many words that holds a word of doubt ("Not!", "it is not") takes back what was said."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply says.

    Attributes:
        label: The option named; None where the reply is refused.
        problem: Why it is refused, for people; None where it is not.
        probabilities: How likely the model found each option, where log-probabilities decided; None elsewhere.
    """

    label: str | None
    problem: str | None = None
    probabilities: Mapping[str, float] | None = None


def read_label(reply: str, space: LabelSpace, *, truncated: bool = False) -> Reading:
    """Read the one option of `space` that `reply` names.

    Args:
        reply: The LLM's text. A leading ``<think>`` block is passed over.
        space: The label space.
        truncated: Whether the reply was cut off at its token limit, so that a name at its end may be unfinished.

    Example:
        >>> space = LabelSpace.of(["positive", "negative"])
        >>> read_label("The sentiment is **Positive**.", space).label
        'positive'
        >>> read_label("Not positive.", space).problem
        "it names 'positive' only in words of doubt or denial"
    """
    text = folded(_THINKING.sub("", reply)).strip()
    if not text:
        return Reading(None, "it is empty")
    if len(text) > LONGEST_REPLY:
        return Reading(None, f"it is {len(text)} characters long, which is no answer in one label")
    reading = _alone(text, space) or _read(_EMPHASIS.sub(" ", text), space)
    return _unless_cut(reading, text, space) if truncated else reading


def read_tool_calls(arguments: Sequence[Mapping[str, Any]], space: LabelSpace) -> Reading:
    """Read the one option of `space` that tool calls name: under a key like ``label``, or as any whole value.

    Args:
        arguments: Of each call.
        space: The label space.
    """
    stated = []
    for each in arguments:
        if any(key in _JSON_KEYS for key in each):
            stated.append(_json_value(list(each.items()), space))
        else:
            stated += [read for value in each.values() if (read := _alone(_as_name(value), space)) is not None]
    return _agreed(stated) or Reading(None, "its tool calls name no label")


def _read(text: str, space: LabelSpace) -> Reading:
    return (
        _json_reading(text, space)
        or _marked_reading(text, space)
        or _line_reading(text, space)
        or _headed_reading(text, space)
        or _prose_reading(text, space)
    )


def _alone(text: str, space: LabelSpace) -> Reading | None:
    label = space.names.get(name_key(text))
    return None if label is None else Reading(label)


def _unless_cut(reading: Reading, text: str, space: LabelSpace) -> Reading:
    """Refuse a reading whose name ends the text and begins a longer name."""
    ending = [name for name, option in space.names.items() if option == reading.label and name_key(text).endswith(name)]
    longer = [
        option for name, option in space.names.items() if option != reading.label and name.startswith(tuple(ending))
    ]
    if ending and longer:
        return Reading(None, f"it was cut off where it could name {reading.label!r} or {longer[0]!r}")
    return reading


def _agreed(stated: Sequence[Reading]) -> Reading | None:
    """Return the one reading of several statements; None where there are none."""
    refused = [reading for reading in stated if reading.label is None]
    labels = {str(reading.label) for reading in stated}
    if refused:
        return refused[0]
    return _two(labels) if len(labels) > 1 else next(iter(stated), None)


def _json_reading(text: str, space: LabelSpace) -> Reading | None:
    """Read ``{"label": ...}`` wherever it stands; the rest of the reply must not name another label."""
    found, rest = list(_json_objects(text)), text
    for start, end, _ in found:
        rest = rest[:start] + " " * (end - start) + rest[end:]
    reading = _agreed([_json_value(pairs, space) for _, _, pairs in found])
    if reading is None or reading.label is None:
        return reading
    others = _named(rest, space) - {reading.label}
    return _two({reading.label, *others}) if others else reading


def _json_objects(text: str) -> Iterator[tuple[int, int, list[tuple[str, Any]]]]:
    decoder = json.JSONDecoder(object_pairs_hook=list)  # pairs, so that a repeated key is seen
    position = text.find("{")
    while position >= 0:
        try:
            pairs, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position = text.find("{", position + 1)
        else:
            yield position, end, pairs
            position = text.find("{", end)


def _json_value(pairs: list[tuple[str, Any]], space: LabelSpace) -> Reading:
    values = [value for key, value in pairs if key in _JSON_KEYS]
    if len(values) != 1:
        return Reading(None, f'its JSON has {len(values)} keys like "label"; one is expected')
    value = values[0][0] if isinstance(values[0], list) and len(values[0]) == 1 else values[0]
    name = _as_name(value)
    return _alone(name, space) or Reading(None, f"its JSON names {name!r}, which is no label")


def _as_name(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=repr)


def _marked_reading(text: str, space: LabelSpace) -> Reading | None:
    """Read ``Answer: positive`` and ``<answer>positive</answer>``, unless what follows takes it back."""
    lines = _TAG.sub(r"\nanswer: \2\n", text).split("\n")
    stated = [(i, reading) for i, line in enumerate(lines) if (reading := _marked_line(line, space)) is not None]
    reading = _agreed([each for _, each in stated])
    return reading and _unless_taken_back(reading, "\n".join(lines[stated[-1][0] + 1 :]), space)


def _marked_line(line: str, space: LabelSpace) -> Reading | None:
    match = _MARKER.search(line)
    if match is None or _doubts(_masked(_SENTENCE_END.split(line[: match.start()])[-1], space)):
        return None
    piece = match[1]
    reading = _alone(piece, space) or _headed_reading(piece, space) or _prose_reading(piece, space)
    return reading if reading.label is not None or _named(piece, space) else None


def _line_reading(text: str, space: LabelSpace) -> Reading | None:
    """Read a label that stands alone on its line, as before a paragraph of explanation."""
    lines = text.split("\n")
    stated = [(i, reading) for i, line in enumerate(lines) if (reading := _alone(line, space)) is not None]
    reading = _agreed([each for _, each in stated])
    return reading and _unless_taken_back(reading, "\n".join(lines[stated[-1][0] + 1 :]), space)


def _headed_reading(text: str, space: LabelSpace) -> Reading | None:
    """Read ``Positive, because ...`` and ``2. negative``: a name, then an explanation that names no other label."""
    head = _CLAUSE_END.split(text, maxsplit=1)[0]
    rest = text[len(head) :]
    reading = _alone(head, space)
    if reading is None or _ASKED.match(rest) or _takes_back(_sentences(rest)[:1], space):
        return None
    next_word = _WORD.search(rest)
    others = _named(rest, space) | {space.names.get(next_word[0] if next_word else "", str(reading.label))}
    return _two({str(reading.label), *others}) if others - {reading.label} else reading


def _unless_taken_back(reading: Reading, rest: str, space: LabelSpace) -> Reading:
    """Refuse a statement that is followed by a bare denial, or by another label in a text that corrects itself."""
    if reading.label is None:
        return reading
    others = _named(rest, space) - {reading.label}
    if others and _CORRECTION.search(rest):
        return _two({reading.label, *others})
    if _takes_back(_sentences(rest)[:1], space):
        return Reading(None, f"it takes {reading.label!r} back")
    return reading


def _prose_reading(text: str, space: LabelSpace) -> Reading:
    """Read sentences: one label in all of them, and none of those that name it doubts, denies or asks."""
    named = _named(text, space)
    if len(named) != 1:
        return _two(named) if named else Reading(None, "it names no label")
    sentences = _sentences(text)
    for i, sentence in enumerate(sentences):
        if not _spans(sentence, space):
            continue
        around = _masked(sentence, space)
        unsure = _OPEN.search(around) or "%" in around or _doubts(around)
        if unsure or _takes_back(sentences[i + 1 : i + 2], space):
            return Reading(None, f"it names {named.pop()!r} only in words of doubt or denial")
    label = named.pop()
    code = space.answers[label] if space.answer == "label" else _WORD.findall(text)[-1]  # "so A"
    other = space.names.get(code, label)
    return Reading(label) if other == label else _two({label, other})


def _takes_back(remarks: Sequence[str], space: LabelSpace) -> bool:
    return any(len(_WORD.findall(remark)) <= _SHORT_REMARK and _doubts(_masked(remark, space)) for remark in remarks)


def _doubts(text: str) -> bool:
    return any(word in _DOUBT or word.endswith("n't") for word in _WORD.findall(text))


def _masked(sentence: str, space: LabelSpace) -> str:
    """Return a sentence without the names of labels, which may hold words of doubt ("not spam")."""
    for start, end, _ in _spans(sentence, space):
        sentence = sentence[:start] + " " * (end - start) + sentence[end:]
    return sentence


def _sentences(text: str) -> list[str]:
    parts = _SENTENCE_END.split(_ABBREVIATION.sub("example", text))
    return [part for part in parts if _WORD.search(part) or _OPEN.search(part)]


def _named(text: str, space: LabelSpace) -> set[str]:
    return {option for _, _, option in _spans(text, space)}


def _spans(text: str, space: LabelSpace) -> list[tuple[int, int, str]]:
    """Return where prose names options, ``(start, end, option)``, without names that lie inside a longer one.

    A label that is itself a word of doubt ("no", "other") is never read in the midst of a sentence.
    """
    found: list[tuple[int, int, str]] = []
    for match in space.prose_pattern.finditer(text) if space.prose_pattern else ():
        start, end = match.span(1)
        if match[1] not in _DOUBT and (not found or end > found[-1][1]):
            found.append((start, end, space.names[name_key(match[1])]))
    return found


def _two(labels: Collection[str]) -> Reading:
    return Reading(None, f"it names more than one label: {', '.join(map(repr, sorted(labels)))}")
