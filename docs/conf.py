"""The documentation as a site, made by Sphinx: `make docs`. docs/house.md says how it is made, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import fastapi  # noqa: F401  before autodoc writes into the annotations of pydantic's classes, and it cannot be imported
import typer
from sphinx.addnodes import pending_xref
from typer.cli import get_docs_for_click

from langchain_datashunt import __version__
from langchain_datashunt.cli.main import build_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

project = "langchain-datashunt"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
pygments_dark_style = "github-dark"  # that of the theme underlines the names of modules, as if they were links
html_title = f"{project} {version}"
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 4  # the anchors that code hosts make

default_role = "py:obj"  # `name` in a docstring is a link where the reference has that name, else code
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the types stand in the signature
autodoc_default_options = {
    "members": True,
    "exclude-members": "get_lc_namespace, is_lc_serializable, model_config, model_post_init",
}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # what LangChain's classes say of themselves
python_maximum_signature_line_length = 88

MENU = {
    "Tutorial": ["tutorial"],
    "How to: route": ["small-models", "composition", "thresholds", "agents", "testing-your-chains"],
    "How to: help the large model": ["candidates", "prompts", "hints"],
    "How to: learn from it": ["hard-samples", "distillation", "registry"],
    "How to: watch": ["audits", "report", "metrics"],
    "How to: serve": ["serving", "onnx"],
    "Concepts": ["concepts"],
    "Reference": ["reference/index"],
    "Measurements": ["evidence", "evidence-recorded", "routing-speed", "demo"],
    "The project": ["house"],
}
COMMENT = re.compile("<!--.*?-->", re.DOTALL)
WHOLE = 200
"""More characters than the first sentence of any command's help has; typer's manual lists 45 of them."""

OPTION_IN_PROSE = re.compile(r"--[a-z-]+(?=[^`\n]*(?:`[^`\n]*`[^`\n]*)*$)", re.MULTILINE)


def menu() -> str:
    """Return the directives that make the menu, for the start page."""
    return "".join(
        "\n".join(["", "```{toctree}", ":hidden:", f":caption: {kind}", *pages, "```", ""])
        for kind, pages in MENU.items()
    )


def commands() -> str:
    """Return the manual of the command line as typer writes it."""
    command = typer.main.get_command(build_app())
    manual = get_docs_for_click(obj=command, ctx=typer.Context(command), indent=1, name="datashunt")
    for listed in subcommands(command):
        manual = manual.replace(listed.get_short_help_str(), listed.get_short_help_str(limit=WHOLE))
    return OPTION_IN_PROSE.sub(r"`\g<0>`", manual)


def subcommands(command: Any) -> Iterator[Any]:
    """Yield the commands of a group, and those of the groups in it."""
    for inner in getattr(command, "commands", {}).values():
        yield inner
        yield from subcommands(inner)


GENERATED = {"index": menu, "reference/command-line": commands}
"""Pages that end in something that is written while the site is built."""


def complete_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Take the comments out of a page, whose code sets the scene for the tests, and append what is generated for it."""
    source[0] = COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), source[0])
    if page in GENERATED:
        source[0] += GENERATED[page]()


def readable_signature(
    app: Sphinx, kind: str, name: str, value: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write the defaults ``<factory>`` and ``<class 'ValueError'>``, which are no Python, as ``...`` and the class."""
    return signature and re.sub(r"<class '(\w+)'>", r"\1", signature.replace("<factory>", "...")), returned


def look_everywhere(app: Sphinx, page: nodes.document) -> None:
    """Let docstrings name classes of other modules by their name alone."""
    for reference in page.findall(pending_xref):
        if reference["reftype"] == "obj" and reference["reftarget"][:1].isupper():
            reference["refspecific"] = True


def setup(app: Sphinx) -> None:
    """Let Sphinx call the functions above."""
    app.connect("source-read", complete_page)
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("doctree-read", look_everywhere)
