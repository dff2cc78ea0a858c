"""A pydantic model with a field of labels, cut to candidates: some providers bind the class and not its JSON schema."""

from __future__ import annotations

import copy
import types
from enum import Enum
from functools import lru_cache, reduce
from operator import or_
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, create_model

from langchain_datashunt.small_models import label_name

Model = TypeVar("Model", bound=BaseModel)


@lru_cache(maxsize=1024)
def cut_model(model: type[Model], classes: tuple[str, ...], candidates: tuple[str, ...]) -> type[Model]:
    """Return a subclass in which each ``Literal`` or ``Enum`` of all `classes` offers no class but the `candidates`.

    It has the model's own name and description, so that the LLM is told the same; models in its fields are cut too. The
    model itself is returned where nothing in it is to be cut.
    """
    changed: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = _cut(field.annotation, classes, candidates)
        if kind is not field.annotation:
            copied = copy.copy(field)
            copied.annotation = kind
            changed[name] = (kind, copied)
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **changed) if changed else model


def as_whole(made: Any, model: type[BaseModel]) -> Any:
    """Return an object of a cut model as one of the model itself; anything else unchanged."""
    if not isinstance(made, model) or type(made) is model:
        return made
    return model.model_validate_json(made.model_dump_json())


def offers_all(values: Any, classes: tuple[str, ...]) -> bool:
    """Tell whether all `classes` are among an enum's values."""
    return set(classes) <= {label_name(value) for value in values if isinstance(value, str | int | float)}


def _cut(kind: Any, classes: tuple[str, ...], candidates: tuple[str, ...]) -> Any:
    """Return a type without the labels that are no candidates; itself where it has none of them."""
    removed = set(classes) - set(candidates)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return cut_model(kind, classes, candidates)
    if isinstance(kind, type) and issubclass(kind, Enum):
        left = {member.name: member.value for member in kind if _name(member) not in removed}
        whole = not offers_all([member.value for member in kind], classes) or len(left) == len(kind)
        return kind if whole else Enum(kind.__name__, left)
    members = get_args(kind)
    if get_origin(kind) is Literal:
        kept = tuple(value for value in members if _name(value) not in removed)
        whole = not offers_all([_value(value) for value in members], classes) or len(kept) == len(members)
        return kind if whole else Literal[kept]
    if get_origin(kind) in (Union, types.UnionType):
        parts = [_cut(member, classes, candidates) for member in members]
        return reduce(or_, parts) if any(a is not b for a, b in zip(parts, members, strict=True)) else kind
    return kind


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _name(value: Any) -> str | None:
    own = _value(value)
    return label_name(own) if isinstance(own, str | int | float) else None
