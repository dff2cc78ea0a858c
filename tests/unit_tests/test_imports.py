"""The public door, and what importing costs: each module is the first of ours that a process imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import langchain_datashunt

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "langchain_datashunt"
STORE = "langchain_datashunt.store"  # SQLAlchemy is what it is about
SERVE = "langchain_datashunt.serve."  # FastAPI is what these are about; the door of the room loads nothing
COMMANDS = "langchain_datashunt.cli."  # commands that look into the log
REPORT = "langchain_datashunt.report."  # made from the log
AGENTS, DECISIONS = "langchain_datashunt.agents", "langchain_datashunt.decisions"  # what others' base classes need
HEAVY = ("torch", "transformers", "sklearn", "scipy", "sqlalchemy", "langchain", "langgraph", "fastapi", "pandas")
MODULES = sorted(
    (
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
        if path.name != "__main__.py"
    ),
    key=lambda module: (
        module.startswith((SERVE, STORE, REPORT)),
        module.startswith((STORE, REPORT)),
        module,
    ),
)

IMPORT_EACH = f"""
import json, os, sys
# Other people's modules, once for all the forks.
import langchain_core.language_models.chat_models, langchain_core.output_parsers, langchain_core.prompts, numpy
import langchain_core.runnables.base, langchain_core.runnables.graph, langchain_core.runnables.fallbacks
import langchain_core.tools, langchain_core.load, rich.console, typer
assert not set(sys.modules) & set({HEAVY!r})
sys.path.insert(0, {str(ROOT)!r})
for module in json.loads(sys.stdin.read()):
    if module.startswith({SERVE!r}):
        import fastapi
    if module.startswith({(STORE, REPORT)!r}):
        import sqlalchemy.dialects.sqlite
    sys.stdout.flush()
    if os.fork() == 0:
        try:
            __import__(module)
            loaded_above = {{"fastapi"}} if module.startswith({(STORE, REPORT)!r}) else set()
            found = sorted(set(sys.modules) & set({HEAVY!r}) - loaded_above)
            print(json.dumps([module, found, None]), flush=True)
        except BaseException as error:
            print(json.dumps([module, [], repr(error)]), flush=True)
        os._exit(0)
    os.wait()
"""


def in_a_fresh_process(code: str, standard_input: str = "") -> str:
    return subprocess.run(  # noqa: S603  our own interpreter on our own code
        [sys.executable, "-c", code], input=standard_input, capture_output=True, text=True, check=True, timeout=100
    ).stdout


@pytest.fixture(scope="module")
def imported() -> dict[str, tuple[list[str], str | None]]:
    lines = in_a_fresh_process(IMPORT_EACH, json.dumps(MODULES)).splitlines()
    return {module: (found, error) for module, found, error in map(json.loads, lines)}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_imported_first(module: str, imported: dict[str, Any]) -> None:
    error = imported[module][1]
    if module in (AGENTS, DECISIONS) and error is not None:  # langchain, or langchain-core 1.8, may not be there
        assert error.startswith("MissingExtraError(")
    else:
        assert error is None


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_module_loads_nothing_heavy(module: str, imported: dict[str, Any]) -> None:
    allowed = ["sqlalchemy"] if module.startswith((STORE, COMMANDS, REPORT)) else []
    allowed = ["fastapi"] if module.startswith(SERVE) else allowed
    assert imported[module][0] in ([], allowed) or module == AGENTS


def test_importing_the_package_loads_less_than_importing_langchains_runnables() -> None:
    count = "import sys, {}; print(len(sys.modules))"
    ours = int(in_a_fresh_process(count.format("langchain_datashunt")))
    runnables = int(in_a_fresh_process(count.format("langchain_core.runnables")))
    assert ours < runnables


def test_routing_with_a_policy_loads_nothing_heavy() -> None:
    code = """
import sys
from langchain_datashunt import FunctionClassifier, RunnableDataShunt, ShuntPolicy
from langchain_core.runnables import RunnableLambda
small = FunctionClassifier(lambda texts: [[0.9, 0.1]] * len(texts), classes=["a", "b"], version="1")
policy = ShuntPolicy(classes=("a", "b"), threshold=0.5)
chain = RunnableDataShunt(small, policy=policy) | RunnableLambda(str).with_types(output_type=str)
assert chain.batch(["x", "y"]) == ["a", "a"]
print(sorted(set(sys.modules) & set({heavy!r})))
""".replace("{heavy!r}", repr(HEAVY))
    assert in_a_fresh_process(code).strip() == "[]"


@pytest.mark.parametrize("name", langchain_datashunt.__all__)
def test_every_public_name_can_be_had_from_the_door(name: str) -> None:
    assert getattr(langchain_datashunt, name).__name__ == name


def test_the_door_lists_its_names_once_and_in_order() -> None:
    names = langchain_datashunt.__all__
    assert names == sorted(set(names))
    assert set(names) == set(langchain_datashunt._HOME)
    assert set(names) <= set(dir(langchain_datashunt))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="RunableDataShunt"):
        langchain_datashunt.RunableDataShunt  # noqa: B018  the access is the test
    assert not hasattr(langchain_datashunt, "nonsense")
