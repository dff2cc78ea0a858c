"""`ModelRegistry`: numbered versions of a small model with its policy, one of them promoted."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from langchain_datashunt.errors import RegistryError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.registry.manifest import check_manifest, write_manifest
from langchain_datashunt.registry.model_files import Needs, read_model, untrusted_types, write_model
from langchain_datashunt.registry.model_versions import ModelCard, ModelVersion, ServedVersion
from langchain_datashunt.registry.promotions import Promotion, next_promotion, next_rollback, read_promotion
from langchain_datashunt.registry.published_files import (
    UNFINISHED,
    number_name,
    numbers_in,
    publish_file,
    publish_folder,
    scratch_folder,
)
from langchain_datashunt.small_models import class_names, version_of
from langchain_datashunt.types import SmallModel

FORMAT = {"format": "langchain-datashunt/registry", "format_version": 1}
MARKER = "registry.json"
VERSIONS, PROMOTIONS = "versions", "promotions"
MODEL, POLICY, CARD = "model", "policy.json", "card.json"


class ModelRegistry:
    """Keeps versions of a small model with its policy in a folder, and which of them serves.

    A version is a model (safetensors, ONNX, JSON or skops, never pickle), its policy, and a card. It is written under
    another name and renamed when it is complete, so that what a crash leaves behind is never seen; from then on it does
    not change. Which version is promoted is the last entry of a journal; an entry appears at once or not at all. Any
    number of processes and threads may add, promote and load at the same time; none of them waits for another.

    Args:
        folder: On a local disk. It is made by the first `add`; a folder that holds something else is refused.
        embeddings: What an `EmbeddingClassifier` reads, where that is no `SentenceEncoder`.
        trusted_types: Names of the classes and functions that scikit-learn models may hold beside those that skops
            trusts by itself. `add` shows them on the card; loading refuses others.

    Raises:
        RegistryError: The folder is something else.

    Example:
        .. code-block:: python

            registry = ModelRegistry("models")
            version = registry.add(small, policy, data={"labels": 500}, metrics={"accuracy": 0.91})
            registry.promote(version.number)
            chain = RunnableDataShunt(PromotedModel("models")) | llm
    """

    def __init__(
        self, folder: str | Path, *, embeddings: Embeddings | None = None, trusted_types: Collection[str] = ()
    ) -> None:
        """Name the folder; see the class."""
        self.folder = Path(folder).expanduser()
        self._needs = Needs(embeddings, tuple(trusted_types))
        self._check_marker()

    def add(
        self,
        small: SmallModel,
        policy: ShuntPolicy,
        *,
        parents: Sequence[int] = (),
        data: Mapping[str, int] | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Keep a model with its policy as a new version, which does not serve yet; return the version.

        What was written is read back and must be the same model, before the version appears.

        Args:
            small: A scikit-learn estimator, `EmbeddingClassifier`, `TransformersClassifier` or `OnnxClassifier`.
            policy: Fitted for it.
            parents: Versions that it was made from.
            data: How many rows of what it was trained on.
            metrics: What was measured, as plain JSON.

        Raises:
            PolicyMismatchError: The policy is another model's.
            RegistryError: There is no file format for the model, a parent does not exist, or something is not JSON.
            MissingExtraError: A package that writes the model is not installed.
        """
        identity = version_of(small)
        policy.check(class_names(small), identity)
        for parent in parents:
            self.version(parent)
        self._mark()
        with scratch_folder(self.folder / VERSIONS) as scratch:
            (scratch / MODEL).mkdir()
            write_model(small, scratch / MODEL)
            strange = untrusted_types(scratch / MODEL)
            self._read_back(scratch, identity, strange)
            policy.save(scratch / POLICY)
            card = ModelCard.of(
                policy, identity, parents=parents, data=data or {}, metrics=metrics or {}, untrusted_types=strange
            )
            card.save(scratch / CARD)
            write_manifest(scratch)
            number = publish_folder(scratch)
        return self.version(number)

    def versions(self) -> list[ModelVersion]:
        """Return all versions, the oldest first."""
        return [self.version(number) for number in numbers_in(self.folder / VERSIONS)]

    def version(self, number: int) -> ModelVersion:
        """Return what is known about a version, without loading its model.

        Raises:
            RegistryError: There is no such version, or its card is malformed.
        """
        folder = self._folder_of(number)
        return ModelVersion(number, folder, ModelCard.load(folder / CARD), ShuntPolicy.load(folder / POLICY))

    def load(self, number: int) -> ServedVersion:
        """Return a version's model and policy, checked: all files are those that were published, and fit together.

        Raises:
            RegistryError: There is no such version, its files are not those, or it needs types that are not trusted.
            PolicyMismatchError: The model's fingerprint is not the one that the policy is tied to.
            MissingExtraError: The model's packages are not installed.
        """
        folder = self._folder_of(number)
        check_manifest(folder)
        small = read_model(folder / MODEL, self._needs)
        policy = ShuntPolicy.load(folder / POLICY)
        identity = version_of(small)
        policy.check(class_names(small), identity)
        return ServedVersion(number, small, policy, identity)

    def promote(self, number: int, *, replacing: int | None = None, reason: str = "") -> Promotion:
        """Let a version serve from now on; return the journal's entry. A version that serves already is left alone.

        Args:
            number: The version.
            replacing: Only if this version is still the one that serves: the one that the new version was compared
                with. None does not ask.
            reason: For the journal.

        Raises:
            RegistryError: There is no such version, its files are not those that were published, or another version
                than `replacing` serves.
        """
        check_manifest(self._folder_of(number))
        while True:
            history = self.history()
            serving = history[-1].version if history else None
            if serving == number:
                return history[-1]
            if replacing is not None and serving != replacing:
                raise RegistryError(
                    f"version {number} was to replace version {replacing}, but "
                    f"{'none' if serving is None else f'version {serving}'} serves now: compare it with that one"
                )
            if (entry := self._publish(next_promotion(history, number, reason))) is not None:
                return entry

    def rollback(self, *, reason: str = "") -> Promotion:
        """Let the version serve again that served before the last promotion; a second one goes back one further.

        Raises:
            RegistryError: No version served before, or its files are not those that were published.
        """
        while True:
            entry = next_rollback(self.history(), reason)
            check_manifest(self._folder_of(entry.version))
            if (published := self._publish(entry)) is not None:
                return published

    def promoted(self) -> Promotion | None:
        """Return the last entry of the journal: the version that serves; None where none was promoted."""
        numbers = numbers_in(self.folder / PROMOTIONS)
        return read_promotion(self._entry(numbers[-1]), numbers[-1]) if numbers else None

    def history(self) -> list[Promotion]:
        """Return all promotions and rollbacks, the oldest first."""
        return [read_promotion(self._entry(number), number) for number in numbers_in(self.folder / PROMOTIONS)]

    def _publish(self, entry: Promotion) -> Promotion | None:
        """Append an entry to the journal; None if another process was faster, and it must be thought over."""
        self._mark()
        return entry if publish_file(entry.to_json().encode(), self._entry(entry.sequence)) else None

    def _entry(self, sequence: int) -> Path:
        return self.folder / PROMOTIONS / f"{number_name(sequence)}.json"

    def _folder_of(self, number: int) -> Path:
        if isinstance(number, bool) or not isinstance(number, int):
            raise RegistryError(f"a version is named by its number, an int; got {type(number).__name__} {number!r:.80}")
        folder = self.folder / VERSIONS / number_name(number)
        if not folder.is_dir():
            raise RegistryError(
                f"the registry {str(self.folder)!r} has no version {number}; it has {numbers_in(folder.parent)}"
            )
        return folder

    def _read_back(self, scratch: Path, identity: str | None, strange: Sequence[str]) -> None:
        needs = self._needs._replace(trusted_types=(*self._needs.trusted_types, *strange))  # it is the caller's own
        found = version_of(read_model(scratch / MODEL, needs))
        if found != identity:
            raise RegistryError(f"{identity!r} is another model after it was written and read back: {found!r}")

    def _mark(self) -> None:
        publish_file(json.dumps(FORMAT).encode(), self.folder / MARKER)

    def _check_marker(self) -> None:
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise RegistryError(f"{str(self.folder)!r} is no folder")
        # One look: what other processes are about to finish is neither marker nor foreign.
        names = {path.name for path in self.folder.iterdir() if not path.name.startswith(UNFINISHED)}
        if names and MARKER not in names:
            raise RegistryError(f"{str(self.folder)!r} is there and is no registry; name a new folder, or a registry")
        if names:
            self._check_format(self.folder / MARKER)

    @staticmethod
    def _check_format(marker: Path) -> None:
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            found = "no JSON"
        if found != FORMAT:
            raise RegistryError(f"{marker} says {found!r}; this package reads registries that say {FORMAT}")
