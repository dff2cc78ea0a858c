"""From a `HardSample` to what is written, and back.

Everything descriptive stands in one JSON column of plain ASCII, so that any text can be kept, NUL and lone surrogates
included. What is searched, counted or merged has columns of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, Literal, TypedDict

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.types import HardSample

LONGEST_KEY = 500
"""Characters of a tenant, policy, teacher, label or indexed tag; indexes hold no long texts."""

_COLUMNS = (
    "id",
    "tenant",
    "policy_id",
    "teacher",
    "input_hash",
    "parent_id",
    "complete_count",
    "incomplete_count",
    "input_tokens",
    "output_tokens",
    "first_seen",
    "last_seen",
    "gold",
    "sampling_probability",
)
_IN_PAYLOAD = tuple(f.name for f in fields(HardSample) if f.name not in {*_COLUMNS, "prompt", "answers"})
_DEFAULTS = {f.name: f.default for f in fields(HardSample) if f.default is not MISSING}
"""Fields that hold these are left out; a default of `HardSample` can never be changed."""
_TUPLES = ("classes", "probabilities", "candidates", "teacher_probabilities", "tags")


class SampleEntry(TypedDict):
    """One sighting of a hard sample, as JSON: it is counted into its row."""

    kind: Literal["sample"]
    columns: dict[str, Any]
    answers: dict[str, int]
    tags: list[str]


class TrafficEntry(TypedDict):
    """Requests that were answered, to be counted."""

    kind: Literal["traffic"]
    tenant: str
    policy_id: str
    route: str
    day: str
    n: int


class LossEntry(TypedDict):
    """Records that could not be kept, to be reported."""

    kind: Literal["loss"]
    since: float
    until: float
    n: int
    reason: str


Entry = SampleEntry | TrafficEntry | LossEntry


def identified(sample: HardSample) -> HardSample:
    """Return the sample with its `id`: equal for equal tenant, input, policy, prompt and teacher.

    Apart are: audits from deferred inputs, and audits of one sampling probability from those of another, so that a
    row's counts all weigh the same; an inner tier from the same shunt alone; and, without a policy, small models.
    """
    rule = sample.policy_id or f"without a policy: {sample.small_model_version}"
    audited = sample.sampling_probability if sample.route == "audit" or sample.sampling_probability != 1 else None
    key = [sample.tenant, sample.input_hash, rule, sample.prompt_hash, sample.teacher, audited, sample.parent_id]
    return replace(sample, id=hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32])


def quality(sample: HardSample) -> int:
    """Return 2 for a label that may train, 1 for a complete record, 0 for any other; a better one replaces a worse."""
    return 2 if sample.trainable else int(sample.complete)


def entry_of(sample: HardSample) -> SampleEntry:
    """Return a sample as it is written: as one sighting, or with the counts it has from another log.

    Raises:
        HardSampleStoreError: A tenant, policy, teacher or label that no index can hold.
    """
    payload = {name: getattr(sample, name) for name in _IN_PAYLOAD if getattr(sample, name) != _DEFAULTS.get(name, ...)}
    counted = bool(sample.complete_count or sample.incomplete_count)
    answers = dict(sample.answers) or ({sample.label: 1} if sample.trainable and sample.label is not None else {})
    for label in answers:
        checked_key("label", label)
    columns = {
        "id": sample.id,
        "tenant": checked_key("tenant", sample.tenant),
        "policy_id": checked_key("policy_id", sample.policy_id),
        "teacher": checked_key("teacher", sample.teacher),
        "route": sample.route,
        "quality": quality(sample),
        "label": optional_key("label", sample.label),
        "small_label": optional_key("small_label", sample.small_label),
        "confidence": sample.confidence,
        "sampling_probability": sample.sampling_probability,
        "input_hash": sample.input_hash,
        "parent_id": sample.parent_id,
        "complete_count": sample.complete_count if counted else int(sample.complete),
        "incomplete_count": sample.incomplete_count if counted else int(not sample.complete),
        "input_tokens": sample.input_tokens,
        "output_tokens": sample.output_tokens,
        "first_seen": sample.created_at if sample.first_seen is None else sample.first_seen,
        "last_seen": sample.created_at if sample.last_seen is None else sample.last_seen,
        "gold": optional_key("gold", sample.gold),
        "payload": json.dumps(payload),
    }
    return SampleEntry(
        kind="sample",
        columns=columns,
        answers=answers,
        tags=sorted({tag_key(tag) for tag in sample.tags}),
    )


def sample_of(row: Mapping[str, Any], answers: Mapping[str, int]) -> HardSample:
    """Return the sample of a row of the table `samples`; `answers` are its labels and their counts."""
    values = {**json.loads(row["payload"]), **{name: row[name] for name in _COLUMNS}, "answers": dict(answers)}
    return HardSample(**with_tuples(values))


def with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a `HardSample` from JSON, lists as tuples."""
    return {k: tuple(v) if k in _TUPLES and v is not None else v for k, v in values.items()}


def checked_key(name: str, value: str) -> str:
    """Return `value` if an index can hold it.

    Raises:
        HardSampleStoreError: It is no text, too long, or holds NUL or a lone surrogate. The value, which may be
            private, is not in the message.
    """
    if not isinstance(value, str):
        problem = f"a {type(value).__name__}"
    elif len(value) > LONGEST_KEY:
        problem = f"{len(value)} characters"
    elif "\0" in value or not _is_unicode(value):
        problem = "a text with one of these"
    else:
        return value
    raise HardSampleStoreError(
        f"{name} is a text of at most {LONGEST_KEY} characters without NUL and lone surrogates; got {problem}"
    )


def optional_key(name: str, value: str | None) -> str | None:
    """Return None, or what `checked_key` returns."""
    return None if value is None else checked_key(name, value)


def seconds(name: str, value: float) -> float:
    """Return a time, if it is a number: to SQLite every number lies before any text, and so before any `datetime`.

    Raises:
        HardSampleStoreError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise HardSampleStoreError(
            f"{name}= takes seconds since 1970, as time.time() and datetime.timestamp() give them; got {value!r}"
        )
    return value


def tag_key(tag: str) -> str:
    """Return what the index holds for a tag: itself, or its hash where it is long or no valid text."""
    if len(tag) <= LONGEST_KEY and "\0" not in tag and _is_unicode(tag):
        return tag
    return "sha256:" + hashlib.sha256(tag.encode("utf-8", "surrogatepass")).hexdigest()


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
