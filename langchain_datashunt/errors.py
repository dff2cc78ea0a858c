"""Every error that this package raises on purpose.

::

    DataShuntError
    ├── CompositionError (TypeError, AttributeError)  a chain is put together wrongly
    ├── InvalidInputError (TypeError, ValueError)     an input that cannot be routed
    ├── SmallModelError (ValueError)                  a small model answered nonsense
    ├── OverloadedError (RuntimeError)                more is asked at once than was allowed
    ├── PolicyError (ValueError)                      a policy is malformed
    │   └── PolicyMismatchError                       a policy of another model or label space
    ├── CalibrationDataError (ValueError)             rows that nothing can be fitted on
    ├── InfeasibleTargetError (ValueError)            no threshold reaches the goal on these rows
    ├── AuditError (ValueError)                       audits that no rate can be estimated from
    ├── DistillationError (ValueError)                nothing to learn from, or a model that cannot be trained
    ├── HardSampleStoreError (RuntimeError)           the hard-sample log cannot be opened, written or read
    ├── RegistryError (RuntimeError)                  a model registry, or a version in it, cannot be used
    └── MissingExtraError (ImportError)               an optional dependency is not installed

Each message names what came, what is allowed and what to do.
"""

from __future__ import annotations


class DataShuntError(Exception):
    """Base of all errors that this package raises on purpose."""


class CompositionError(DataShuntError, TypeError, AttributeError):
    """A chain is put together in a way that cannot work; the message says what to write.

    It is an `AttributeError` too, so that `hasattr(unbound_shunt, "invoke")` is False.
    """


class InvalidInputError(DataShuntError, TypeError, ValueError):
    """An input that cannot be routed, for example ``None`` or bytes."""


class SmallModelError(DataShuntError, ValueError):
    """A small model returned something other than one probability row per input."""


class OverloadedError(DataShuntError, RuntimeError):
    """More is asked at once than was allowed; a shunt passes it on, and does not ask the large model instead."""


class PolicyError(DataShuntError, ValueError):
    """A policy, or a part of one, is malformed."""


class PolicyMismatchError(PolicyError):
    """A policy was fitted for another model or another label space."""


class CalibrationDataError(DataShuntError, ValueError):
    """The labelled rows cannot be used: too few, of unequal length, or with unknown labels."""


class InfeasibleTargetError(DataShuntError, ValueError):
    """No threshold reaches the goal on these rows at the wanted confidence level.

    Attributes:
        best: The lowest target that the same procedure certifies on these rows; None where it certifies none.
        coverage: The coverage at that target; None where there is none.
        n: Certification rows.
        more_labels: Estimate of the further labelled rows with which the goal is reached four times in five; None
            where no number of rows would do, because the small model is not that good at any threshold.
    """

    def __init__(
        self,
        message: str,
        *,
        best: float | None = None,
        coverage: float | None = None,
        n: int | None = None,
        more_labels: int | None = None,
    ) -> None:
        """Keep what is achievable beside the message."""
        super().__init__(message)
        self.best = best
        self.coverage = coverage
        self.n = n
        self.more_labels = more_labels


class AuditError(DataShuntError, ValueError):
    """Audits cannot be used for an estimate or a live bound, or the record of a live bound is malformed."""


class DistillationError(DataShuntError, ValueError):
    """A student cannot be trained, or a candidate cannot be judged: the message says what is missing."""


class HardSampleStoreError(DataShuntError, RuntimeError):
    """The hard-sample log cannot be opened, written or read."""


class RegistryError(DataShuntError, RuntimeError):
    """A model registry, or a version in it, cannot be read, written or promoted."""


class MissingExtraError(DataShuntError, ImportError):
    """An optional dependency is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        """Say that `what` needs the packages of the extra `extra`."""
        install = f"pip install 'langchain-datashunt[{extra}]'"
        super().__init__(f"{what} needs packages that are not installed; run: {install}")
