"""What calls cost, in the user's own prices: there is no built-in price table, because it would go stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from langchain_datashunt.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Prices:
    """What calls are charged at: the user's own prices.

    Attributes:
        input: Of a million input tokens of the large model, 0 or more.
        output: Of a million output tokens.
        small: Of one small call.
        currency: Of all three, as it is printed.

    Example:
        >>> round(float(Prices(input=0.15, output=0.60).of_tokens(1_000_000, 2_000_000)), 6)
        1.35
    """

    input: float
    output: float
    small: float = 0.0
    currency: str = "USD"

    def __post_init__(self) -> None:
        """Refuse prices that are negative or no numbers."""
        for name in ("input", "output", "small"):
            value = getattr(self, name)
            if np.ndim(value) or not _are_costs(value):
                raise ValueError(f"Prices.{name} must be a number, 0 or more, got {value!r}")

    def of_tokens(self, input_tokens: ArrayLike, output_tokens: ArrayLike) -> Any:
        """Return what tokens of the large model cost: a number, or ``(n,)`` costs for ``(n,)`` counts."""
        return (np.asarray(input_tokens) * self.input + np.asarray(output_tokens) * self.output) / 1e6


@dataclass(frozen=True, slots=True, eq=False)
class CallCosts:
    """Costs of the calls behind a shunt, in one currency.

    Every input costs a small call, deferred ones too: there it is wasted.

    Attributes:
        small: Of one small call, 0 or more.
        large: Of one call of the large model: one number, or one an input.
        setup: Paid once, for labels, training and integration.

    Example:
        >>> CallCosts.of_tokens([900, 1100], [5, 5], input_price=0.15, output_price=0.60, small=1e-6).large
        (0.000138, 0.000168)
    """

    small: float
    large: float | Sequence[float]
    setup: float = 0.0

    def __post_init__(self) -> None:
        """Refuse costs that are negative or no numbers."""
        for name in ("small", "large", "setup"):
            if not _are_costs(getattr(self, name)):
                raise ValueError(f"CallCosts.{name} must be 0 or more, got {getattr(self, name)!r}")

    @classmethod
    def of_tokens(
        cls,
        input_tokens: Sequence[int],
        output_tokens: Sequence[int],
        *,
        input_price: float,
        output_price: float,
        small: float,
        setup: float = 0.0,
    ) -> CallCosts:
        """Return the costs of calls with known token counts.

        Args:
            input_tokens: One an input.
            output_tokens: One an input.
            input_price: Of a million input tokens.
            output_price: Of a million output tokens.
            small: Of one small call.
            setup: Paid once.
        """
        if len(input_tokens) != len(output_tokens):
            raise ValueError(
                f"each call needs both counts, got {len(input_tokens)} input and {len(output_tokens)} output counts"
            )
        large = Prices(input_price, output_price).of_tokens(input_tokens, output_tokens)
        return cls(small=small, large=tuple(large.tolist()), setup=setup)

    def large_of(self, n: int) -> FloatArray:
        """Return ``(n,)`` costs of the large calls.

        Raises:
            ValueError: The costs are given one an input, for another number of inputs.
        """
        large = np.asarray(self.large, dtype=np.float64)
        if large.ndim and large.shape != (n,):
            raise ValueError(f"CallCosts.large has {large.shape[0]} entries for {n} inputs: give one an input, or one")
        return np.broadcast_to(large, (n,))

    def of_cascade(self, accepted: BoolArray) -> FloatArray:
        """Return ``(n,)`` costs of a cascade that accepts some inputs and defers the others."""
        return self.small + np.where(accepted, 0.0, self.large_of(len(accepted)))


def _are_costs(values: ArrayLike) -> bool:
    """Return whether it is one number or several, each 0 or more; ``"0.25"`` is a text."""
    if np.asarray(values).dtype.kind not in "iufO":
        return False
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return bool((np.isfinite(numbers) & (numbers >= 0)).all())
