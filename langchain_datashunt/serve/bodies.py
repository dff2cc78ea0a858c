"""The bodies of requests and replies, as OpenAPI shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from langchain_core.runnables import Runnable
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, create_model
from typing_extensions import is_typeddict

from langchain_datashunt.errors import InvalidInputError
from langchain_datashunt.routing.per_request import check_threshold
from langchain_datashunt.serve.limits import RequestLimits
from langchain_datashunt.types import Reason, Route


class Turn(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"] = Field(description="Who speaks.")
    content: str = Field(description="What is said.")


class DecisionRecord(BaseModel):
    """What a shunt decided about an input, and why."""

    route: Route = Field(description="Who answered: the small or the large model; the fallbacks are named on_error.")
    reason: Reason = Field(description="Why: the rule, the caller's switch, or a failure.")
    label: str | None = Field(description="The small model's label; null where it failed.")
    confidence: float | None = Field(description="Its calibrated confidence in [0, 1]; null where it failed.")
    threshold: float = Field(description="The confidence that is enough, in [0, 1].")
    certified: bool = Field(description="Whether this is the threshold that the policy certifies.")
    calibrated: bool = Field(description="Whether the probabilities were calibrated.")
    candidates: list[str] | None = Field(description="The labels left for the large model; null where all were.")
    policy_id: str | None = Field(description="The policy; null without one.")
    small_model_version: str | None = Field(description="The small model; null where unknown.")
    sampling_probability: float = Field(description="With which probability such an input goes to the large model.")
    error: str | None = Field(default=None, description="The type of the failure behind a fallback.")


class Reply(BaseModel):
    """The answer to one input."""

    output: Any = Field(description="What the chain returned: a text, a message, or an object.")
    decisions: list[DecisionRecord] = Field(description="One a shunt that ran, outermost first.")


class Failure(BaseModel):
    """Why an input of a batch has no answer."""

    status: int = Field(description="The HTTP status that the input would have got alone.")
    detail: str = Field(description="In words.")


class FailedReply(BaseModel):
    """An input of a batch without an answer."""

    error: Failure
    decisions: list[DecisionRecord] = Field(description="What was decided before the failure.")


class BatchReply(BaseModel):
    """The answers to a batch, in the order of the inputs."""

    results: list[Reply | FailedReply]


class DecideReply(BaseModel):
    """The decisions about a batch, in the order of the inputs."""

    decisions: list[DecisionRecord]


class Refusal(BaseModel):
    """Why a request was not answered."""

    detail: str | list[Any] = Field(description="In words, or one entry a problem of the body.")


@dataclass(frozen=True, slots=True)
class ThresholdBounds:
    """The thresholds that a request may ask for.

    Raises:
        InvalidInputError: A bound is no number in [0, 1], or they are the wrong way round.
    """

    lowest: float
    highest: float

    @classmethod
    def of(cls, given: Any) -> ThresholdBounds:
        """Return the bounds that a user gave as a pair."""
        try:
            lowest, highest = given
        except (TypeError, ValueError):
            raise InvalidInputError(f"threshold_bounds are (lowest, highest); got {given!r}") from None
        return cls(lowest, highest)

    def __post_init__(self) -> None:
        """Check the bounds."""
        for bound in (self.lowest, self.highest):
            check_threshold(bound, "a bound of thresholds")
        if self.lowest > self.highest:
            raise InvalidInputError(f"threshold_bounds are (lowest, highest); got {(self.lowest, self.highest)}")


@dataclass(frozen=True, slots=True)
class RequestBodies:
    """The request bodies of a served chain."""

    one: type[BaseModel]
    """``input``, and ``threshold`` where requests may set it."""

    many: type[BaseModel]
    """``inputs``, and ``threshold`` where requests may set it."""


def request_bodies(chain: Runnable[Any, Any], limits: RequestLimits, bounds: ThresholdBounds | None) -> RequestBodies:
    """Return the request bodies for a chain."""
    value: Any = Annotated[_input_type(chain), AfterValidator(_length_checker(limits.text_length))]
    options: dict[str, Any] = {}
    if bounds is not None:
        number = Annotated[float, Field(strict=True, ge=bounds.lowest, le=bounds.highest, allow_inf_nan=False)]
        options["threshold"] = (
            number | None,
            Field(
                default=None,
                description="The calibrated confidence at or above which the small model answers, in "
                f"[{bounds.lowest:g}, {bounds.highest:g}]. It takes the place of the policy's, which is then not "
                "certified for this request.",
            ),
        )
    one = Field(description=f"What to answer. A text has at most {limits.text_length} characters.")
    many = Field(description="What to answer, in order.", max_length=limits.batch_size)
    return RequestBodies(
        create_model("InvokeRequest", __config__=_STRICT, input=(value, one), **options),
        create_model("BatchRequest", __config__=_STRICT, inputs=(list[value], many), **options),
    )


_STRICT = ConfigDict(extra="forbid")


def _input_type(chain: Runnable[Any, Any]) -> Any:
    """Return what JSON can hold of the chain's input: fields where it names them, else a text, an object or turns."""
    anything = str | dict[str, Any] | list[Turn]
    schema: Any = chain.get_input_schema()
    if not issubclass(schema, RootModel):
        return schema if schema.model_fields else anything
    root = schema.model_fields["root"].annotation
    return root if any(map(is_typeddict, get_args(root))) else anything


def _length_checker(most: int) -> Any:
    def check(value: Any) -> Any:
        try:
            texts = _texts(value)
        except RecursionError:
            raise ValueError("an input is not nested a hundred times and more") from None
        for text in texts:
            if len(text) > most:
                raise ValueError(f"a text has at most {most} characters; got {len(text)}")
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise ValueError("a text is valid Unicode; got half of a surrogate pair")
        return [turn.model_dump() for turn in value] if _are_turns(value) else _plain(value)

    return check


def _are_turns(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Turn) for each in value)


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


def _texts(value: Any) -> list[str]:
    """Return every text in a value, the keys of mappings included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    return []
