"""Large branches that fill a schema: what it is, where its label stands, and what the small model answers in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ValidationError

from langchain_datashunt.prompting.label_schema import LabelField
from langchain_datashunt.routing.outputs import unwrapped
from langchain_datashunt.types import Prediction

LANGCHAIN_SCHEMA = "ls_structured_output_format"
"""The argument in which every ``with_structured_output`` tells tracers its schema."""


@dataclass(frozen=True, slots=True)
class FilledSchema:
    """The schema that a large branch fills with one label, as ``llm.with_structured_output(Schema)`` does.

    Attributes:
        field: The schema's field whose enum offers all labels.
        model: The class of the outputs; None where they are dicts.
    """

    field: LabelField
    model: type[BaseModel] | None

    @classmethod
    def of(cls, large: Runnable[Any, Any], classes: tuple[str, ...]) -> FilledSchema | None:
        """Return the schema of a large branch; None where it fills none, or none with a field for these classes."""
        steps = _steps(large)
        model = _model_of(steps[-1])
        schema = model if model is not None else _dict_schema(steps)
        if schema is None:
            return None
        field = LabelField.find(convert_to_openai_tool(schema)["function"].get("parameters") or {}, classes)
        return None if field is None else cls(field, model)

    def answer(self) -> Callable[[Prediction], Any] | None:
        """Return what makes the small model's output; None where the schema asks for more than a label."""
        if self.model is None:
            return self._as_dict if not self.field.required else None
        try:
            for value in self.field.values.values():
                self.model.model_validate({self.field.name: value})
        except ValidationError:
            return None
        return self._as_model

    def _as_dict(self, prediction: Prediction) -> dict[str, Any]:
        return {self.field.name: self.field.values[prediction.label]}

    def _as_model(self, prediction: Prediction) -> Any:
        assert self.model is not None  # noqa: S101  `answer` returns this for models only, for mypy
        return self.model.model_validate(self._as_dict(prediction))


def _steps(large: Runnable[Any, Any]) -> list[Runnable[Any, Any]]:
    inner = large if isinstance(large, RunnableBinding) and large.custom_output_type is not None else unwrapped(large)
    return list(inner.steps) if isinstance(inner, RunnableSequence) else [inner]


def _model_of(last: Runnable[Any, Any]) -> type[BaseModel] | None:
    """Return the class of what the last step of a structured branch gives; None for anything else."""
    found: Any = None
    if isinstance(last, PydanticToolsParser) and last.first_tool_only and len(last.tools) == 1:
        found = last.tools[0]
    elif isinstance(last, PydanticOutputParser):
        found = last.pydantic_object
    elif isinstance(last, RunnableBindingBase):
        found = last.custom_output_type
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _dict_schema(steps: list[Runnable[Any, Any]]) -> Any:
    """Return the schema of a branch that ends in a parser of JSON objects, as LangChain told it to tracers."""
    if not isinstance(steps[-1], JsonOutputParser | JsonOutputKeyToolsParser):
        return None
    told = [getattr(step, "kwargs", {}).get(LANGCHAIN_SCHEMA) for step in steps]
    return next((each.get("schema") for each in told if each is not None), None)
