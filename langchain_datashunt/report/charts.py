"""Charts as inline SVG: small, without scripts and styles of their own, readable without colour.

Colours and line widths are classes, so that the page's style sheet gives them, light and dark. Texts are escaped by
`Markup.format`. They are made by hand because matplotlib's SVG brings fixed colours, texts drawn as paths and tens of
kilobytes a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

WIDTH, HEIGHT = 420, 250
"""Units of a chart; a phone shows them a little smaller, a desktop a little larger."""

LEFT, RIGHT, TOP, BOTTOM = 52, 20, 14, 42


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis.

    Attributes:
        low: Value at its beginning.
        high: Value at its end.
        title: What it shows, with the unit.
        percent: Whether values are shares.
    """

    low: float
    high: float
    title: str
    percent: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at the beginning and 1 at the end."""
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Return round values to write at the axis."""
        raw = (self.high - self.low) / wanted
        magnitude = 10 ** floor(log10(raw))
        step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
        first = ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, floor(self.high / step + 1e-9) + 1)]

    def label(self, value: float) -> str:
        """Return what is written at a tick."""
        shown = 100 * value if self.percent else value
        return f"{shown:,.6g}{'%' if self.percent else ''}".replace(",", "\u202f")


@dataclass(frozen=True, slots=True)
class Point:
    """An estimate with its interval, and whether it is the present one."""

    x: float
    y: float
    low: float
    high: float
    present: bool = False


class Canvas:
    """A chart that is being drawn: two axes, and what is put on them."""

    def __init__(self, name: str, title: str, description: str, x: Axis, y: Axis) -> None:
        """Begin a chart.

        Args:
            name: Identity on the page, of letters.
            title: Read by screen readers.
            description: Likewise: what the chart says, in a sentence.
            x: The axis below.
            y: The axis at the left.
        """
        self._parts: list[Markup] = []
        self._name, self._title, self._description = name, title, description
        self.x, self.y = x, y

    def left(self, value: float) -> float:
        """Return the horizontal place of a value."""
        return round(LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT), 1)

    def top(self, value: float) -> float:
        """Return the vertical place of a value."""
        return round(HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM), 1)

    def axes(self, x_ticks: Sequence[tuple[float, str]] | None = None, *, y_ticks: bool = True) -> None:
        """Draw grid, ticks and titles.

        Args:
            x_ticks: Values and what is written there; by default round values.
            y_ticks: Whether the axis at the left has any.
        """
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        for value in self.y.ticks(4) if y_ticks else ():
            at = self.top(value)
            self.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', LEFT, right, at, at)
            self.text(LEFT - 6, at + 4, self.y.label(value), "tick end")
        for value, label in x_ticks or [(value, self.x.label(value)) for value in self.x.ticks()]:
            at = self.left(value)
            self.add('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>', at, at, bottom, bottom + 4)
            self.text(at, bottom + 16, label, "tick middle")
        self.add('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>', LEFT, right, bottom, bottom)
        self.text((LEFT + right) / 2, HEIGHT - 7, self.x.title, "title middle")
        turned = '<text class="title middle" transform="translate(13 {}) rotate(-90)">{}</text>'
        self.add(turned, (TOP + bottom) / 2, self.y.title)

    def add(self, markup: str, *values: object) -> None:
        """Draw something; values are escaped."""
        self._parts.append(Markup(markup).format(*values))  # noqa: S704  constants; values are escaped

    def text(self, x: float, y: float, text: str, classes: str) -> None:
        """Write something."""
        self.add('<text class="{}" x="{}" y="{}">{}</text>', classes, x, y, text)

    def rectangle(self, classes: str, left: float, right: float, low: float, high: float) -> None:
        """Draw a rectangle between values."""
        x, y = self.left(left), self.top(high)
        width, height = round(self.left(right) - x, 1), round(self.top(low) - y, 1)
        self.add('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>', classes, x, y, max(width - 1, 0.5), height)

    def vertical(self, value: float, label: str) -> None:
        """Draw a dashed line at a value of the axis below, with a label beside it."""
        at, bottom = self.left(value), HEIGHT - BOTTOM
        self.add('<line class="mark" x1="{}" x2="{}" y1="{}" y2="{}"/>', at, at, TOP, bottom)
        beyond = at > (LEFT + WIDTH) / 2
        self.text(at + (-5 if beyond else 5), TOP + 9, label, f"note {'end' if beyond else 'start'}")

    def horizontal(self, value: float, label: str) -> None:
        """Draw a dashed line at a value of the left axis, with a label above it."""
        at = self.top(value)
        self.add('<line class="mark" x1="{}" x2="{}" y1="{}" y2="{}"/>', LEFT, WIDTH - RIGHT, at, at)
        self.text(LEFT + 5, at - 5 if at > TOP + 14 else at + 13, label, "note start")

    def path(self, classes: str, points: Sequence[tuple[float, float]]) -> None:
        """Draw a line through points."""
        places = " ".join(f"{self.left(x)},{self.top(y)}" for x, y in points)
        self.add('<polyline class="{}" points="{}"/>', classes, places)

    def estimates(self, points: Sequence[Point]) -> None:
        """Draw estimates with their intervals; the present one is a square with a word beside it."""
        self.path("line", [(point.x, point.y) for point in points])
        for point in points:
            x, y = self.left(point.x), self.top(point.y)
            ends = (self.top(point.high), self.top(point.low))
            self.add('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, *ends)
            if point.present:
                self.add('<rect class="present" x="{}" y="{}" width="10" height="10"/>', x - 5, y - 5)
                self.text(x, max(ends[0] - 5, TOP), "now", "note middle")
            else:
                self.dot(point.x, point.y)

    def dot(self, x: float, y: float) -> None:
        """Draw a dot at values."""
        self.add('<circle class="dot" cx="{}" cy="{}" r="3.5"/>', self.left(x), self.top(y))

    def svg(self) -> Markup:
        """Return the chart."""
        head = Markup(
            '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-title {n}-desc">'
            '<title id="{n}-title">{t}</title><desc id="{n}-desc">{d}</desc>'
            '<defs><pattern id="{n}-hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6"/>'
            '<line class="hatch-line" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
        ).format(w=WIDTH, h=HEIGHT, n=self._name, t=self._title, d=self._description)
        return head + Markup("").join(self._parts) + Markup("</svg>")

    def hatched(self, left: float, right: float, low: float, high: float) -> None:
        """Draw a hatched rectangle between values."""
        x, y = self.left(left), self.top(high)
        width, height = round(self.left(right) - x, 1), round(self.top(low) - y, 1)
        markup = '<rect class="outlined" fill="url(#{}-hatch)" x="{}" y="{}" width="{}" height="{}"/>'
        self.add(markup, self._name, x, y, max(width - 1, 0.5), height)


def reliability_canvas(name: str, title: str, description: str, floor: float) -> Canvas:
    """Return a chart of right answers against confidence, both from `floor` to 1, with the line on which they agree."""
    axes = (Axis(floor, 1, "confidence", percent=True), Axis(floor, 1, "right", percent=True))
    canvas = Canvas(name, title, description, *axes)
    canvas.axes()
    canvas.path("mark", [(floor, floor), (1, 1)])
    return canvas


def nice_high(value: float) -> float:
    """Return a round number at or a little above a value, for the end of an axis."""
    if value <= 0:
        return 1.0
    magnitude = 10.0 ** floor(log10(value))
    return next(factor * magnitude for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if factor * magnitude >= value * 0.9999)
