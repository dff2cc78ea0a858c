"""What a served chain answers: one input, many, a stream, and decisions without the large model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response, StreamingResponse

from langchain_datashunt.routing.listening import DecisionCollector
from langchain_datashunt.serve.replies import (
    JsonReply,
    as_json,
    failure,
    public_record,
    public_records,
    result,
    shown,
)
from langchain_datashunt.serve.served_chain import ClientGoneError, ServedChain, run_config, while_connected

Endpoint = Callable[..., Awaitable[Response]]

NO_STORE = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def invoke_endpoint(served: ServedChain, body_type: type[BaseModel]) -> Endpoint:
    """Return the endpoint of one input."""

    async def invoke(body: Any, request: Request) -> Response:
        """Answer one input."""
        collector = DecisionCollector()
        run = served.chain.ainvoke(_given(body.input), run_config(collector, _threshold(body)))
        try:
            output = await while_connected(request.receive, run)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a chain raises has a status
            return _failed(error)
        return JsonReply(result(output, collector))

    return _taking(body_type, invoke)


def batch_endpoint(served: ServedChain, body_type: type[BaseModel]) -> Endpoint:
    """Return the endpoint of many inputs."""

    async def batch(body: Any, request: Request) -> Response:
        """Answer many inputs: one pass of the small model, large calls only for the hard ones."""
        inputs = [_given(each) for each in body.inputs]
        collectors = [DecisionCollector() for _ in inputs]
        configs = [run_config(each, _threshold(body)) for each in collectors]
        run = served.chain.abatch(inputs, configs, return_exceptions=True)
        outputs = await while_connected(request.receive, run)
        return JsonReply({"results": [result(*each) for each in zip(outputs, collectors, strict=True)]})

    return _taking(body_type, batch)


def stream_endpoint(served: ServedChain, body_type: type[BaseModel]) -> Endpoint:
    """Return the endpoint of one input whose answer comes piece by piece."""

    async def stream(body: Any, request: Request) -> Response:
        """Answer one input as server-sent events: `chunk` ..., then `end` with the decisions, or `error`."""
        collector = DecisionCollector()
        chunks = served.chain.astream(_given(body.input), run_config(collector, _threshold(body)))
        try:
            first = [await while_connected(request.receive, anext(chunks))]
        except StopAsyncIteration:
            first = []
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a chain raises has a status
            return _failed(error)
        return StreamingResponse(_events(first, chunks, collector), media_type="text/event-stream", headers=NO_STORE)

    return _taking(body_type, stream)


def decide_endpoint(served: ServedChain, body_type: type[BaseModel]) -> Endpoint:
    """Return the endpoint of decisions."""

    async def decide(body: Any) -> Response:
        """Tell what the shunt would decide about many inputs; the large model is not asked."""
        try:
            decisions = await served.decide([_given(each) for each in body.inputs], _threshold(body))
        except Exception as error:  # noqa: BLE001  whatever a chain raises has a status
            return _failed(error)
        return JsonReply({"decisions": [public_record(decision) for decision in decisions]})

    return _taking(body_type, decide)


def _taking(body_type: type[BaseModel], endpoint: Endpoint) -> Endpoint:
    """Give an endpoint the type of its body, which no annotation in the source can name: it was made for the chain."""
    endpoint.__annotations__["body"] = body_type
    return endpoint


async def _events(first: list[Any], chunks: AsyncIterator[Any], collector: DecisionCollector) -> AsyncIterator[str]:
    try:
        for chunk in first:
            yield _event("chunk", shown(chunk))
        async for chunk in chunks:
            yield _event("chunk", shown(chunk))
    except Exception as error:  # noqa: BLE001  whatever a chain raises ends the stream
        status, why = failure(error)
        yield _event("error", {"status": status, "detail": why})
        return
    yield _event("end", {"decisions": public_records(collector)})


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {as_json(data)}\n\n"


def _given(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


def _threshold(body: Any) -> float | None:
    return getattr(body, "threshold", None)


def _failed(error: Exception) -> JSONResponse:
    status, why = failure(error)
    return JSONResponse({"detail": why}, status, {"Retry-After": "1"} if status == 503 else None)  # noqa: PLR2004
