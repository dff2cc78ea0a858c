"""`PromotionGate`: gold rows that never train decide whether a student may serve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from langchain_datashunt.distillation.gate_ledger import GateLedger
from langchain_datashunt.distillation.paired_tests import PairedChange
from langchain_datashunt.errors import DistillationError, InfeasibleTargetError
from langchain_datashunt.fitting import fit_policy, identity_of
from langchain_datashunt.policy.confidence import ConfidenceScore
from langchain_datashunt.policy.goals import TargetRisk
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.policy.splitting import as_uniform, data_fingerprint, hash_inputs
from langchain_datashunt.small_models import class_names, label_name, probability_rows, version_of
from langchain_datashunt.targets import answer_columns, target_columns
from langchain_datashunt.types import BoolArray, SmallModel

GateDecision = Literal["promote", "reject", "undecided"]

POLICY_SHARE = 0.5
"""Share of the rows that fit and certify policies; the others compare."""

_SEED_APART = 7919
"""Added to the seed, so that the halves have nothing to do with the parts into which `fit_policy` splits one."""


@dataclass(frozen=True, slots=True, eq=False)
class GateVerdict:
    """What a gate says of a candidate.

    Attributes:
        decision: ``promote``; ``reject``, where the candidate is shown to be worse, or shows no sign of being better;
            ``undecided``, where more rows could tell. The old model stays but for ``promote``.
        reason: In a sentence.
        policy: The candidate's own, fitted and certified here; None where none could be certified. It is the policy to
            serve with: no other was judged.
        numbers: What was measured, as plain JSON.
        rows_needed: Further gold rows with which such a candidate is promoted four times in five at the error level of
            this look, estimated; None unless undecided.
    """

    decision: GateDecision
    reason: str
    policy: ShuntPolicy | None
    numbers: dict[str, Any]
    rows_needed: int | None = None

    def __str__(self) -> str:
        """Return the verdict as it is printed."""
        needs = "" if self.rows_needed is None else f", needs {self.rows_needed} more gold rows"
        return f"{self.decision.upper()}{needs}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "decision": self.decision,
            "reason": self.reason,
            "policy": None if self.policy is None else self.policy.to_dict(),
            "numbers": self.numbers,
            "rows_needed": self.rows_needed,
        }


class PromotionGate:
    """Decides, on gold rows that never train, whether a candidate may take the serving model's place.

    A candidate is promoted if all of this is shown, each at the error level of the look:

    1. with a calibration and a threshold of its own, its selective risk is certified to be at most that of `goal`;
    2. it defers less: on the same rows, by an exact paired test, interval above zero;
    3. where the large model's answers are known, the system's accuracy is not lower by more than `margin` (exact paired
       test of non-inferiority).

    One half of the rows, chosen by a seeded hash of the input, fits and certifies policies; the other half only
    compares, so that no threshold is judged on rows that found it.

    The same rows may judge many candidates: a `GateLedger` spends `error_budget` over the looks, hands the level of a
    promotion on to the next look, and the chance that any candidate is ever promoted wrongly (any of the three being
    false, so the certificates of all promoted policies are within it) is at most that budget. All three are tested at
    the whole level of the look: a wrong candidate must pass the one that is false of it. This presumes that rows are
    drawn like the inputs to come, and that candidates know no more of the rows than earlier verdicts have told. It does
    not add up margins: ten promotions may lose `margin` ten times.

    Args:
        inputs: What the small models see.
        labels: True labels.
        goal: The selective risk to certify.
        ledger: The JSON file of the looks. It belongs to these rows; rows that replace them deserve a new one.
        large_answers: The large model's parsed answers, None for an invalid reply (which counts as wrong); without
            them accuracy is not judged, and the verdict says so.
        margin: System accuracy that a promotion may lose, in [0, 1).
        error_budget: Chance of any wrong promotion in the life of the ledger, in (0, 1).
        seed: Of the halves.

    Raises:
        CalibrationDataError: Lengths differ.
        DistillationError: The goal is no `TargetRisk`, the margin or the budget is out of range, or the ledger is
            another's.

    Example:
        .. code-block:: python

            gate = PromotionGate(texts, labels, goal=TargetRisk(0.05), ledger="gate.json")
            policy = gate.fit_policy(small)
            made = distill(small, store.iter_samples(), policy=policy, held_out=gate.inputs)
            print(gate.judge(made.student, small, policy))
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        labels: Sequence[Any],
        *,
        goal: TargetRisk,
        ledger: str | Path,
        large_answers: Sequence[Any] | None = None,
        margin: float = 0.01,
        error_budget: float = 0.05,
        seed: int = 0,
    ) -> None:
        """Keep the rows; see the class."""
        lengths = {len(inputs), len(labels), len(inputs if large_answers is None else large_answers)}
        if not isinstance(goal, TargetRisk):
            raise DistillationError(
                f"a gate certifies a selective risk: give goal=TargetRisk(...), got {type(goal).__name__}"
            )
        if len(lengths) != 1:
            raise DistillationError(f"each gate row needs one input, label and large answer; got lengths {lengths}")
        if not 0 <= margin < 1:
            raise DistillationError(f"margin must lie in [0, 1), got {margin!r}")
        self.inputs = list(inputs)
        self.goal = goal
        self.margin = margin
        self._labels = list(labels)
        self._large_answers = None if large_answers is None else list(large_answers)
        self._seed = seed
        self._ledger = GateLedger(ledger, error_budget)
        hashes = hash_inputs(self.inputs, seed + _SEED_APART)
        fits = as_uniform(hashes) < POLICY_SHARE
        self._policy_rows, self._compared = np.flatnonzero(fits), np.flatnonzero(~fits)
        if not len(self._policy_rows) or not len(self._compared):
            raise DistillationError(
                f"{len(self.inputs)} gold rows with {len(np.unique(hashes))} different inputs cannot be halved: give "
                "more (equal inputs stay together; inputs come first, then their labels)"
            )

    def fit_policy(self, small: SmallModel, *, confidence_score: ConfidenceScore = "max_probability") -> ShuntPolicy:
        """Fit and certify a policy on the half of the rows that is there for it.

        Such a policy can be compared with a candidate's. Fitting one is no look at the comparing rows.

        Raises:
            InfeasibleTargetError: The goal is out of reach.
        """
        return self._fit(small, self.goal, confidence_score)

    def judge(self, candidate: SmallModel, serving: SmallModel, serving_policy: ShuntPolicy) -> GateVerdict:
        """Decide about a candidate; that is one look at the rows, written to the ledger before it is taken.

        What cannot be judged raises before it costs a look.

        Args:
            candidate: The student.
            serving: The model that serves.
            serving_policy: The policy that it serves with; it must not have been fitted on the comparing half of the
                rows (`fit_policy` of this gate, or of an earlier verdict, is not).

        Raises:
            PolicyMismatchError: The policy is not the serving model's, or the candidate has other classes.
            PolicyError: The candidate has no identity.
            CalibrationDataError: A label or a large answer of the rows is none of the classes.
        """
        serving_policy.check(class_names(serving), version_of(serving))
        serving_policy.check(class_names(candidate), serving_policy.small_model_version)  # its classes only
        self._check_rows(serving_policy.classes)
        look = self._ledger.spend(self._question(candidate, serving_policy))
        numbers: dict[str, Any] = {
            "look": look.number,
            "error_level": look.error_level,
            "n_policy": len(self._policy_rows),
            "n_compared": len(self._compared),
        }
        level = max(self.goal.confidence_level, 1 - look.error_level)
        try:
            policy = self._fit(candidate, replace(self.goal, confidence_level=level), serving_policy.confidence_score)
        except InfeasibleTargetError as error:
            verdict = _not_certified(error, numbers)
        else:
            findings = self._compare(candidate, policy, serving, serving_policy, look.error_level)
            verdict = _decided(findings, policy, numbers)
        self._ledger.note(look, verdict.decision)
        return verdict

    def _check_rows(self, classes: Sequence[str]) -> None:
        target_columns(self._labels, classes)
        answer_columns(self._large_answers or (), classes)

    def _fit(self, small: SmallModel, goal: TargetRisk, confidence_score: ConfidenceScore) -> ShuntPolicy:
        rows = self._policy_rows
        inputs, labels = [self.inputs[row] for row in rows], [self._labels[row] for row in rows]
        return fit_policy(small, inputs, labels, goal, confidence_score=confidence_score)

    def _compare(
        self,
        candidate: SmallModel,
        policy: ShuntPolicy,
        serving: SmallModel,
        serving_policy: ShuntPolicy,
        error_level: float,
    ) -> list[_Finding]:
        new, old = self._outcome(candidate, policy), self._outcome(serving, serving_policy)
        deferral = PairedChange.of(new.accepted, old.accepted, error_level)
        findings = [
            _Finding(
                "deferral",
                deferral,
                margin=0.0,
                sentence=f"defers {1 - new.accepted.mean():.1%}, the serving model {1 - old.accepted.mean():.1%}",
                numbers={
                    "serving": 1 - float(old.accepted.mean()),
                    "candidate": 1 - float(new.accepted.mean()),
                    "selective_risk_serving": old.selective_risk,
                    "selective_risk_candidate": new.selective_risk,
                },
            )
        ]
        if new.system_right is not None and old.system_right is not None:
            before, after = float(old.system_right.mean()), float(new.system_right.mean())
            findings.append(
                _Finding(
                    "accuracy",
                    PairedChange.of(new.system_right, old.system_right, error_level),
                    margin=self.margin,
                    sentence=f"the system answers {after:.1%} rightly, before {before:.1%}",
                    numbers={"serving": before, "candidate": after},
                )
            )
        return findings

    def _outcome(self, small: SmallModel, policy: ShuntPolicy) -> _Outcome:
        rows, classes = self._compared, policy.classes
        inputs = [self.inputs[row] for row in rows]
        judged = policy.judge(probability_rows(small.predict_proba(inputs), len(inputs), classes))
        targets = target_columns([self._labels[row] for row in rows], classes)
        right = judged.probabilities.argmax(axis=1) == targets
        if self._large_answers is None:
            return _Outcome(judged.accepted, right, None)
        large = answer_columns([self._large_answers[row] for row in rows], classes) == targets
        return _Outcome(judged.accepted, right, np.where(judged.accepted, right, large))

    def _question(self, candidate: SmallModel, serving_policy: ShuntPolicy) -> dict[str, str]:
        rows = data_fingerprint(self.inputs, [label_name(label) for label in self._labels])
        answers = None if self._large_answers is None else [str(answer) for answer in self._large_answers]
        return {
            "rows": rows,
            "large_answers": "" if answers is None else data_fingerprint(self.inputs, answers),
            "candidate": identity_of(candidate),
            "serving_policy": serving_policy.policy_id,
            "goal": json.dumps(self.goal.to_dict()),
            "margin": repr(self.margin),
            "seed": str(self._seed),  # other halves are another look
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    accepted: BoolArray
    right: BoolArray
    system_right: BoolArray | None

    @property
    def selective_risk(self) -> float | None:
        return float((~self.right[self.accepted]).mean()) if self.accepted.any() else None


@dataclass(frozen=True, slots=True, eq=False)
class _Finding:
    name: str
    change: PairedChange
    margin: float
    sentence: str
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> bool:
        return self.change.above(self.margin)


def _not_certified(error: InfeasibleTargetError, numbers: dict[str, Any]) -> GateVerdict:
    if error.more_labels is None:
        return GateVerdict("reject", f"no policy of the candidate can be certified: {error}", None, numbers)
    needed = int(np.ceil(error.more_labels / POLICY_SHARE))
    return GateVerdict("undecided", f"the candidate's risk is not certified: {error}", None, numbers, needed)


def _decided(findings: Sequence[_Finding], policy: ShuntPolicy, numbers: dict[str, Any]) -> GateVerdict:
    numbers |= {each.name: {**each.numbers, **asdict(each.change)} for each in findings}
    said = "; ".join(each.sentence for each in findings)
    if len(findings) == 1:
        said += "; accuracy is not judged, since no answers of the large model are known"
    open_ones = [each for each in findings if not each.shown]
    if not open_ones:
        return GateVerdict("promote", f"the candidate {said}", policy, numbers)
    needed = {each.name: each.change.rows_needed(each.margin) for each in open_ones}
    hopeless = [name for name, rows in needed.items() if rows is None]
    if hopeless:
        why = " and ".join(f"{name} is no better than allowed" for name in hopeless)
        return GateVerdict("reject", f"{why}: the candidate {said}", policy, numbers)
    further = max(rows - each.change.n for each in open_ones if (rows := needed[each.name]) is not None)
    why = " and ".join(f"the change of {name} is not resolved" for name in needed)
    return GateVerdict(
        "undecided", f"{why}: the candidate {said}", policy, numbers, int(np.ceil(further / (1 - POLICY_SHARE)))
    )
