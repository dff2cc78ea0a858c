"""What a policy knows of the large model's part: which labels to offer it, what to tell it, how to read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from langchain_datashunt.candidates.rules import LearnedCandidates
from langchain_datashunt.errors import PolicyError
from langchain_datashunt.policy.policy_file import read_record

Hints = Literal["soft", "hard", "both", "none"]
"""What a prompt tells of the small model's knowledge: probabilities, candidates only, both, nothing."""


@dataclass(frozen=True, slots=True)
class LogprobCalibration:
    """How the large model's log-probabilities of the labels become probabilities of labels.

    They are ``softmax((log-probability - preference) / temperature)``.

    Attributes:
        preferences: ``(k,)``, in the order of the policy's classes: the mean log-probability of each label over replies
            to texts of all kinds, normalised over the labels, which the model gives it whatever the text.
        temperature: Above 0; 1 changes nothing, above 1 flattens (of calibration, not of sampling).
        n: The replies that these were learned from.
    """

    preferences: tuple[float, ...]
    temperature: float
    n: int

    def __post_init__(self) -> None:
        """Refuse what is no calibration."""
        numbers = (*self.preferences, self.temperature)
        if not self.preferences or not all(map(math.isfinite, numbers)) or self.temperature <= 0 or self.n < 1:
            raise PolicyError(
                "a calibration of log-probabilities has a finite preference for each class, a temperature above 0 and "
                f"n of at least 1; got {self!r}"
            )


@dataclass(frozen=True, slots=True)
class PredictionSetFacts:
    """A learned `langchain_datashunt.PredictionSet`.

    Attributes:
        level: At least this share of deferred inputs has its true label among the candidates, on average over the draw.
        min_probability: In [0, 1]; the calibrated probability that makes a label a candidate.
        n: The deferred rows that it was learned on.
    """

    level: float
    min_probability: float
    n: int


@dataclass(frozen=True, slots=True)
class MasteredFacts:
    """Learned by `langchain_datashunt.DropMastered`.

    Attributes:
        dropped: The labels that are never candidates, in the order of the policy's classes.
        max_unanswerable: At most this share of deferred inputs is of a dropped label, with `confidence_level`.
        confidence_level: In (0, 1).
        n: The deferred rows that certify it.
        observed: Share of these that is of a dropped label; an estimate, not a bound.
    """

    dropped: tuple[str, ...]
    max_unanswerable: float
    confidence_level: float
    n: int
    observed: float


@dataclass(frozen=True, slots=True)
class PruningFacts:
    """What was learned on inputs that the policy defers, for the large model that answers them.

    Attributes:
        prediction_set: The learned prediction set; None without one.
        mastered: The classes that are dropped; None where none are.
        hints: The measured verdict on what the prompt should tell; None where nobody measured. A
            `PromptPruningTemplate` behind the shunt follows it, unless it was given ``hints=`` of its own. With "soft"
            and "none" no label is removed, unless a prompt of its own tells the candidates.
        logprobs: The calibration of the large model's log-probabilities; None where none was learned.
    """

    prediction_set: PredictionSetFacts | None = None
    mastered: MasteredFacts | None = None
    hints: Hints | None = None
    logprobs: LogprobCalibration | None = None

    def __post_init__(self) -> None:
        """Refuse a verdict that does not exist."""
        if self.hints is not None and self.hints not in get_args(Hints):
            raise PolicyError(f"hints is one of {list(get_args(Hints))} or None; got {self.hints!r}")

    def candidate_rule(self, classes: tuple[str, ...]) -> LearnedCandidates | None:
        """Return the learned rule; None where none was learned."""
        if self.prediction_set is None and self.mastered is None:
            return None
        dropped = () if self.mastered is None else tuple(map(classes.index, self.mastered.dropped))
        return LearnedCandidates(0.0 if self.prediction_set is None else self.prediction_set.min_probability, dropped)

    def check(self, classes: tuple[str, ...]) -> None:
        """Raise `PolicyError` where the facts are of other classes than the policy's."""
        dropped = () if self.mastered is None else self.mastered.dropped
        if not set(dropped) < set(classes):
            raise PolicyError(f"the dropped labels {list(dropped)} are no proper part of the classes {list(classes)}")
        if self.logprobs is not None and len(self.logprobs.preferences) != len(classes):
            raise PolicyError(
                f"the policy has {len(classes)} classes, its calibration of log-probabilities "
                f"{len(self.logprobs.preferences)} preferences"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PruningFacts:
        """Rebuild the facts from `to_dict`.

        Raises:
            PolicyError: A field is missing, unknown or malformed.
        """
        nested = {
            "prediction_set": PredictionSetFacts,
            "mastered": MasteredFacts,
            "logprobs": LogprobCalibration,
        }
        if not isinstance(record, Mapping):
            raise PolicyError(f"pruning facts are a mapping; got {record!r}")
        parts = {
            name: read_record(nested[name], value) if name in nested and value is not None else value
            for name, value in record.items()
        }
        return read_record(cls, parts)
