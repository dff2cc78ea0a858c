"""The chain behind FastAPI: the recommended way.

    uvicorn fastapi_app:app                   # from this folder, then open http://127.0.0.1:8000/docs

`datashunt serve review_chain:chain` does the same, and limits how long clients may take to send their headers.
"""

from __future__ import annotations

import os

from review_chain import chain

from langchain_datashunt.serve import BearerTokens, create_app

token = os.environ.get("DATASHUNT_TOKEN")
app = create_app(
    chain,
    authenticate=BearerTokens(token) if token else None,  # without: this machine only
    threshold_bounds=(0.5, 0.99),  # what a request may ask for
)
