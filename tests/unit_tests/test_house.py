"""Guards of the house: names, sizes, floors, and what may not stand in a public repository."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import langchain_datashunt

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "langchain_datashunt"
NAME = PACKAGE.name

FLOORS: dict[int, set[str]] = {
    0: {"errors", "types", "whole_files"},
    1: {"bounds", "candidates", "policy"},
    2: {
        *("evaluation", "fitting", "plots", "prompting", "pruning", "registry", "small_models", "store", "targets"),
        "testing",
    },
    3: {"callbacks", "hints", "distillation", "learning_loop", "metrics", "routing", "transfer"},
    4: {"agents", "cli", "decisions", "demo", "pytest_plugin", "report", "serve"},
}
FLOOR_OF = {module: floor for floor, modules in FLOORS.items() for module in modules}

ALWAYS_THERE = {NAME, "langchain_core", "numpy", "pydantic", "typing_extensions"}
OWN_SUBJECT = {
    "agents": {"langchain"},
    "cli": {"typer", "rich"},
    "demo": {"typer", "rich"},
    "pytest_plugin": {"pytest"},
    "report": {"markupsafe"},
    "serve": {"fastapi", "pydantic_core", "starlette", "uvicorn"},
    "store": {"sqlalchemy"},
}

LONGEST = 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "base", "core", "common", "misc"}

MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(
    path for folder in ("langchain_datashunt", "tests", "examples", "docs") for path in (ROOT / folder).rglob("*.py")
)
TEXTS = [
    *SOURCES,
    *sorted(path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"),  # a worktree has a file of it
    *sorted(path for kind in ("*.md", "*.rst") for path in (ROOT / "docs").rglob(kind)),
]


def room(path: Path) -> str:
    """Return a module's place in the house: its file, or the folder it lives in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield each imported module, and whether that happens at the module's own level; TYPE_CHECKING does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, True) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, True
            yield from ((f"{node.module}.{alias.name}", True) for alias in node.names)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from ((name, at_top and not inside) for name, at_top in imports(node))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def shown(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=shown(SOURCES))
def test_a_file_has_one_subject(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{path.name} has {lines} lines: split it by subject"
    assert path.stem not in FORBIDDEN_NAMES, f"{path.name} says nothing about what is in it"


def test_every_module_stands_on_a_floor() -> None:
    rooms = {room(path) for path in MODULES} - {"__init__", "__main__"}
    assert rooms <= set(FLOOR_OF), f"put {sorted(rooms - set(FLOOR_OF))} on a floor in FLOORS (see docs)"


@pytest.mark.parametrize("path", MODULES, ids=shown(MODULES))
def test_imports_go_downward_only(path: Path) -> None:
    own = FLOOR_OF.get(room(path))
    if own is None:  # the package's door
        return
    for name, _ in imports(parsed(path)):
        if name.startswith(f"{NAME}."):
            other = name.split(".")[1]
            assert FLOOR_OF.get(other, 0) <= own, f"{room(path)} (floor {own}) imports {other} ({FLOOR_OF[other]})"


@pytest.mark.parametrize("path", MODULES, ids=shown(MODULES))
def test_extras_are_imported_inside_functions_only(path: Path) -> None:
    tops = {name.split(".")[0] for name, at_top in imports(parsed(path)) if at_top}
    assert tops - sys.stdlib_module_names <= ALWAYS_THERE | OWN_SUBJECT.get(room(path), set())


@pytest.mark.parametrize("path", MODULES, ids=shown(MODULES))
def test_the_maths_knows_neither_langchain_nor_models(path: Path) -> None:
    if FLOOR_OF.get(room(path), 4) > 1:
        return
    known = {name.split(".")[0] for name, _ in imports(parsed(path))}
    assert not known & {"langchain_core", "langchain", "torch", "transformers", "pydantic"}


@pytest.mark.parametrize("path", MODULES, ids=shown(MODULES))
def test_only_small_models_and_distillation_know_torch(path: Path) -> None:
    if room(path) in {"small_models", "distillation", "demo"}:
        return
    assert not {name.split(".")[0] for name, _ in imports(parsed(path))} & {"torch", "transformers"}


MACHINE_PATH = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "home/[a-z]", r"[A-Z]:\\\\" + "Users"]))


@pytest.mark.parametrize("path", TEXTS, ids=shown(TEXTS))
def test_nothing_names_a_machine(path: Path) -> None:
    found = MACHINE_PATH.search(path.read_text(encoding="utf-8"))
    assert found is None, f"{path.name} names {found and found.group()}"


@pytest.mark.parametrize("name", langchain_datashunt.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    documented = getattr(langchain_datashunt, name).__doc__ or ""
    assert len(documented.split()) >= 5, f"{name} says nothing about itself"


def test_the_version_stands_in_one_place() -> None:
    version = langchain_datashunt.__version__
    assert f'__version__ = "{version}"' in (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert version not in (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.hatch")[0]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
