"""Learn which labels a deferred input needs, and write it into the policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.candidates.mastered import DropMastered, rarest_first
from langchain_datashunt.candidates.prediction_sets import PredictionSet, true_scores
from langchain_datashunt.errors import CalibrationDataError, PolicyError
from langchain_datashunt.policy.pruning_facts import MasteredFacts, PredictionSetFacts
from langchain_datashunt.policy.shunt_policy import ShuntPolicy, require_policy
from langchain_datashunt.policy.splitting import as_uniform, data_fingerprint, hash_inputs
from langchain_datashunt.small_models import class_names, label_name, probability_rows, version_of
from langchain_datashunt.targets import target_columns
from langchain_datashunt.types import BoolArray, FloatArray, SmallModel


def learn_pruning(
    policy: ShuntPolicy,
    small: SmallModel,
    inputs: Sequence[Any],
    labels: Sequence[Any],
    *rules: PredictionSet | DropMastered,
    seed: int = 0,
) -> ShuntPolicy:
    """Learn candidate rules on the rows that the policy defers, and return the policy with them.

    A shunt with the returned policy offers the large model these candidates for every input that the policy's own
    threshold defers; ``candidates=`` of the shunt overrides that.

    The rows must be others than those that trained the small model or fitted the policy: the threshold was chosen on
    the latter, so which of *them* are deferred says something about their labels, and no level would be honest. On rows
    of their own the policy is a fixed rule, the rows it defers are drawn like the inputs it will defer, and the
    guarantees of `PredictionSet` and `DropMastered` hold exactly.

    Both rules together: a dropped label is no candidate, and the prediction set is calibrated *without the dropped
    labels*, so its level holds for what is offered in the end. The deferred rows are then split in three by a seeded
    hash of the input (one part orders the classes, one certifies what is dropped, one calibrates the set); for
    `DropMastered` alone in two; `PredictionSet` alone uses all.

    Args:
        policy: The policy whose deferred inputs matter.
        small: Its small model.
        inputs: What the small model sees.
        labels: True labels, one an input.
        *rules: `PredictionSet`, `DropMastered` or both; they replace what the policy had learned of both before.
        seed: Of the split.

    Returns:
        The policy with other `PruningFacts`, and so with another `policy_id`; all else stays, the certificate too.

    Raises:
        PolicyError: `policy` or `rules` are none, or there are two rules of one kind.
        PolicyMismatchError: The policy is another model's.
        CalibrationDataError: These rows fitted the policy, or too few of them are deferred; the error says how many
            are needed.
        InfeasibleTargetError: No class may be dropped, or too many are for the level.

    Example:
        .. code-block:: python

            policy = fit_policy(small, texts[:2000], labels[:2000], TargetRisk(0.02))
            policy = learn_pruning(policy, small, texts[2000:], labels[2000:], PredictionSet(0.95))
    """
    require_policy(policy)
    prediction_set, mastered = _one_each(rules)
    policy.check(class_names(small), version_of(small))
    rows = _deferred_rows(policy, small, inputs, labels, seed)
    if mastered is None:
        return policy.with_pruning(mastered=None, prediction_set=_set_facts(prediction_set, rows))
    parts = rows.split(2 if prediction_set is None else 3)
    order = rarest_first(parts[0].probabilities, parts[0].targets)
    dropped = tuple(sorted(mastered.dropped(order, parts[1].targets).tolist()))
    facts = MasteredFacts(
        dropped=tuple(policy.classes[column] for column in dropped),
        max_unanswerable=mastered.max_unanswerable,
        confidence_level=mastered.confidence_level,
        n=len(parts[1].targets),
        observed=float(np.isin(parts[1].targets, dropped).mean()),
    )
    return policy.with_pruning(mastered=facts, prediction_set=_set_facts(prediction_set, parts[-1], dropped))


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Deferred rows: place of each in [0, 1) by its hash, calibrated probabilities, columns of the true labels."""

    places: FloatArray
    probabilities: FloatArray
    targets: NDArray[np.intp]

    def where(self, mask: BoolArray) -> _Rows:
        return _Rows(self.places[mask], self.probabilities[mask], self.targets[mask])

    def split(self, parts: int) -> list[_Rows]:
        part = np.floor(self.places * parts)
        return [self.where(part == i) for i in range(parts)]


def _one_each(rules: Sequence[Any]) -> tuple[PredictionSet | None, DropMastered | None]:
    sets = [rule for rule in rules if isinstance(rule, PredictionSet)]
    masters = [rule for rule in rules if isinstance(rule, DropMastered)]
    if not rules or len(sets) + len(masters) != len(rules) or len(sets) > 1 or len(masters) > 1:
        raise PolicyError(f"learn_pruning learns a PredictionSet, a DropMastered, or one of each; got {list(rules)}")
    return (sets[0] if sets else None), (masters[0] if masters else None)


def _deferred_rows(
    policy: ShuntPolicy, small: SmallModel, inputs: Sequence[Any], labels: Sequence[Any], seed: int
) -> _Rows:
    if not len(inputs) or len(inputs) != len(labels):
        raise CalibrationDataError(f"each input needs one label: got {len(inputs)} inputs and {len(labels)} labels")
    if not getattr(small, "probabilities_known", True):
        raise PolicyError(
            f"{type(small).__name__} knows only label and confidence (probabilities_known=False), and candidates need "
            "the probabilities of all labels"
        )
    targets = target_columns(labels, policy.classes)
    if policy.data is not None and policy.data.fingerprint == data_fingerprint(inputs, list(map(label_name, labels))):
        raise CalibrationDataError(
            "these rows fitted the policy, so which of them it defers depends on their labels, and no level learned on "
            "them would hold; keep rows apart for learn_pruning (a few hundred that the policy defers)"
        )
    judged = policy.judge(probability_rows(small.predict_proba(list(inputs)), len(inputs), policy.classes))
    places = as_uniform(hash_inputs(inputs, seed))
    return _Rows(places, judged.probabilities, targets).where(~judged.accepted)


def _set_facts(rule: PredictionSet | None, rows: _Rows, dropped: tuple[int, ...] = ()) -> PredictionSetFacts | None:
    if rule is None:
        return None
    bound = rule.min_probability(true_scores(rows.probabilities, rows.targets, dropped))
    return PredictionSetFacts(level=rule.level, min_probability=bound, n=len(rows.targets))
