"""What the page is made of; the template knows these and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Headline:
    """A number that stands large at the top.

    Attributes:
        name: What it is.
        value: As it is printed.
        certainty: Its n and its interval.
        meaning: One line in plain words.
    """

    name: str
    value: str
    certainty: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        columns: Headings; those that end in ``#`` are of numbers.
        rows: Texts, one a column; what stands behind a line break is shown smaller, such as an interval.
        emphasised: Index of the row that stands for the present state; None for none.
        texts: Whether the cells hold inputs, which may be long.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    emphasised: int | None = None
    texts: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with what it says, and its numbers as a table.

    Attributes:
        title: Of the figure.
        svg: The drawing.
        meaning: One line in plain words, with n.
        numbers: What is drawn.
        legend: Names of fills, and what they stand for.
    """

    title: str
    svg: Markup
    meaning: str
    numbers: Table
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report.

    Attributes:
        name: Anchor, of letters and hyphens.
        title: Heading.
        paragraphs: Plain sentences.
        charts: Side by side where there is room.
        tables: Below.
        notes: What must be known to read them rightly.
    """

    name: str
    title: str
    paragraphs: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Page:
    """The report.

    Attributes:
        title: Of the page.
        about: What it is made from: period, policy, tenant.
        summary: The first sentences.
        headlines: The numbers at the top.
        sections: The rest.
        written: When.
        version: Of this package.
    """

    title: str
    about: Sequence[tuple[str, str]]
    summary: Sequence[str]
    headlines: Sequence[Headline]
    sections: Sequence[Section]
    written: str
    version: str
