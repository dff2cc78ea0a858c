"""Audits: a random share of the accepted inputs goes to the large model too.

What is learned from deferred inputs alone drifts to the hard part; audits, weighted by the inverse of their sampling
probability, stand for the accepted part. The caller gets the large model's answer, since it is paid for.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_datashunt.routing.per_request import REQUEST_KEY
from langchain_datashunt.types import Decision


def maybe_audited(decision: Decision, rate: float, run_manager: Any, config: RunnableConfig, value: Any) -> Decision:
    """Return an accepted decision with its sampling probability, and with the route ``audit`` if it is drawn.

    Args:
        decision: Any decision; only one that the rule accepted can be drawn, never one that the caller forced.
        rate: Share to audit, in [0, 1].
        run_manager: Of the shunt's run.
        config: Of the shunt's run.
        value: The input.
    """
    if rate == 0 or decision.reason != "accepted":
        return decision
    if draw(request_of(run_manager, config), value) >= rate:
        return replace(decision, sampling_probability=rate)
    # All labels stay open to the large model: among the small model's own candidates it could hardly disagree.
    return replace(decision, route="audit", candidates=None, sampling_probability=rate)


def draw(request: Any, value: Any) -> float:
    """Return a number in [0, 1), uniform over requests, the same for one input of one request."""
    digest = sha256(f"{request}|{value!r}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def request_of(run_manager: Any, config: RunnableConfig) -> Any:
    """Return what the attempts of one request have in common.

    That is the caller's ``config["configurable"]["datashunt_request"]``; else the root run, where a tracer (such as the
    hard-sample log) knows it; else the run around the shunt's, which the attempts of ``shunt.with_retry()`` share, but
    not those of a retried chain.
    """
    named = (config.get("configurable") or {}).get(REQUEST_KEY)
    if named is not None:
        return named
    for handler in run_manager.handlers:
        run = getattr(handler, "run_map", {}).get(str(run_manager.run_id))
        if run is not None:
            return run.trace_id
    return run_manager.parent_run_id or run_manager.run_id
