"""The chain behind LangServe (extra ``langserve``), for those who have it; LangServe itself is archived.

    uvicorn langserve_app:app                 # from this folder, then open http://127.0.0.1:8000/review/playground/

LangServe has no authentication and no limits of its own, so this is for loopback: `fastapi_app.py` has both.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from langserve import add_routes
from pydantic import BaseModel, Field
from review_chain import chain

LOWEST, HIGHEST = 0.5, 0.999


class Review(BaseModel):
    """What the playground asks for."""

    review: str = Field(title="Review", description="What a customer wrote.")


class Sentiment(BaseModel):
    """What is answered."""

    label: str = Field(description="positive or negative.")


app = FastAPI(title="Reviews")


def with_checked_threshold(config: dict[str, Any], _: Request) -> dict[str, Any]:
    """Refuse a threshold outside of what this server allows; LangServe enforces no bounds."""
    threshold = config.get("configurable", {}).get("datashunt_threshold")
    if threshold is not None and not LOWEST <= threshold <= HIGHEST:
        raise HTTPException(422, f"datashunt_threshold lies in [{LOWEST}, {HIGHEST}]")
    return config


def to_answer(label: str) -> dict[str, Any]:
    """Return the label as a field with a name."""
    return {"label": label}


add_routes(
    app,
    (chain | to_answer).with_types(input_type=Review, output_type=Sentiment),
    path="/review",
    config_keys=["configurable"],  # threshold and route may be set per request
    per_req_config_modifier=with_checked_threshold,
)
