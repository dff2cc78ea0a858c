"""An unbound shunt: waits for the large branch on its right, and says what to write where that cannot work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.output_parsers import BaseOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.runnables.base import coerce_to_runnable

from langchain_datashunt.errors import CompositionError

if TYPE_CHECKING:
    from langchain_datashunt.routing.router import RunnableDataShunt

NOT_BOUND = (
    "this RunnableDataShunt has no large model yet, so it is not a Runnable: it binds exactly the next runnable on its "
    "right. Write `shunt | llm`, `shunt | (prompt | llm) | parser`, `prompt | (shunt | llm)`, `x | shunt.to(llm)` or "
    "`RunnableDataShunt(small, ..., large=llm)`"
)


class _SaysWhatToWrite(type):
    """Puts the remedy into the class's name as shown.

    LangChain and LangGraph refuse what is no Runnable with a TypeError that shows ``type(thing)``; nothing of ours runs
    at that moment but this.
    """

    def __repr__(cls) -> str:
        return f"UnboundDataShunt: {NOT_BOUND}"


class UnboundDataShunt(metaclass=_SaysWhatToWrite):
    """A shunt without its large branch; ``|``, ``to`` and ``pipe`` bind it.

    It is not a Runnable on purpose: in ``prompt | shunt | llm``, which Python reads as ``(prompt | shunt) | llm``, no
    step of the sequence could keep an answered input from the LLM. Such a composition raises while it is built.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Keep the constructor arguments of the `RunnableDataShunt` to be."""
        self._options = dict(options)

    def to(self, large: Any) -> RunnableDataShunt:
        """Return the shunt with `large` as its large branch.

        Args:
            large: A Runnable, or what LangChain makes one of (a function, a dict of runnables).

        Raises:
            CompositionError: `large` cannot be the large branch; the message says what to write.
        """
        from langchain_datashunt.routing.router import RunnableDataShunt  # noqa: PLC0415  the two know each other

        return RunnableDataShunt(**self._options, large=as_large(large))

    def __or__(self, large: Any) -> RunnableDataShunt:
        """Return the shunt with `large` as its large branch; after that ``|`` continues behind both branches."""
        return self.to(large)

    def __ror__(self, other: Any) -> Any:
        """Refuse what stands on the left: it would reach the large model with answered inputs."""
        raise CompositionError(NOT_BOUND)

    def pipe(self, large: Any, *others: Any, name: str | None = None) -> Runnable[Any, Any]:
        """Return ``self.to(large)``, followed by `others`."""
        if others:
            return self.to(large).pipe(*others, name=name)
        return UnboundDataShunt({**self._options, "name": name or self._options.get("name")}).to(large)

    def __getattr__(self, name: str) -> Any:
        """Name the remedy where a method of a Runnable, or of a bound shunt, is asked for."""
        from langchain_datashunt.routing.router import RunnableDataShunt  # noqa: PLC0415  the two know each other

        if hasattr(Runnable, name) or (not name.startswith("_") and hasattr(RunnableDataShunt, name)):
            raise CompositionError(NOT_BOUND)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"RunnableDataShunt({self._options.get('small')!r}, large=None)"


def as_large(large: Any) -> Runnable[Any, Any]:
    """Return `large` as a Runnable that can be the large branch.

    Raises:
        CompositionError: It is not a Runnable, or a prompt template, an output parser or an unbound shunt alone.
    """
    if isinstance(large, UnboundDataShunt):
        raise CompositionError(
            "a shunt without a large model cannot be the large branch; for three tiers write "
            "`RunnableDataShunt(first, ...) | (RunnableDataShunt(second, ...) | llm)`"
        )
    if isinstance(large, BasePromptTemplate):
        raise CompositionError(
            "a prompt template alone cannot be the large branch: easy answers would go on to the LLM behind it; write "
            "`shunt | (prompt | llm)`"
        )
    if isinstance(large, BaseOutputParser):
        raise CompositionError("an output parser alone cannot be the large branch; write `shunt | llm | parser`")
    if isinstance(large, type):
        raise CompositionError(
            f"the large branch must be a Runnable; got the class {large.__name__} ({type(large).__name__}): make an "
            f"instance of it, {large.__name__}(...)"
        )
    try:
        runnable: Runnable[Any, Any] = coerce_to_runnable(large)
    except TypeError as error:
        raise CompositionError(
            f"the large branch must be a Runnable (a chat model, prompt | llm, a graph), a function or a dict of "
            f"runnables; got {type(large).__name__}: {large!r}"
        ) from error
    return runnable
