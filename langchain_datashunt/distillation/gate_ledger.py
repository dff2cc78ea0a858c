"""The ledger of a gate: how often its rows have been looked at, and what of the error budget each look has spent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_datashunt.distillation.folder_locks import locked_folder
from langchain_datashunt.errors import DistillationError
from langchain_datashunt.whole_files import write_whole

FORMAT_VERSION = 1

PROMOTED = "promote"
"""The decision that hands a look's error level on to the next."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the rows.

    Attributes:
        number: 1 for the first.
        error_level: What it may spend of the budget.
    """

    number: int
    error_level: float


class GateLedger:
    """Spends an error budget over looks at the same rows, and gets back what a promotion did not use up.

    Look number j has a share of ``budget / (j (j + 1))`` of its own: a half, a sixth, a twelfth of the budget, and so
    on. It may err with the chance of its own share, and after a promotion with that of the look before on top. So a
    loop whose students win keeps most of its budget, one whose students fail spends it; no number of looks need be
    fixed beforehand. This is the online fallback procedure (Tian and Ramdas 2021, "Online control of the familywise
    error rate"), in which a promotion is a rejected hypothesis.

    Why the chance of any wrong promotion is at most the budget: until the first one, every promotion was right, so
    each share has been at the disposal of one wrong candidate at most: it is handed on by promoted ones only. The
    levels of the wrong candidates so far therefore sum to no more than the shares do. That presumes that a wrong
    candidate passes at level a with a chance of at most a whatever the verdicts before it were.

    The same question asked again, as after a crash, is the same look. A look without a decision hands nothing on.

    It is a JSON file, replaced as a whole at each look, before the look's result is known. Any number of processes may
    judge at the same time: each look gets a number of its own, and one that is still open hands nothing on. (Windows
    cannot lock folders: there one process at a time may judge.)

    Args:
        path: The file; made at the first look.
        budget: Chance, in (0, 1), that any wrong candidate is promoted in the whole life of the ledger.

    Raises:
        DistillationError: The file is no ledger, or has another budget.
    """

    def __init__(self, path: str | Path, budget: float) -> None:
        """Open the ledger, if it is there."""
        if not 0 < budget < 1:
            raise DistillationError(f"error_budget must lie strictly between 0 and 1, got {budget!r}")
        self.path = Path(path)
        self.budget = budget
        self._looks()

    def spend(self, question: Mapping[str, str]) -> Look:
        """Return the look that a question is, and write it down if it is new."""
        with locked_folder(self.path.parent, wait=True):
            looks = self._looks()
            for number, entry in enumerate(looks, 1):
                if entry["question"] == dict(question):
                    return Look(number, entry["error_level"])
            look = Look(len(looks) + 1, self._next_level(looks))
            self._write([*looks, {"question": dict(question), "error_level": look.error_level, "decision": None}])
            return look

    def note(self, look: Look, decision: str) -> None:
        """Write down what a look has decided: the level of the next depends on it."""
        with locked_folder(self.path.parent, wait=True):
            looks = self._looks()
            looks[look.number - 1]["decision"] = decision
            self._write(looks)

    def _next_level(self, looks: list[dict[str, Any]]) -> float:
        number = len(looks) + 1
        handed_on = looks[-1]["error_level"] if looks and looks[-1]["decision"] == PROMOTED else 0.0
        return float(self.budget / (number * (number + 1)) + handed_on)

    def _looks(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
            version, budget, looks = record["format_version"], record["error_budget"], record["looks"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DistillationError(f"{self.path} is no ledger of a gate: {error!r}") from error
        if version != FORMAT_VERSION or budget != self.budget:
            raise DistillationError(
                f"{self.path} is a ledger of format {version} with the error budget {budget:g}; this gate has format "
                f"{FORMAT_VERSION} and {self.budget:g}. A budget is fixed for the life of its rows"
            )
        return list(looks)

    def _write(self, looks: list[dict[str, Any]]) -> None:
        record = {"format_version": FORMAT_VERSION, "error_budget": self.budget, "looks": looks}
        write_whole(self.path, json.dumps(record, indent=1))
