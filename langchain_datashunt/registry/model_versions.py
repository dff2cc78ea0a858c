"""A version of a small model: its card, and what serves it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langchain_datashunt.errors import RegistryError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.types import SmallModel


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a version is and where it comes from, as plain JSON.

    Attributes:
        small_model_version: Identity of the model, as it stands in the records of what it answers; None if unknown.
        policy_id: Of its policy, likewise.
        created: ISO time, UTC.
        parents: Versions that it was made from.
        data: How many rows of what it was trained on.
        metrics: What was measured about it.
        untrusted_types: What a scikit-learn model holds that skops does not trust by itself.
    """

    small_model_version: str | None
    policy_id: str
    created: str
    parents: tuple[int, ...] = ()
    data: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    untrusted_types: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        policy: ShuntPolicy,
        small_model_version: str | None,
        *,
        parents: Sequence[int],
        data: Mapping[str, int],
        metrics: Mapping[str, Any],
        untrusted_types: Sequence[str],
    ) -> ModelCard:
        """Return the card of a version that is being made."""
        return cls(
            small_model_version=small_model_version,
            policy_id=policy.policy_id,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            parents=tuple(parents),
            data=dict(data),
            metrics=dict(metrics),
            untrusted_types=tuple(untrusted_types),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write the card.

        Raises:
            RegistryError: `data` or `metrics` hold something that is not JSON.
        """
        try:
            text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RegistryError(f"a model card holds plain JSON only: {error}") from error
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> ModelCard:
        """Read a card.

        Raises:
            RegistryError: It is missing or malformed.
        """
        expected = {each.name for each in fields(cls)}
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RegistryError(f"the model card {path} cannot be read: {error}") from error
        if not isinstance(record, dict) or set(record) != expected:
            raise RegistryError(f"the model card {path} expects the fields {sorted(expected)}; found {record!r}")
        lists = {name: tuple(record[name]) for name in ("parents", "untrusted_types")}
        return cls(**{**record, **lists})


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version as it lies in a registry.

    Attributes:
        number: 1 for the first.
        folder: Where it lies.
        card: What it is.
        policy: Its policy.
    """

    number: int
    folder: Path
    card: ModelCard
    policy: ShuntPolicy


@dataclass(frozen=True, slots=True, eq=False)
class ServedVersion:
    """A version in memory: model and policy as one value, which is exchanged as a whole.

    Attributes:
        number: In its registry.
        small: The model.
        policy: Its policy.
        small_model_version: The model's identity.
    """

    number: int
    small: SmallModel
    policy: ShuntPolicy
    small_model_version: str | None
