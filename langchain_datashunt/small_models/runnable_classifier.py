"""A LangChain Runnable as a small model: a chain, a hosted classifier, a decision model, a small chat model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from langchain_core.load.serializable import Serializable
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.answers import (
    RANGE_TOLERANCE,
    ROW_SUM_TOLERANCE,
    label_name,
    probability_rows,
    unique_names,
)
from langchain_datashunt.small_models.fingerprints import checked_version
from langchain_datashunt.types import FloatArray

Output = Callable[[Any], Any]


class RunnableClassifier(Serializable):
    """A Runnable that answers one input with the probabilities of its labels, run by its own `batch`.

    The Runnable's answer, or what `output` makes of it, is

    * without `remainder`: a mapping from label to probability that sums to 1; a label left out has probability 0;
    * with ``remainder="uniform"``: a pair ``(label, confidence)``, or a mapping with these two keys, with the
      confidence read as the label's probability. What is left is spread evenly over the other labels. The row can be
      thresholded and calibrated, but says nothing about the other labels: `probabilities_known` is False, and a shunt
      then offers neither candidates nor a prior.

    Example::

        # a model of langchain_core.decisions (langchain-core 1.8)
        ask = {"topic": Choice(instructions="Which team?", criteria={"billing": "...", "technical": "..."})}
        small = RunnableClassifier(
            RunnableLambda(lambda text: {"state": text, "questions": ask}) | decision_model,
            classes=["billing", "technical"],
            version="decision-model-2026-11",
            output=lambda response: response.choices["topic"].probabilities,
        )

    Example::

        # a small chat model that is made to say how sure it is
        small = RunnableClassifier(prompt | chat | JsonOutputParser(), classes=["yes", "no"], version="phi-4-mini-v2",
                                   remainder="uniform")

    A confidence that a chat model merely states is seldom calibrated: fit a policy. Where its server gives
    log-probabilities, ``output=`` reads the labels' from ``message.response_metadata["logprobs"]``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    runnable: Any
    """The Runnable; `batch` and `abatch` are called, with a config for each input."""

    classes: tuple[str, ...]
    """The labels, in column order."""

    version: str
    """The identity that policies are tied to; change it whenever the Runnable answers otherwise."""

    output: Output | None = None
    """What to take from the Runnable's answer; None takes it as it is."""

    remainder: Literal["uniform"] | None = None
    """How to fill a row of which one probability is known; None where all are."""

    def __init__(
        self,
        runnable: Runnable[Any, Any],
        *,
        classes: Sequence[Any],
        version: str,
        output: Output | None = None,
        remainder: Literal["uniform"] | None = None,
    ) -> None:
        """Wrap a Runnable; see the fields.

        Raises:
            SmallModelError: It is no Runnable, or a setting is malformed.
        """
        if not isinstance(runnable, Runnable):
            raise SmallModelError(
                f"RunnableClassifier wraps a Runnable; got {type(runnable).__name__}: wrap a function by RunnableLambda"
            )
        if remainder not in (None, "uniform"):
            raise SmallModelError(f"remainder is None or 'uniform'; got {remainder!r}")
        super().__init__(
            runnable=runnable,
            classes=unique_names(classes),
            version=checked_version(version),
            output=output,
            remainder=remainder,
        )

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True; it can be loaded again if the Runnable can, and `output` is None."""
        return True

    @property
    def classes_(self) -> tuple[str, ...]:
        """The labels, in column order."""
        return self.classes

    @property
    def probabilities_known(self) -> bool:
        """Whether rows say something about every label, and not only about the chosen one."""
        return self.remainder is None

    @property
    def takes_configs(self) -> bool:
        """True, since both methods take ``configs=``, one an input, so that traces show the Runnable's runs."""
        return True

    def predict_proba(self, inputs: Sequence[Any], *, configs: Sequence[RunnableConfig] | None = None) -> FloatArray:
        """Return the ``(n, k)`` probabilities of `n` inputs, from one `batch`; no input, no call.

        Raises:
            SmallModelError: An answer is not of the kind described above, or names an unknown label.
        """
        items = list(inputs)
        return self._rows(self.runnable.batch(items, _listed(configs)) if items else [])

    async def apredict_proba(
        self, inputs: Sequence[Any], *, configs: Sequence[RunnableConfig] | None = None
    ) -> FloatArray:
        """Return the same, from one `abatch`."""
        items = list(inputs)
        return self._rows(await self.runnable.abatch(items, _listed(configs)) if items else [])

    def _rows(self, answers: Sequence[Any]) -> FloatArray:
        read = self._known_row if self.remainder is None else self._uniform_row
        rows = np.zeros((len(answers), len(self.classes)))
        for row, answer in enumerate(answers):
            rows[row] = read(answer if self.output is None else self.output(answer))
        return probability_rows(rows, len(rows), self.classes)

    def _known_row(self, answer: Any) -> FloatArray:
        if not isinstance(answer, Mapping):
            raise SmallModelError(
                f"without remainder= an answer is a mapping from label to probability; got {answer!r}. "
                "If the model knows only a label and a confidence, say remainder='uniform'"
            )
        row = np.zeros(len(self.classes))
        for label, probability in answer.items():
            row[self._column(label, answer)] = _number(probability, answer)
        if np.isfinite(row).all() and abs(row.sum() - 1) > ROW_SUM_TOLERANCE:
            raise SmallModelError(f"the probabilities of an answer sum to 1; those of {answer!r} sum to {row.sum():g}")
        return row

    def _uniform_row(self, answer: Any) -> FloatArray:
        label, stated = _label_and_confidence(answer)
        column, confidence, k = self._column(label, answer), _number(stated, answer), len(self.classes)
        if not 1 / k - RANGE_TOLERANCE <= confidence <= 1 + RANGE_TOLERANCE:
            raise SmallModelError(
                f"the confidence of {label!r} is {confidence!r}; with {k} classes the probability of the chosen label "
                f"lies between 1/{k} and 1, else another label would be the more probable one"
            )
        row = np.full(k, (1 - confidence) / (k - 1))
        row[column] = confidence
        return row

    def _column(self, label: Any, answer: Any) -> int:
        name = label_name(label)
        if name not in self.classes:
            raise SmallModelError(f"the answer {answer!r} names {name!r}, which is none of {list(self.classes)}")
        return self.classes.index(name)


def _label_and_confidence(answer: Any) -> tuple[Any, Any]:
    if isinstance(answer, Mapping) and {"label", "confidence"} <= answer.keys():
        return answer["label"], answer["confidence"]
    if isinstance(answer, tuple | list) and len(answer) == 2:  # noqa: PLR2004  a pair
        return answer[0], answer[1]
    raise SmallModelError(
        "with remainder='uniform' an answer is a pair (label, confidence), or a mapping with the keys 'label' and "
        f"'confidence'; got {answer!r}"
    )


def _number(value: Any, answer: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SmallModelError(f"a probability is a number; got {value!r} in {answer!r}") from error


def _listed(configs: Sequence[RunnableConfig] | None) -> list[RunnableConfig] | None:
    return None if configs is None else list(configs)
