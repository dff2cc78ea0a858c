"""`create_app`: the FastAPI application around a chain."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from langchain_core.runnables import Runnable
from starlette.responses import JSONResponse, Response, StreamingResponse

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.serve.access import Authenticate
from langchain_datashunt.serve.bodies import (
    BatchReply,
    DecideReply,
    Refusal,
    Reply,
    RequestBodies,
    ThresholdBounds,
    request_bodies,
)
from langchain_datashunt.serve.endpoints import batch_endpoint, decide_endpoint, invoke_endpoint, stream_endpoint
from langchain_datashunt.serve.guard import Guard
from langchain_datashunt.serve.limits import RequestLimits
from langchain_datashunt.serve.readiness import Readiness
from langchain_datashunt.serve.served_chain import ClientGoneError, ServedChain

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": description}
    for status, description in {
        401: "No valid token.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
        422: "The body, or an input in it, cannot be routed.",
        502: "A model behind the chain failed.",
        503: "Too much is asked at once; try again.",
        504: "No answer in time.",
    }.items()
}


EVENTS: dict[str, Any] = {
    "description": "`chunk` events, then `end` with the decisions; or `error`.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


def create_app(
    chain: Runnable[Any, Any],
    *,
    authenticate: Authenticate | None = None,
    limits: RequestLimits | None = None,
    threshold_bounds: tuple[float, float] | None = None,
    warm_up: Any = "Is anybody there?",
) -> FastAPI:
    """Return an application that serves a chain: /invoke, /batch, /stream, /decide, /health, /ready and OpenAPI.

    Args:
        chain: A chain with a `RunnableDataShunt` among its steps.
        authenticate: Who may ask: `BearerTokens`, or a function of the request, which may be a coroutine function.
            None answers requests that this machine makes to a loopback address, and refuses all others (403).
        limits: What a request may take; None is ``RequestLimits()``.
        threshold_bounds: The lowest and highest threshold that a request may ask for; None lets requests ask for none.
        warm_up: An input as the small model sees it. /ready is answered 503 until the model has answered it once.

    Raises:
        CompositionError: The chain has no bound shunt among its steps, or `authenticate` is no function.
        InvalidInputError: The bounds are no two numbers in [0, 1], the lower one first.
        MissingExtraError: FastAPI is not installed (extra ``serve``).

    A request's body, its answer and what /docs shows come from the chain. Whatever the chain returns can be serialised;
    every reply says what the shunts decided. A client that goes away cancels its run.

    Example:
        .. code-block:: python

            app = create_app(chain, authenticate=BearerTokens(os.environ["DATASHUNT_TOKEN"]))
            run_server(app, host="0.0.0.0", port=8000)
    """
    if authenticate is not None and not callable(authenticate):
        raise CompositionError(
            "authenticate= is BearerTokens(...) or a function of the request; got something of the type "
            f"{type(authenticate).__name__} (it is not shown, since it may be a token)"
        )
    limits = RequestLimits() if limits is None else limits
    bounds = None if threshold_bounds is None else ThresholdBounds.of(threshold_bounds)
    served = ServedChain.of(chain)
    readiness = Readiness(served.shunt.small, warm_up)
    app = FastAPI(
        title=chain.get_name(),
        description="A small model answers what it is sure of; a large one gets the rest.",
        lifespan=readiness.lifespan,
    )
    app.state.needs_loopback = authenticate is None
    app.state.limits = limits
    app.add_middleware(Guard, limits=limits, authenticate=authenticate)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(ClientGoneError, _to_nobody)
    _add_runs(app, served, request_bodies(chain, limits, bounds))
    _add_probes(app, readiness)
    return app


def _add_runs(app: FastAPI, served: ServedChain, bodies: RequestBodies) -> None:
    for endpoint, reply in (
        (invoke_endpoint(served, bodies.one), Reply),
        (batch_endpoint(served, bodies.many), BatchReply),
        (decide_endpoint(served, bodies.many), DecideReply),
    ):
        app.post(f"/{endpoint.__name__}", response_model=reply, responses=REFUSALS)(endpoint)
    streaming = {**REFUSALS, 200: EVENTS}
    app.post("/stream", response_class=StreamingResponse, responses=streaming)(stream_endpoint(served, bodies.one))


def _add_probes(app: FastAPI, readiness: Readiness) -> None:
    async def health() -> dict[str, bool]:
        """Tell that the process answers."""
        return {"alive": True}

    async def ready() -> JSONResponse:
        """Tell whether the small model has answered once."""
        if readiness.ready:
            return JSONResponse({"ready": True})
        readiness.ask()
        return JSONResponse({"ready": False, "detail": readiness.problem}, 503)

    app.get("/health")(health)
    app.get("/ready", response_model=None, responses={503: {"description": "Not yet."}})(ready)
    app.head("/health", include_in_schema=False)(health)  # some monitors ask so
    app.head("/ready", include_in_schema=False, response_model=None)(ready)


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong with a body, without repeating what stands in it (JSON has no form for all of that)."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": [{key: each[key] for key in ("type", "loc", "msg")} for each in problems]}, 422)


async def _to_nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=499)
