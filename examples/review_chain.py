"""A small model of reviews before a large one: the chain that the examples of servers serve.

    datashunt serve review_chain:chain        # from this folder; or fastapi_app.py, langserve_app.py

It trains a TF-IDF model on made-up reviews when it is imported, and certifies a threshold; put your own in its place.
OPENAI_API_KEY, OPENAI_BASE_URL and LARGE_MODEL say which large model answers the rest.
"""

from __future__ import annotations

import os

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt import (
    MicroBatched,
    PromptPruningOutputParser,
    RunnableDataShunt,
    TargetRisk,
    fit_policy,
)

praise = ["great", "perfect", "lovely", "sturdy", "works"]
blame = ["awful", "broken", "useless", "flimsy", "fails"]
easy = [f"{words[i % 5]} {words[i // 5 % 5]} thing number {i}" for i in range(1000) for words in (praise, blame)]
hard = [f"{praise[i % 5]} at first, then {blame[i // 5 % 5]}: number {i}" for i in range(400)]
reviews = easy + hard
sentiments = ["positive", "negative"] * 1200  # of the hard ones, a small model can only guess

small = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(reviews[::7], sentiments[::7])
rest = [i for i in range(len(reviews)) if i % 7]
policy = fit_policy(small, [reviews[i] for i in rest], [sentiments[i] for i in rest], TargetRisk(0.02))

prompt = ChatPromptTemplate.from_messages(
    [
        ("system", "Is a review positive or negative? Answer with one word. A small model thinks: {prior}"),
        ("human", "{review}"),
    ]
)
large = ChatOpenAI(model=os.environ.get("LARGE_MODEL", "gpt-5-mini"))

chain = (
    RunnableDataShunt(MicroBatched(small), policy=policy, name="Sentiment of a review")
    | (prompt | large)
    | PromptPruningOutputParser(policy.classes)
)
