"""First-token log-probabilities: what a chat model thinks of every label, and not only of the one that it wrote.

OpenAI-compatible servers return, with ``ChatOpenAI(logprobs=True, top_logprobs=20)``, the likeliest tokens at each
position of the reply. The tokens at the position where the answer begins say how likely each label was, so the answer
can be restricted to the candidates exactly, and a small model can learn from the whole distribution (2CD).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.messages import BaseMessage

from langchain_datashunt.errors import CalibrationDataError, CompositionError, PolicyError, PolicyMismatchError
from langchain_datashunt.policy.calibration_fitting import fit_temperature
from langchain_datashunt.policy.pruning_facts import LogprobCalibration
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.prompting.labels import LabelSpace, folded
from langchain_datashunt.targets import target_columns

_BEFORE_ANSWER = re.compile(r"""[\s"'`*_(\[]*(?:\{\s*["'](?:label|answer)["']\s*:\s*["']?)?""")
_OPENING = " \t\r\n\"'`*_([{\u2581\u0120"
_CLOSING = " \t\r\n\"'`*_)]}.,:;!"
_FIRST_WORDS = frozenset(
    "a an as at based for from here i in is it no not of on or so that the there they this to we what you your".split()  # noqa: SIM905  a list would take a line a word
)
"""Words with which sentences begin: such a token is not taken for the beginning of a label ("the" of "theft")."""


@dataclass(frozen=True, slots=True)
class LabelLogprobs:
    """What the tokens at the beginning of a reply's answer say about each option.

    Attributes:
        values: Option to the log-probability that the answer begins with it (natural logarithm, at most 0, the
            spellings summed). Of an option in `floored` it is an upper bound.
        floored: Options that no reported token begins; they have the lowest log-probability that was reported.
        reply: The reply from its answer on.
    """

    values: Mapping[str, float]
    floored: frozenset[str]
    reply: str


def label_logprobs(message: BaseMessage, answers: Mapping[str, str]) -> LabelLogprobs | None:
    """Return the log-probabilities of `answers` (option to what the model was to write), or None.

    A token speaks for an option if it is the option's answer (in any case), or a beginning of it that no other option
    shares: ``"pos"`` for ``"positive"``. Beginnings must have two letters and the answer's own case, and not be a
    common word, since what would have followed them is not known. The token that was written speaks for an option only
    if the reply goes on as that option does.

    None means that the reply cannot be read this way: it carries no ``top_logprobs``, no option among them, or a token
    that options share ("card" of "card arrival" and "card linking") is likelier than any that tells them apart.
    """
    tokens = _content(message)
    position = _answer_position([str(token["token"]) for token in tokens])
    if position is None:
        return None
    first = tokens[position]
    reported = {str(top["token"]): float(top["logprob"]) for top in first.get("top_logprobs") or ()}
    if not reported:
        return None
    written = str(first["token"])
    reply = "".join(str(token["token"]) for token in tokens[position:])
    masses: dict[str, list[float]] = {}
    shared = -math.inf
    for token, value in {written: float(first["logprob"]), **reported}.items():
        speaks = goes_on if token == written else _begins
        meant = [option for option, answer in answers.items() if speaks(reply if token == written else token, answer)]
        if len(meant) == 1:
            masses.setdefault(meant[0], []).append(value)
        elif meant:
            shared = max(shared, value)
    values = {option: _log_sum(found) for option, found in masses.items()}
    if not values or shared > max(values.values()):
        return None
    floor = min(reported.values())
    complete = {option: values.get(option, floor) for option in answers}
    return LabelLogprobs(complete, frozenset(answers) - frozenset(values), reply)


def goes_on(reply: str, answer: str) -> bool:
    """Tell whether `reply`, perhaps cut off, goes on as `answer` does."""
    said, wanted = folded(reply).lstrip(_OPENING), folded(answer)
    if said.startswith(wanted):
        return not said[len(wanted) : len(wanted) + 1].isalnum()
    said = said.rstrip(_CLOSING)
    return bool(said) and wanted.startswith(said)


def check_first_tokens(space: LabelSpace) -> None:
    """Raise `CompositionError` where two options can never be told apart by their first token."""
    answers = {option: folded(answer) for option, answer in space.answers.items()}
    for option, answer in answers.items():
        for other, longer in answers.items():
            if option != other and (longer.startswith(answer) or _first_word(longer) == _first_word(answer)):
                raise CompositionError(
                    f"{space.answers[option]!r} and {space.answers[other]!r} begin with the same token, so first-token "
                    "log-probabilities cannot tell them apart; use answer='letter' (to 26 labels) or 'number' (to 9)"
                )


def distribution(logprobs: Mapping[str, float], prior: LabelPrior | None = None) -> dict[str, float]:
    """Return the softmax over the options of `logprobs`, corrected by `prior`; the values sum to 1."""
    corrected = prior.corrected(logprobs) if prior is not None else dict(logprobs)
    total = _log_sum(corrected.values())
    return {option: math.exp(value - total) for option, value in corrected.items()}


@dataclass(frozen=True, slots=True)
class LabelPrior:
    """How likely a model finds each label whatever the text: learned from replies, and taken away from each reply.

    Large models, and small ones more so, prefer some label words to others. The preference is estimated as the mean
    normalised log-probability of each label over the replies to *unlabelled* texts, and subtracted.

    Caveat: that leaves no label preferred on average, which is right where the classes are about equally frequent in
    the texts that it was learned from. Where they are not, it takes away part of the signal: do not use it there, or
    learn it from texts in which the classes are balanced. Source: batch calibration (Zhou et al., ICLR 2024), which
    follows contextual calibration (Zhao et al., ICML 2021); here the mean is taken of log-probabilities, so that the
    replies of an overconfident model count too.

    Attributes:
        means: Label to its mean log-probability, normalised over the labels within each reply.
        n: How many replies the means are taken over.
        temperature: What the corrected log-probabilities are divided by, so that the probabilities are calibrated; 1
            where no labels were known. It changes no answer, only how sure the distribution is.
    """

    means: Mapping[str, float]
    n: int
    temperature: float = 1.0

    @classmethod
    def fit(cls, replies: Sequence[BaseMessage], space: LabelSpace, labels: Sequence[Any] | None = None) -> LabelPrior:
        """Learn the preference from replies with log-probabilities, and with `labels` the temperature too.

        Replies that `label_logprobs` cannot read are passed over; `n` says how many were used.

        Args:
            replies: To texts like those that will be asked, with all labels possible.
            space: The label space.
            labels: The true labels, one a reply; for the temperature of least negative log-likelihood.

        Raises:
            CalibrationDataError: No reply could be read, or there is not one label a reply.
            MissingExtraError: `labels` are given, and the extra ``fit`` is not installed.
        """
        if labels is not None and len(labels) != len(replies):
            raise CalibrationDataError(f"each reply needs one label: got {len(replies)} replies, {len(labels)} labels")
        answers = {label: space.answers[label] for label in space.labels}
        found = [label_logprobs(reply, answers) for reply in replies]
        read = [i for i, each in enumerate(found) if each is not None]
        if not read:
            raise CalibrationDataError(
                "no reply carries log-probabilities of the labels' first tokens; ask the model with logprobs=True and "
                "top_logprobs=20, and with labels that begin differently"
            )
        values = np.array([[each.values[label] for label in answers] for each in found if each is not None])
        normalised = values - np.logaddexp.reduce(values, axis=1, keepdims=True)
        means = dict(zip(answers, normalised.mean(axis=0).tolist(), strict=True))
        if labels is None:
            return cls(means, len(read))
        targets = target_columns([labels[i] for i in read], space.labels)
        corrected = normalised - normalised.mean(axis=0)
        return cls(means, len(read), fit_temperature(np.exp(corrected), targets).temperature)

    @classmethod
    def of_policy(cls, policy: ShuntPolicy) -> LabelPrior | None:
        """Return what a policy knows of the large model's log-probabilities; None where that is nothing."""
        facts = None if policy.pruning is None else policy.pruning.logprobs
        if facts is None:
            return None
        return cls(dict(zip(policy.classes, facts.preferences, strict=True)), facts.n, facts.temperature)

    def as_facts(self, classes: Sequence[str]) -> LogprobCalibration:
        """Return the prior as a policy of these classes keeps it: ``policy.with_pruning(logprobs=...)``.

        Raises:
            PolicyMismatchError: The classes are others than the prior's labels.
        """
        if set(classes) != set(self.means):
            raise PolicyMismatchError(f"the label prior is of {sorted(self.means)}, the classes are {sorted(classes)}")
        return LogprobCalibration(tuple(self.means[label] for label in classes), self.temperature, self.n)

    def corrected(self, logprobs: Mapping[str, float]) -> dict[str, float]:
        """Return `logprobs` less the means, divided by the temperature.

        An option without a mean (the escape option) has their average taken off.
        """
        average = sum(self.means.values()) / len(self.means)
        return {
            option: (value - self.means.get(option, average)) / self.temperature for option, value in logprobs.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the prior as plain JSON."""
        return {"means": dict(self.means), "n": self.n, "temperature": self.temperature}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelPrior:
        """Return the prior that `to_dict` gave.

        Raises:
            PolicyError: The data are of another form.
        """
        try:
            means = {str(label): float(mean) for label, mean in data["means"].items()}
            n, temperature = int(data["n"]), float(data["temperature"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PolicyError(
                f"a label prior is {{'means': {{label: number}}, 'n': count, 'temperature': number}}; got {data!r}"
            ) from error
        if not means or n < 1 or not all(map(math.isfinite, (*means.values(), temperature))) or temperature <= 0:
            raise PolicyError(
                f"a label prior has finite means of at least one reply and a temperature above 0; got {data!r}"
            )
        return cls(means, n, temperature)


def _content(message: BaseMessage) -> list[Mapping[str, Any]]:
    logprobs = message.response_metadata.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    return list(content or ())


def _answer_position(tokens: list[str]) -> int | None:
    """Return the index of the token that begins the answer: behind spaces, quotes, markdown, ``{"label":``."""
    before = ""
    for position, token in enumerate(tokens):
        if token.strip(_OPENING) and "{" not in token and _BEFORE_ANSWER.fullmatch(before):
            return position
        before += token
    return None


def _begins(token: str, answer: str) -> bool:
    bare = token.lstrip(_OPENING)
    whole = bare.rstrip(_CLOSING)
    if len(answer) == 1:
        return whole == answer  # a letter: "a" is a word
    if folded(whole) == folded(answer):
        return True
    telling = bare.isdigit() or (len(bare) > 1 and folded(bare) not in _FIRST_WORDS)
    return telling and answer.startswith(bare)


def _first_word(text: str) -> str:
    return re.split(r"[\s_-]+", text.strip())[0]


def _log_sum(values: Iterable[float]) -> float:
    logs = list(values)
    highest = max(logs)
    return highest + math.log(sum(math.exp(value - highest) for value in logs))
