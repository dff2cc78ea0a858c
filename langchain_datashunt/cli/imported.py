"""Things that a command line names by where they are imported from."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def import_attribute(name: str) -> Any:
    """Return what ``package.module:attribute`` names; modules of the current folder are found too.

    Raises:
        ValueError: The name has another form.
        ImportError: There is no such module.
        AttributeError: The module has no such attribute.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"it is named package.module:attribute, got {name!r}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return getattr(import_module(module_name), attribute)
