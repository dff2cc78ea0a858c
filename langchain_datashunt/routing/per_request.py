"""What a request may ask of the shunt through ``config["configurable"]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import numpy as np
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.utils import ConfigurableFieldSpec
from pydantic import Field, WithJsonSchema

from langchain_datashunt.errors import InvalidInputError
from langchain_datashunt.prompting.decided import DECISION_KEY
from langchain_datashunt.types import FloatArray, RouteSwitch

THRESHOLD_KEY = "datashunt_threshold"
ROUTE_KEY = "datashunt_route"

REQUEST_KEY = "datashunt_request"
"""The caller's own id of a request, so that its retries share the draw of an audit."""

DECIDED_KEY = "__datashunt_decided"
"""Where ``batch_as_completed`` hands decisions that are already made to ``invoke``; never passed on to children."""

_KEYS = frozenset({THRESHOLD_KEY, ROUTE_KEY, REQUEST_KEY, DECISION_KEY})
"""The last one is not the caller's: the large branch finds the decision about its input there."""

_NUMBER = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
"""The threshold's schema. Pydantic says `anyOf` for None, which leaves LangServe's playground a blank page."""

CONFIG_SPECS = [
    ConfigurableFieldSpec(
        id=THRESHOLD_KEY,
        annotation=Annotated[float | None, Field(ge=0, le=1), WithJsonSchema(_NUMBER)],
        name="Threshold",
        description="Confidence in [0, 1] at or above which the small model answers. Replaces the policy's own "
        "threshold for this request, which is then not certified. It holds for every shunt in the chain.",
        default=None,
    ),
    ConfigurableFieldSpec(
        id=ROUTE_KEY,
        annotation=RouteSwitch,
        name="Route",
        description="auto: the rule decides; small: never ask the large model; large: always ask it.",
        default="auto",
    ),
]


@dataclass(frozen=True, slots=True)
class Requests:
    """What the callers of a batch asked for, as columns; None where nobody asked.

    Attributes:
        thresholds: ``(n,)``; NaN where the rule's own threshold holds.
        switches: ``(n,)``.
    """

    thresholds: FloatArray | None = None
    switches: Sequence[RouteSwitch] | None = None

    @classmethod
    def of_threshold(cls, threshold: float | None, n: int) -> Requests:
        """Return the requests of `n` inputs for one threshold; None asks for nothing."""
        return NOTHING_ASKED if threshold is None else cls(np.full(n, check_threshold(threshold)))

    def take(self, indices: Sequence[int]) -> Requests:
        """Return the requests of the inputs at `indices`."""
        return Requests(
            None if self.thresholds is None else self.thresholds[list(indices)],
            None if self.switches is None else [self.switches[i] for i in indices],
        )

    def switch(self, i: int) -> RouteSwitch:
        """Return the route switch of input `i`."""
        return "auto" if self.switches is None else self.switches[i]

    def overrides(self, i: int) -> bool:
        """Tell whether the caller of input `i` put something in the place of the policy's rule."""
        return self.switch(i) != "auto" or (self.thresholds is not None and not np.isnan(self.thresholds[i]))


NOTHING_ASKED = Requests()


def requests_of(configs: Sequence[RunnableConfig]) -> Requests:
    """Read the requests out of checked configs (see `check_request`)."""
    asked = [config.get("configurable") or {} for config in configs]
    thresholds = [options.get(THRESHOLD_KEY) for options in asked]
    switches: list[RouteSwitch] = [options.get(ROUTE_KEY) or "auto" for options in asked]
    return Requests(
        np.array([np.nan if threshold is None else threshold for threshold in thresholds], dtype=np.float64)
        if any(threshold is not None for threshold in thresholds)
        else None,
        switches if any(switch != "auto" for switch in switches) else None,
    )


def check_request(config: RunnableConfig) -> None:
    """Raise `InvalidInputError` if a config asks for what does not exist: a threshold, a route, or a misspelt key."""
    options = config.get("configurable")
    if not options:
        return
    unknown = [key for key in options if str(key).startswith("datashunt_") and key not in _KEYS]
    if unknown:
        raise InvalidInputError(
            f'config["configurable"] has {unknown}, which means nothing to a shunt; a request may set '
            f"{[THRESHOLD_KEY, ROUTE_KEY, REQUEST_KEY]}"
        )
    threshold = options.get(THRESHOLD_KEY)
    if threshold is not None:
        check_threshold(threshold, f'config["configurable"]["{THRESHOLD_KEY}"]')
    route = options.get(ROUTE_KEY)
    if route is not None and route not in get_args(RouteSwitch):
        raise InvalidInputError(
            f'config["configurable"]["{ROUTE_KEY}"] is one of {list(get_args(RouteSwitch))}; got {route!r}'
        )


def check_threshold(threshold: Any, what: str = "threshold") -> float:
    """Return `threshold` as a float; raise `InvalidInputError` unless it is a number in [0, 1]."""
    is_number = isinstance(threshold, (int, float, np.integer, np.floating)) and not isinstance(threshold, bool)
    if not is_number or not 0 <= threshold <= 1:
        raise InvalidInputError(f"{what} must be a number in [0, 1]; got {threshold!r}")
    return float(threshold)
