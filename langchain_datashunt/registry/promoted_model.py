"""`PromotedModel`: the small model that serves, with its policy; exchanged as a whole, while it serves."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable
from pydantic import ConfigDict, PrivateAttr

from langchain_datashunt.errors import PolicyMismatchError, RegistryError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.registry.model_registry import ModelRegistry
from langchain_datashunt.registry.model_versions import ServedVersion
from langchain_datashunt.small_models.embedding_classifier import EmbeddingClassifier
from langchain_datashunt.small_models.folder_text_model import FolderTextModel

# Two threads must not load one version twice. Reloading is rare, so one lock serves all, and none must be pickled.
_RELOADING = threading.Lock()


class PromotedModel(Serializable):
    """The version that a `ModelRegistry` has promoted: a small model that brings its policy along.

    A shunt takes it in the place of a small model and a policy. `reload` switches all shunts over it, bound before or
    after, to the version that is promoted by then. A batch, a call or a stream reads model and policy once, as one
    value: those that have begun end with the old version, those that begin after `reload` has returned have the new
    one, and every record names the one that answered. The old version serves until the new one is loaded and checked;
    where that fails, `reload` raises and the old one serves on.

    Pickled, it carries the place and the number of its version, which the other process loads from the same folder. A
    deep copy is the object itself.

    Args:
        folder: The registry.
        embeddings: As for `ModelRegistry`.
        trusted_types: As for `ModelRegistry`.

    Raises:
        RegistryError: The folder is no registry, no version is promoted, or the version cannot be loaded.

    Example:
        .. code-block:: python

            small = PromotedModel("models")
            chain = RunnableDataShunt(small) | ChatOpenAI(model="...") | PromptPruningOutputParser(labels)
            ...
            small.reload()   # after a promotion, from any thread: True if the version has changed
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    folder: str
    """The registry."""

    embeddings: Embeddings | None = None
    """What an `EmbeddingClassifier` reads, where that is no `SentenceEncoder`."""

    trusted_types: tuple[str, ...] = ()
    """What scikit-learn models may hold beside what skops trusts by itself."""

    _served: ServedVersion | None = PrivateAttr(default=None)
    _number: int | None = PrivateAttr(default=None)

    def __init__(
        self, folder: str | Path, *, embeddings: Embeddings | None = None, trusted_types: Collection[str] = ()
    ) -> None:
        """Load the promoted version; see the class."""
        super().__init__(folder=str(folder), embeddings=embeddings, trusted_types=tuple(trusted_types))
        self.reload()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: a place is plain JSON. What is loaded again is the version that is promoted then."""
        return True

    def __getstate__(self) -> dict[Any, Any]:
        """Leave the model out, and keep its number."""
        return {**super().__getstate__(), "__pydantic_private__": {"_served": None, "_number": self.served.number}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return the object itself, so that copies of a chain are switched together."""
        return self

    @property
    def served(self) -> ServedVersion:
        """The version that serves now. Read it once where model and policy must belong together."""
        if self._served is None:  # unpickled
            with _RELOADING:
                if self._served is None and self._number is not None:
                    self._served = _loaded(self._registry(), self._number)
        if self._served is None:
            raise RegistryError(f"no version of the registry {self.folder!r} is loaded")
        return self._served

    @property
    def number(self) -> int:
        """Number of the version that serves now."""
        return self.served.number

    @property
    def policy(self) -> ShuntPolicy:
        """Policy of the version that serves now."""
        return self.served.policy

    @property
    def classes_(self) -> tuple[str, ...]:
        """The labels, in column order; the same in every version."""
        return self.served.policy.classes

    @property
    def version(self) -> str | None:
        """Identity of the model that serves now."""
        return self.served.small_model_version

    def predict_proba(self, inputs: Sequence[Any]) -> Any:
        """Return the ``(n, k)`` probabilities of the version that serves now, uncalibrated."""
        return self.served.small.predict_proba(inputs)

    def reload(self) -> bool:
        """Switch to the promoted version, if that is another one; return whether it was.

        The new version is loaded, checked and tried first, which may take seconds; an async program calls it by
        ``asyncio.to_thread(small.reload)``.

        Raises:
            RegistryError: No version is promoted, or it cannot be loaded.
            PolicyMismatchError: It has other classes: chains are built around their labels, so build them anew.
        """
        with _RELOADING:
            registry = self._registry()
            promoted = registry.promoted()
            if promoted is None:
                raise RegistryError(
                    f"no version of the registry {self.folder!r} is promoted: ModelRegistry({self.folder!r}).promote(1)"
                )
            serving = self._served.number if self._served is not None else self._number
            if serving == promoted.version and self._served is not None:
                return False
            new = _loaded(registry, promoted.version)
            before = self._policy_before(registry)
            if before is not None and new.policy.classes != before.classes:
                raise PolicyMismatchError(
                    f"version {new.number} has the classes {list(new.policy.classes)}, the one that serves has "
                    f"{list(before.classes)}: chains are built around their labels, so build them anew"
                )
            self._served = new
            return serving != new.number

    def _policy_before(self, registry: ModelRegistry) -> ShuntPolicy | None:
        """Return what the chains over this model were built around, which unpickled ones have not loaded yet."""
        if self._served is not None:
            return self._served.policy
        return None if self._number is None else registry.version(self._number).policy

    def _registry(self) -> ModelRegistry:
        return ModelRegistry(self.folder, embeddings=self.embeddings, trusted_types=self.trusted_types)


def _loaded(registry: ModelRegistry, number: int) -> ServedVersion:
    """Return a version, ready to answer: adapters load their weights at the first call, which should be no user's."""
    served = registry.load(number)
    if isinstance(served.small, FolderTextModel | EmbeddingClassifier):
        served.small.predict_proba(["first"])
    return served
