"""Decision models as small models: any `BaseDecisionModel`, and OpenAI's over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from pydantic import Field

from langchain_datashunt import DecisionClassifier, RunnableDataShunt, SmallModelError, TargetRisk, fit_policy
from langchain_datashunt.testing import RecordingChatModel

pytest.importorskip("langchain_core.decisions", reason="needs langchain-core 1.8")

from langchain_core.decisions import BaseDecisionModel, Choice, ClassifierResponse, Noul, Score

TEAM = Choice(instructions="Which team?", criteria={"billing": "Payments.", "technical": None})
URGENT = Noul(instructions="Is it urgent?")


class Words(BaseDecisionModel):
    """Knows what an invoice and a crash are, and that nothing can wait; counts what it is asked."""

    model: str = "words"
    asked: list[Any] = Field(default_factory=list)

    @property
    def _provider(self) -> str:
        return "tests"

    def _classify(self, state: Any, questions: Any) -> ClassifierResponse:
        self.asked.append(state)
        billing = 0.95 if "invoice" in state else 0.1 if "crash" in state else 0.5
        answers = {}
        for name, question in questions.items():
            if question.type == "choice":
                first, second = question.criteria
                probabilities = {second: 1 - billing, first: billing}
                best = max(probabilities, key=lambda label: probabilities[label])
                answers[name] = {
                    "type": "choice",
                    "choice": best,
                    "probabilities": probabilities,
                    "confidence": probabilities[best],
                }
            else:
                answers[name] = {"type": "noul", "noul": 0.75}
        return ClassifierResponse.model_validate({"model": self.model, "answers": answers})


async def test_a_choices_labels_are_the_classes_and_its_probabilities_the_rows() -> None:
    small = DecisionClassifier(Words(), TEAM, version="1")
    assert small.classes_ == ("billing", "technical")
    wanted = [[0.95, pytest.approx(0.05)], [0.1, 0.9], [0.5, 0.5]]
    texts = ["my invoice", "a crash", "hello"]
    assert small.predict_proba(texts).tolist() == wanted
    assert (await small.apredict_proba(texts)).tolist() == wanted
    assert small.predict_proba([]).shape == (0, 2)


def test_a_noul_is_a_model_of_no_and_yes() -> None:
    small = DecisionClassifier(Words(), URGENT, version="1")
    assert small.classes_ == ("no", "yes")
    assert small.predict_proba(["x"]).tolist() == [[0.25, 0.75]]


def test_a_shunt_over_a_decision_model_answers_and_defers() -> None:
    small = DecisionClassifier(Words(), TEAM, version="1")
    llm = RecordingChatModel(answers="technical")
    chain = RunnableDataShunt(small, threshold=0.8) | llm
    assert [message.content for message in chain.batch(["my invoice", "hello"])] == ["billing", "technical"]
    assert len(llm.calls) == 1
    assert sorted(small.model.asked) == ["hello", "my invoice"]  # one question an input, whoever answers in the end


def test_a_policy_is_fitted_for_a_decision_model() -> None:
    texts = [f"{'invoice' if i % 2 else 'crash'} {i}" for i in range(200)]
    labels = ["billing" if i % 2 else "technical" for i in range(200)]
    policy = fit_policy(DecisionClassifier(Words(), TEAM, version="decisions-1"), texts, labels, TargetRisk(0.1))
    assert policy.small_model_version == "decisions-1"


def test_its_runs_are_below_the_small_step_and_are_no_teachers() -> None:
    from langchain_core.tracers import BaseTracer, Run

    seen: list[Run] = []

    class Tracer(BaseTracer):
        def _persist_run(self, run: Run) -> None:
            seen.append(run)

    chain = RunnableDataShunt(DecisionClassifier(Words(), TEAM, version="1"), threshold=0.8) | RecordingChatModel()
    chain.invoke("my invoice", {"callbacks": [Tracer()]})
    (step,) = seen[0].child_runs
    assert [run.name for run in step.child_runs] == ["Words"]


@pytest.mark.parametrize(
    ("model", "question", "problem"),
    [
        (RunnableLambda(str), TEAM, "takes a BaseDecisionModel or OpenAIDecisions; got RunnableLambda"),
        (Words(), Score(instructions="How bad?", criteria=["fine", "bad"]), "asks a Choice, a Noul or a Predicate"),
        (Words(), "Which team?", "asks a Choice, a Noul or a Predicate; got 'Which team"),
        (Words(), Choice(instructions="?", criteria={"only": None}), "at least two"),
    ],
)
def test_what_cannot_be_asked_is_refused(model: Any, question: Any, problem: str) -> None:
    with pytest.raises(SmallModelError, match=problem):
        DecisionClassifier(model, question, version="1")


class _Decisions(BaseHTTPRequestHandler):
    """Speaks OpenAI's Decisions API."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (question,) = request["questions"]
        if "refuse" in json.dumps(request["input"]):
            answer: dict[str, Any] = {"type": "refusal", "refusal": "no"}
        elif question["type"] == "choice":
            values = [choice["value"] for choice in question["choices"]]
            listed = [{"value": values[0], "probability": 0.9}, {"value": values[1], "probability": 0.1}]
            answer = {"type": "choice", "choice": values[0], "probabilities": listed, "confidence": 0.9}
        else:
            answer = {"type": "predicate", "probability": 0.2}
        body = json.dumps({"model": "luna", "answers": [{"name": question["name"], **answer}], "usage": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def openai() -> Iterator[Any]:
    decisions = pytest.importorskip("langchain_openai.decisions", reason="needs a langchain-openai with decisions")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Decisions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield decisions.OpenAIDecisions(
            model="luna", api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1"
        )
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.filterwarnings("ignore")  # OpenAIDecisions is in beta
async def test_openais_decisions_are_small_models_too(openai: Any) -> None:
    from langchain_openai.decisions import Choice as OpenAIChoice
    from langchain_openai.decisions import Predicate

    team = OpenAIChoice(instructions="Which team?", choices={"billing": "Payments.", "technical": None})
    small = DecisionClassifier(openai, team, version="luna")
    assert small.classes_ == ("billing", "technical")
    assert small.predict_proba(["a", "b"]).tolist() == [[0.9, 0.1]] * 2
    assert (await small.apredict_proba(["a"])).tolist() == [[0.9, 0.1]]
    urgent = DecisionClassifier(openai, Predicate(instructions="Urgent?"), version="luna")
    assert urgent.predict_proba(["a"]).tolist() == [[0.8, 0.2]]
    with pytest.raises(SmallModelError, match="gave no answer to the question"):
        small.predict_proba(["refuse"])


def test_without_decision_models_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["langchain_core.decisions"] = None
from langchain_core.runnables import RunnableLambda
from pydantic import Field
from langchain_datashunt import DecisionClassifier
try:
    DecisionClassifier(RunnableLambda(str), None, version="1")
except ImportError as error:
    print(error)
import langchain_datashunt.decisions
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603  our own interpreter
    for said in (done.stdout, done.stderr):
        assert "a decision model (langchain_core.decisions) needs packages that are not installed" in said
        assert "pip install 'langchain-datashunt[decisions]'" in said
