"""The label's field in a JSON schema: finding it, and cutting its enum to the candidates of a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from langchain_datashunt.prompting.label_model import cut_model, offers_all
from langchain_datashunt.small_models import label_name


@dataclass(frozen=True, slots=True)
class LabelField:
    """The one field of a schema whose values are labels.

    Attributes:
        name: A property of the schema itself, not of an object inside it.
        values: Label to the enum's own value, which may be a number or a bool.
        required: The other properties that an object must have.
    """

    name: str
    values: Mapping[str, Any]
    required: tuple[str, ...]

    @classmethod
    def find(cls, schema: Mapping[str, Any], classes: tuple[str, ...]) -> LabelField | None:
        """Return the field of a JSON schema whose enum (a ``Literal``, an ``Enum``) offers all `classes`.

        None where no field does, or more than one.
        """
        properties = schema.get("properties") or {}
        offered = {name: _values(each, schema) for name, each in properties.items()}
        found = [name for name, values in offered.items() if offers_all(values, classes)]
        if len(found) != 1:
            return None
        required = tuple(name for name in schema.get("required") or () if name != found[0])
        return cls(found[0], {label_name(value): value for value in offered[found[0]]}, required)

    def named_in(self, message: BaseMessage) -> list[str]:
        """Return the labels that a reply's tool calls, or the JSON in its text, have in this field."""
        calls = getattr(message, "tool_calls", None) or []
        objects = [call["args"] for call in calls] or [_json_of(message.text)]
        values = [each[self.name] for each in objects if isinstance(each, Mapping) and self.name in each]
        return [label_name(value) for value in values if isinstance(value, str | int | float)]


def with_candidates(schema: Any, classes: tuple[str, ...], candidates: tuple[str, ...]) -> Any:
    """Return the arguments of a request in which each enum of all `classes` offers no class but the `candidates`.

    Values that are no class (an escape option) stay. The schema is found wherever it stands, in the tools or the
    response format of any provider, as JSON or as a pydantic class.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return cut_model(schema, classes, candidates)
    if isinstance(schema, Mapping):
        cut = {key: with_candidates(value, classes, candidates) for key, value in schema.items()}
        values = schema.get("enum")
        if isinstance(values, list) and offers_all(values, classes):
            removed = set(classes) - set(candidates)
            cut["enum"] = [value for value in values if label_name(value) not in removed]
        return cut
    if isinstance(schema, list):
        return [with_candidates(each, classes, candidates) for each in schema]
    return schema


def _values(field: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Any]:
    """Return the values of a field's enum, looked up through references and unions (``Optional``)."""
    if isinstance(field.get("enum"), list):
        return list(field["enum"])
    if "$ref" in field:
        name = str(field["$ref"]).rsplit("/", 1)[-1]
        return _values((schema.get("$defs") or {}).get(name, {}), schema)
    inside = [_values(each, schema) for key in ("anyOf", "allOf", "oneOf") for each in field.get(key) or ()]
    return [value for values in inside for value in values]


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
