"""`PromptPruningOutputParser`: from an LLM's reply to one label, knowing what the shunt had decided about the input."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import RunnableConfig
from pydantic import PrivateAttr
from typing_extensions import override

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy, require_policy
from langchain_datashunt.prompting.chunks import as_chunk
from langchain_datashunt.prompting.decided import NOTHING_DECIDED, Decided, decided
from langchain_datashunt.prompting.label_logprobs import LabelPrior, check_first_tokens
from langchain_datashunt.prompting.label_reader import LabelReader, UseLogprobs, raw_of, text_of
from langchain_datashunt.prompting.labels import AnswerStyle, Labels, LabelSpace
from langchain_datashunt.prompting.pruning_template import PromptPruningTemplate
from langchain_datashunt.prompting.replies import Reading

OnInvalid = Literal["raise", "small", "none"]

INVALID_REPLY_EVENT = "datashunt_invalid_reply"
"""The custom event that records each invalid reply that was not raised.

Its data are plain JSON: ``reply`` (the raw text), ``problem`` (why it is invalid), ``on_invalid`` and ``answer`` (what
was returned in its place). Its run id is that of the parser's run, so a tracer knows which outcome was no answer of the
LLM.
"""


LABEL_DISTRIBUTION_EVENT = "datashunt_label_distribution"
"""The custom event that records how likely the large model found each label, where log-probabilities decided.

Its data are plain JSON: ``probabilities`` (label, or escape option, to probability; they sum to 1). Its run id is that
of the parser's run; `HardSample.teacher_probabilities` is made of it.
"""


class PromptPruningOutputParser(BaseOutputParser[str]):
    """Reads the one label that a chat model's reply names; a reply that could mean two things is invalid.

    The parser knows what the shunt decided about each input, before and behind the shunt, in batches and streams: an
    answer of the small model passes as it is, and the large model's must be one of the candidates. It reads the record
    on the message (``response_metadata["datashunt"]``, of nested shunts the innermost), else the decision that travels
    in the config; with neither, all labels are possible.

    While streaming, the label comes once, when the reply is complete. Where log-probabilities decide, callbacks hear
    of the whole distribution over the candidates (`LABEL_DISTRIBUTION_EVENT`), and the hard-sample log keeps it.

    Args:
        labels: The labels, or label -> description, as in the prompt.
        aliases: Label -> other names that mean it.
        answer: What the prompt asks for; see `PromptPruningTemplate`.
        escape: The prompt's option for what fits no label; the parser returns it like a label.
        on_invalid: What an invalid reply gives: ``"raise"`` an `OutputParserException` with the raw text
            (``llm_output``) and a repair hint (``observation``); ``"small"`` the small model's best candidate (raises
            where there is none); ``"none"`` None. The last two are recorded as a custom event, `INVALID_REPLY_EVENT`.
        use_logprobs: Whether first-token log-probabilities decide. ``"auto"``: where the reply carries them and begins
            with a label; otherwise its text is read. True: always, however the text goes on; a reply without them is
            invalid. False: never.
        label_prior: The model's preference among labels, taken off the log-probabilities before they decide;
            `for_policy` takes it from the policy.
        **kwargs: Fields of `BaseOutputParser`.

    Raises:
        CompositionError: The labels clash, an option does not exist, `label_prior` is of other labels, or with
            ``use_logprobs=True`` two labels begin alike.

    Example:
        >>> parser = PromptPruningOutputParser(["positive", "negative"], aliases={"positive": ["favourable"]})
        >>> parser.invoke("The review is **favourable**.")
        'positive'
    """

    labels: dict[str, str]
    """Label to description, ``""`` where there is none."""
    aliases: dict[str, list[str]]
    answer: AnswerStyle
    escape: str | None
    on_invalid: OnInvalid
    use_logprobs: UseLogprobs
    label_prior: LabelPrior | None

    _reader: LabelReader = PrivateAttr()

    def __init__(
        self,
        labels: Labels,
        *,
        aliases: Mapping[Any, Iterable[str]] | None = None,
        answer: AnswerStyle = "label",
        escape: str | None = None,
        on_invalid: OnInvalid = "raise",
        use_logprobs: UseLogprobs = "auto",
        label_prior: LabelPrior | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the options; see the class."""
        space = LabelSpace.of(labels, aliases=aliases, answer=answer, escape=escape)
        if isinstance(label_prior, Mapping):
            label_prior = LabelPrior.from_dict(label_prior)
        unknown = [name for name in kwargs if name not in type(self).model_fields]
        if unknown:
            raise CompositionError(f"PromptPruningOutputParser has no options {unknown}")
        if on_invalid not in get_args(OnInvalid):
            raise CompositionError(f"on_invalid is one of {list(get_args(OnInvalid))}; got {on_invalid!r}")
        if use_logprobs not in ("auto", True, False):
            raise CompositionError(f"use_logprobs is 'auto', True or False; got {use_logprobs!r}")
        if use_logprobs is True:
            check_first_tokens(space)
        if label_prior is not None and set(label_prior.means) != set(space.labels):
            raise CompositionError(
                f"the label prior is of the labels {sorted(label_prior.means)}, the parser of {sorted(space.labels)}"
            )
        fields = {
            "labels": dict(space.descriptions),
            "aliases": {label: list(names) for label, names in space.aliases.items()},
            "answer": answer,
            "escape": escape,
            "on_invalid": on_invalid,
            "use_logprobs": use_logprobs,
            "label_prior": label_prior,
        }
        super().__init__(**{**kwargs, **fields})
        self._reader = LabelReader(space, use_logprobs, label_prior)

    @classmethod
    def for_template(cls, template: PromptPruningTemplate, **options: Any) -> PromptPruningOutputParser:
        """Return the parser of `template`'s label space; `options` are the parser's own."""
        return cls(template.labels, aliases=template.aliases, answer=template.answer, escape=template.escape, **options)

    @classmethod
    def for_policy(
        cls, policy: ShuntPolicy, template: PromptPruningTemplate | None = None, **options: Any
    ) -> PromptPruningOutputParser:
        """Return the parser of a policy's classes, which reads log-probabilities as the policy has learned to.

        Args:
            policy: Its `PruningFacts` may hold a calibration of the large model's log-probabilities.
            template: The prompt, for its descriptions, aliases and answer style; by default the bare labels.
            **options: The parser's own.

        Raises:
            PolicyError: `policy` is none.
        """
        require_policy(policy)
        options = {"label_prior": LabelPrior.of_policy(policy), **options}
        if template is None:
            return cls(policy.classes, **options)
        return cls.for_template(template, **options)

    @property
    def space(self) -> LabelSpace:
        """The label space that this parser shares with its prompt."""
        return self._reader.space

    @property
    @override
    def OutputType(self) -> Any:
        """Return ``str``, or ``str | None`` where an invalid reply gives None."""
        return str | None if self.on_invalid == "none" else str

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    @override
    def lc_attributes(self) -> builtins.dict[str, Any]:
        return {"label_prior": None if self.label_prior is None else self.label_prior.to_dict()}

    @property
    @override
    def _type(self) -> str:
        return "prompt_pruning"

    @override
    def get_format_instructions(self) -> str:
        """Return the sentence that tells an LLM how to answer."""
        return self._reader.instruction()

    def distribution(self, message: BaseMessage, candidates: Iterable[str] | None = None) -> builtins.dict[str, float]:
        """Return how likely the model found each candidate, by the first tokens of its answer.

        Args:
            message: A reply with ``top_logprobs``.
            candidates: The labels that are possible, all by default; the escape option always is.

        Returns:
            Option to probability; they sum to 1, and `label_prior` is taken off.

        Raises:
            InvalidInputError: The reply carries no log-probabilities that tell the candidates apart.
        """
        return self._reader.distribution(message, None if candidates is None else tuple(candidates))

    @override
    def invoke(self, input: str | BaseMessage, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return self._call_with_config(
            self._answer,  # type: ignore[arg-type]  # config is passed by name
            input,
            config,
            run_type="parser",
        )

    @override
    async def ainvoke(self, input: str | BaseMessage, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return await self._acall_with_config(
            self._aanswer,  # type: ignore[arg-type]  # config is passed by name
            input,
            config,
            run_type="parser",
        )

    @override
    def transform(
        self, input: Iterator[str | BaseMessage], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[str]:
        yield from self._transform_stream_with_config(
            input,
            self._transform,  # type: ignore[arg-type]  # config is passed by name
            config,
            run_type="parser",
        )

    @override
    async def atransform(
        self, input: AsyncIterator[str | BaseMessage], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[str]:
        async for label in self._atransform_stream_with_config(
            input,
            self._atransform,  # type: ignore[arg-type]  # config is passed by name
            config,
            run_type="parser",
        ):
            yield label

    @override
    def parse(self, text: str) -> str:
        """Read a text alone, with all labels possible."""
        return self._settled(text, self._read(text, NOTHING_DECIDED), NOTHING_DECIDED)

    @override
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> str:
        """Read the first generation, with its message's record; a part of a reply is read as if it were all."""
        first = result[0]
        reply = first.message if isinstance(first, ChatGeneration) else first.text
        known = decided(reply, {})
        return self._settled(reply, self._read(reply, known), known)

    def _answer(self, reply: str | BaseMessage, config: RunnableConfig) -> str:
        known = decided(reply, config)
        reading = self._read(reply, known)
        answer = self._settled(reply, reading, known)
        if (event := self._event(reply, reading, answer)) is not None:
            dispatch_custom_event(*event, config=config)
        return answer

    async def _aanswer(self, reply: str | BaseMessage, config: RunnableConfig) -> str:
        known = decided(reply, config)
        reading = self._read(reply, known)
        answer = self._settled(reply, reading, known)
        if (event := self._event(reply, reading, answer)) is not None:
            await adispatch_custom_event(*event, config=config)
        return answer

    def _transform(self, chunks: Iterator[str | BaseMessage], config: RunnableConfig) -> Iterator[str]:
        reply: Any = None
        for chunk in chunks:
            reply = as_chunk(chunk) if reply is None else reply + as_chunk(chunk)
        yield self._answer("" if reply is None else reply, config)

    async def _atransform(self, chunks: AsyncIterator[str | BaseMessage], config: RunnableConfig) -> AsyncIterator[str]:
        reply: Any = None
        async for chunk in chunks:
            reply = as_chunk(chunk) if reply is None else reply + as_chunk(chunk)
        yield await self._aanswer("" if reply is None else reply, config)

    def _read(self, reply: str | BaseMessage, known: Decided) -> Reading:
        if known.by_small:
            return Reading(self._reader.small_answer(text_of(reply)))
        return self._reader.read(reply, known.candidates)

    def _settled(self, reply: str | BaseMessage, reading: Reading, known: Decided) -> str:
        """Return the label, or what `on_invalid` says; raise where it says so, or has nothing to fall back on."""
        if reading.label is not None:
            return reading.label
        if self.on_invalid == "none":
            return None  # type: ignore[return-value]  # OutputType says so; the base class is generic in one type
        if self.on_invalid == "small" and known.best is not None:
            return self._reader.small_answer(known.best)
        why = "" if self.on_invalid == "raise" else " (and no small model's answer is known here to fall back on)"
        raise OutputParserException(
            f"the reply cannot be read as one label: {reading.problem}{why}",
            observation=self._reader.instruction(known.candidates),
            llm_output=raw_of(reply),
            send_to_llm=True,
        )

    def _event(
        self, reply: str | BaseMessage, reading: Reading, answer: str | None
    ) -> tuple[str, builtins.dict[str, Any]] | None:
        """Return the name and the data of what callbacks are told of a reading; None where that is nothing."""
        if reading.label is not None:
            told = reading.probabilities
            return None if told is None else (LABEL_DISTRIBUTION_EVENT, {"probabilities": {**told}})
        return INVALID_REPLY_EVENT, {
            "reply": raw_of(reply),
            "problem": reading.problem,
            "on_invalid": self.on_invalid,
            "answer": answer,
        }
