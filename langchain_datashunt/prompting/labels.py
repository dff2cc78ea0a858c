"""The label space that the pruning prompt and its parser share: labels, other names, and how an LLM answers."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.small_models import label_name

AnswerStyle = Literal["label", "number", "letter", "schema"]
"""What the LLM is to write: the label itself, or its number (``"2"``) or letter (``"B"``) in the list of labels; with
``"schema"`` a schema or a tool says it, and the prompt does not.

Numbers (to nine labels) and letters (to 26) give each label a first token of its own, which log-probabilities need.
"""

Labels = Sequence[Any] | NDArray[Any] | Mapping[Any, str]
"""Labels, or label -> description."""

_TYPOGRAPHY = str.maketrans("\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb", "'''" + 5 * '"')
_SEPARATORS = re.compile(r"(?<=[^\W_])[ \t_-]+(?=[^\W_])")
_BULLETS = re.compile(r"^(?:[-\u2013\u2014\u2022\u2192*+>#]+|=>)\s+")
_WRAPPING_LEFT = " \t\r\n\"'`*_#>([{<.,:;!|\u2192\u2022"
_WRAPPING_RIGHT = " \t\r\n\"'`*_>)]}.,:;!|"


@dataclass(frozen=True)
class LabelSpace:
    """Labels and every name that an LLM may give them.

    Names are compared without regard to case, typographic quotes, surrounding punctuation or markdown, and with space,
    ``_`` and ``-`` taken as one: ``**Card-Arrival**.`` names ``card_arrival``. Make one with `of`.

    Attributes:
        descriptions: Label to its description, ``""`` where there is none; the keys are the labels, in order.
        aliases: Label to its other names.
        answer: What the LLM is asked to write.
        escape: The option that is no label ("none of these"); it stands last, and is possible for every input.
    """

    descriptions: Mapping[str, str]
    aliases: Mapping[str, tuple[str, ...]]
    answer: AnswerStyle
    escape: str | None

    @classmethod
    def of(
        cls,
        labels: Labels,
        *,
        aliases: Mapping[Any, Iterable[str]] | None = None,
        answer: AnswerStyle = "label",
        escape: str | None = None,
    ) -> LabelSpace:
        """Return the label space; numbers and bools among the labels become strings.

        Raises:
            CompositionError: There are no labels, one is no single line of text, two names cannot be told apart, an
                alias belongs to no label, or there are more labels than letters.
        """
        if isinstance(labels, str | bytes) or not isinstance(labels, Sequence | Mapping | np.ndarray):
            raise CompositionError(f"labels are a list, or a mapping label -> description; got {labels!r}")
        names = [label_name(label) for label in labels]
        texts = [str(text or "") for text in labels.values()] if isinstance(labels, Mapping) else [""] * len(names)
        other_names = _checked_aliases(aliases or {}, names)
        if answer not in get_args(AnswerStyle):
            raise CompositionError(f"answer is one of {list(get_args(AnswerStyle))}; got {answer!r}")
        space = cls(dict(zip(names, texts, strict=True)), other_names, answer, escape)
        _check_options(names if escape is None else [*names, escape], answer)
        _ = space.names  # raises where two names cannot be told apart
        return space

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in order."""
        return tuple(self.descriptions)

    @property
    def options(self) -> tuple[str, ...]:
        """What an answer can be: the labels, and the escape option where there is one."""
        return self.labels if self.escape is None else (*self.labels, self.escape)

    @cached_property
    def answers(self) -> dict[str, str]:
        """Option to what the LLM is asked to write for it."""
        codes: Iterable[str] = self.options
        if self.answer == "number":
            codes = (str(position) for position in range(1, len(self.options) + 1))
        elif self.answer == "letter":
            codes = string.ascii_uppercase
        return dict(zip(self.options, codes, strict=False))

    @cached_property
    def names(self) -> dict[str, str]:
        """Every folded name (`name_key`) to its option."""
        found: dict[str, str] = {}
        for option in self.options:
            written = (self.answers[option],) if self.answer in ("number", "letter") else ()
            for name in (option, *written, *self.aliases.get(option, ())):
                other = found.setdefault(name_key(name), option)
                if other != option:
                    raise CompositionError(
                        f"{name!r} would name both {other!r} and {option!r} in a reply; rename one, or drop the alias"
                    )
        return found

    @cached_property
    def prose_pattern(self) -> re.Pattern[str] | None:
        """Finds, at each position of a folded reply, the longest name that stands there as words of their own.

        Names with fewer than two letters (codes, ``"C++"``) are left out: in a sentence they can mean anything.
        """
        names = sorted((name for name in self.names if sum(map(str.isalpha, name)) > 1), key=len, reverse=True)
        if not names:
            return None
        alternatives = "|".join(r"[ \t_-]+".join(map(re.escape, name.split(" "))) for name in names)
        return re.compile(rf"(?<![\w+#@])(?<!\w[-'/])(?=({alternatives})(?![\w+#@])(?![-/.]\w))")


def folded(text: str) -> str:
    """Return `text` without what only looks different: case, full-width forms, curly quotes, invisible characters."""
    compatible = unicodedata.normalize("NFKC", text).translate(_TYPOGRAPHY)
    return "".join(sign for sign in compatible if unicodedata.category(sign) != "Cf").casefold()


def name_key(text: str) -> str:
    """Return the form in which names are compared; a name of nothing but punctuation stays as it is."""
    spaced = _SEPARATORS.sub(" ", folded(text)).strip()
    bare, before = spaced, ""
    while bare != before:
        before = bare
        bare = _BULLETS.sub("", bare.strip()).lstrip(_WRAPPING_LEFT).rstrip(_WRAPPING_RIGHT)
    return bare or spaced


def _checked_aliases(aliases: Mapping[Any, Iterable[str]], labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    checked = {}
    for label, names in aliases.items():
        if label_name(label) not in labels:
            raise CompositionError(f"aliases name {label!r}, which is no label; the labels are {list(labels)}")
        if isinstance(names, str):
            raise CompositionError(f"the aliases of {label!r} are a list of names; got the string {names!r}")
        checked[label_name(label)] = tuple(names)
    return checked


def _check_options(options: Sequence[str], answer: AnswerStyle) -> None:
    if not options:
        raise CompositionError("a label space needs at least one label; got none")
    repeated = sorted({option for option in options if options.count(option) > 1})
    if repeated:
        raise CompositionError(f"each label stands once; {repeated} stand more than once in {list(options)}")
    for option in options:
        if not name_key(option) or len(option.splitlines()) != 1:
            raise CompositionError(f"a label is one line of text; got {option!r}")
    if answer == "letter" and len(options) > len(string.ascii_uppercase):
        raise CompositionError(f"answer='letter' has 26 letters for {len(options)} options; use answer='number'")
