"""Bets against a rate: the maths behind `langchain_datashunt.bounds.live_bound`.

A gambler with a capital of 1 bets, audit after audit, that misses are more frequent than a rate r. If r was never
exceeded, the capital is not expected to grow, and the chance that it *ever* reaches 1/a is at most a (Ville 1939). So
one may look at it after every audit; a fixed-sample interval that is looked at after every audit errs almost surely.

For odds multiplied by ``rho``, an audit of weight w multiplies the capital by ``(rho^x / (1 + r (rho - 1)))^w``, where
x is 1 for a miss and 0 else. With w = 1 that is the likelihood ratio of a Bernoulli rate of larger odds, the
sub-Bernoulli supermartingale of Howard, Ramdas, McAuliffe and Sekhon (2021), https://arxiv.org/abs/1810.08240; every
bet on a Bernoulli variable has this form (Waudby-Smith and Ramdas 2024, https://arxiv.org/abs/2010.09686). With weights
``w = lowest audit rate / audit rate``, at most 1, Bernoulli's inequality ``y^w <= 1 + w (y - 1)`` makes the expected
factor over *all* accepted inputs, audited or not, at most ``1 + lowest audit rate (E[y] - 1)``, hence at most 1 under
the hypothesis: audits of different rates may be mixed, and the inputs that were not audited need not be known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.types import FloatArray

LOG_ODDS = 0.05 * 2.0 ** np.arange(7)
"""Logarithms of the odds ratios between which the capital is divided: 1.05, 1.1, 1.2, 1.5, 2.2, 5 and 25 fold."""

_FROM_THE_FIRST = 0.5
"""Share of the capital that is bet from the first audit on; the rest waits for changes."""

_PACE = 100.0
"""Audits after which bets on a change thin out: about as many as it takes to see a rate double."""

_LARGEST = 1e100
"""Capital above this is thrown away, so that nothing overflows; that is never to the gambler's advantage."""


def uninvested(weight: Any) -> Any:
    """Return the share of the capital that waits after audits of this total weight.

    It falls like one over a logarithm, so that a change after a million audits still finds capital to bet on it.
    """
    return (1 - _FROM_THE_FIRST) / (1 + np.log1p(weight / _PACE))


class RestartingBets:
    """Capitals of gamblers who bet that a rate is larger, from the first audit on and anew at every later one.

    Bets from the first audit on are strong against a rate that was always too large, the later ones against a rate that
    became so: a long good past does not count against them. It is the mixture over change points of Shiryaev, with
    bets in the place of likelihoods (e-processes; Shin, Ramdas and Rinaldo 2024, https://arxiv.org/abs/2203.03532),
    and with a total capital of 1, so that it bounds the chance of a false alarm ever, not only their frequency.

    Memory and time for an audit do not grow with the audits.

    Args:
        rates: ``(m,)`` rates to bet against, in (0, 1).
        shape: Of independent streams that are played at once; ``()`` for one.
    """

    def __init__(self, rates: FloatArray, shape: tuple[int, ...] = ()) -> None:
        """Start with a capital of 1 against each rate."""
        self._cost = np.log1p(rates[:, None] * np.expm1(LOG_ODDS))
        self.placed: FloatArray = np.zeros((*shape, len(rates), len(LOG_ODDS)))
        self.weight: FloatArray = np.zeros(shape)
        self.cash: FloatArray = np.ones(shape)

    def play(self, hits: NDArray[Any] | float, weights: NDArray[Any] | float) -> None:
        """Play one audit in each stream.

        Args:
            hits: ``shape`` weights of the misses; 0 where the audit was none.
            weights: ``shape`` weights in [0, 1]; 0 where a stream had no audit.
        """
        cash = uninvested(self.weight)  # of the past only: what is placed must not depend on what comes
        fresh = (self.cash - cash) / len(LOG_ODDS)
        x, w = np.asarray(hits)[..., None, None], np.asarray(weights)[..., None, None]
        grown = (self.placed + fresh[..., None, None]) * np.exp(x * LOG_ODDS - w * self._cost)
        self.placed = np.minimum(grown, _LARGEST)
        self.cash = np.asarray(cash)
        self.weight = np.asarray(self.weight + weights)

    @property
    def capital(self) -> FloatArray:
        """``shape + (m,)`` capitals; each falls with the rate that it is bet against."""
        return np.asarray(self.placed.sum(axis=-1) + self.cash[..., None])


def capital_on_less(hits: NDArray[Any] | float, weights: NDArray[Any] | float, rate: float) -> FloatArray:
    """Return the capital of a gambler who bet from the first audit on that misses are rarer than `rate`.

    Args:
        hits: Any shape; weight of all misses.
        weights: Likewise; weight of all audits.
        rate: In [0, 1].
    """
    x, w = np.asarray(hits)[..., None], np.asarray(weights)[..., None]
    logs = -x * LOG_ODDS - w * np.log1p(rate * np.expm1(-LOG_ODDS))
    return np.asarray(np.exp(np.minimum(logs, np.log(_LARGEST))).mean(axis=-1))
