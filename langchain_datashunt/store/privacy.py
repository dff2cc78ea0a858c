"""What a hard sample loses before it is written: what a redaction takes out, or all texts."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.types import HardSample

Redaction = Callable[[str], str]
"""Takes out of a text what must not be kept. It sees every free text of a record; labels pass by."""

_SHORTEST_SALT = 16


@dataclass(frozen=True, slots=True)
class Privacy:
    """The rule of a log; applied to every record on its way in.

    Attributes:
        redact: Applied to every free text before it is hashed or written.
        store_input: False keeps neither the input nor the reply: only their hashes, labels and numbers.
        salt: A secret that makes the hashes useless to others; needed where no inputs are kept.
    """

    redact: Redaction | None = None
    store_input: bool = True
    salt: str | None = None

    def __post_init__(self) -> None:
        """Refuse hashes that anybody could look up."""
        if self.salt is not None and len(self.salt) < _SHORTEST_SALT:
            raise HardSampleStoreError(
                f"a salt is a secret text of at least {_SHORTEST_SALT} characters; got {len(self.salt)}"
            )
        if not self.store_input and self.salt is None:
            raise HardSampleStoreError(
                "store_input=False keeps a hash of each input, which anybody can look up without a salt; "
                "give salt=... (a secret text, the same at every start)"
            )

    def applied(self, sample: HardSample) -> HardSample:
        """Return the sample as it may be kept, with its hashes."""
        if self.redact is not None:
            sample = self._redacted(sample)
        # a record from another log brings the hash of a prompt that is no longer there
        prompt_hash = self.hash(sample.prompt) if sample.prompt or not sample.prompt_hash else sample.prompt_hash
        input_hash = sample.input_hash if sample.input is None and sample.input_hash else self.hash(sample.input)
        sample = replace(sample, input_hash=input_hash, prompt_hash=prompt_hash, prompt="")
        return sample if self.store_input else _without_texts(sample)

    def hash(self, value: Any) -> str:
        """Return the hex SHA-256 of a JSON value; with a salt the HMAC, which tells nothing without it."""
        data = json.dumps(value, sort_keys=True).encode()
        if self.salt is None:
            return hashlib.sha256(data).hexdigest()
        return hmac.new(self.salt.encode(), data, hashlib.sha256).hexdigest()

    def _redacted(self, sample: HardSample) -> HardSample:
        return replace(
            sample,
            input=self.redacted(sample.input),
            request=self.redacted(sample.request),
            prompt=self.redacted(sample.prompt),
            raw=self.redacted(sample.raw),
            parsed=sample.parsed if sample.parsed == sample.label else self.redacted(sample.parsed),
            logprobs=self.redacted(sample.logprobs),
            problem=self.redacted(sample.problem),
            tags=tuple(self.redacted(list(sample.tags))),
            metadata=self.redacted(dict(sample.metadata)),
        )

    def redacted(self, value: Any) -> Any:
        """Apply the redaction to every text in a JSON value, keys of mappings included."""
        if isinstance(value, str):
            return self._redacted_text(value)
        if isinstance(value, dict):
            return {self._redacted_text(str(key)): self.redacted(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.redacted(item) for item in value]
        return value

    def _redacted_text(self, value: str) -> str:
        redacted = self.redact(value) if self.redact is not None else value
        if not isinstance(redacted, str):
            raise HardSampleStoreError(f"redact= returns a text; got {type(redacted).__name__}")
        return redacted


def _without_texts(sample: HardSample) -> HardSample:
    problem = None if sample.problem is None else sample.problem.split(":", 1)[0]
    parsed = sample.parsed if sample.parsed == sample.label else None
    return replace(sample, input=None, request=None, raw=None, parsed=parsed, logprobs=None, problem=problem)
