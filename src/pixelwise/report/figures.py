"""Series of numbers in, figures out: bars and curves as SVG in which text is text.

They are written here and not by matplotlib: a report then needs nothing but the core, its text can be searched, read aloud
and enlarged, and a page stays small. A figure is one picture to a screen reader; its numbers stand in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pixelwise.report.colours import CURVES
from pixelwise.report.markup import Markup, element, joined

WIDTH = 720
LETTER = 6.6
"""Width to allow for a letter of 12 pixels' height: fonts differ, so it is a generous one."""

LONGEST_NAME = 28
THICK = 14
"""Height of a bar, with the gap to the next: its number, of 12 pixels, fits behind it."""

DASHES = (None, "7 3", "2 3", "9 3 2 3", "4 2", "1 2")
"""Tell curves apart where there are no colours."""


@dataclass(frozen=True)
class Bars:
    """One bar a label: fractions 0..1, NaN where there is nothing to measure."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Curve:
    """Points to join by lines; those with a NaN are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def percent(value: float, digits: int = 1) -> str:
    """A fraction as people read it: `percent(0.625)` is "62.5", and NaN "n/a"."""
    return "n/a" if math.isnan(value) else f"{100 * value:.{digits}f}".replace("-", "−")


def bars(title: str, labels: Sequence[str], series: Sequence[Bars]) -> Markup:
    """A row a label with a bar a series, on a scale from 0 to 100 %; `title` says what is seen, for those who do not see it.

    Raises `ValueError` if a series has not one value a label.
    """
    for one in series:
        if len(one.values) != len(labels):
            raise ValueError(f"{one.name}: {len(one.values)} values for {len(labels)} labels")
    pitch = THICK * len(series) + 8
    left = 14 + LETTER * min(LONGEST_NAME, max(len(label) for label in labels))
    right = WIDTH - 60
    top = 24 * _legend_lines(series) + 6
    bottom = top + pitch * len(labels)
    pieces = [_legend(series)]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = left + tick * (right - left)
        pieces += [_line(x, top, x, bottom, class_="grid"), _text(x, bottom + 16, f"{100 * tick:.0f} %", "middle")]
    for row, label in enumerate(labels):
        y = top + pitch * row + 4
        pieces.append(_text(left - 6, y + THICK * len(series) / 2 + 4, _shortened(label), "end"))
        for place, one in enumerate(series):
            told = f"{label}, {one.name}: {percent(one.values[row])} %"
            pieces.append(_bar(told, one.values[row], (left, right), y + THICK * place, _colour(place)))
    return _svg(title, bottom + 24, *pieces)


def _bar(told: str, value: float, scale: tuple[float, float], y: float, colour: str) -> Markup:
    """A bar with its number behind it; `told` is shown under the pointer, and `scale` are the places of 0 and 1."""
    zero, one = scale
    if math.isnan(value):
        return _text(zero + 4, y + THICK / 2 + 4, percent(value))
    length = value * (one - zero)
    bar = element("rect", x=zero, y=y, width=length, height=THICK - 1, fill=colour, class_="bar")
    return element("g", element("title", told), bar, _text(zero + length + 5, y + THICK / 2 + 4, percent(value)))


def curves(
    title: str,
    series: Sequence[Curve],
    *,
    x: str,
    y: str,
    marks: Mapping[float, str] | None = None,
    unit_square: bool = False,
) -> Markup:
    """Curves over one pair of axes, named `x` and `y`; the values of y are fractions, shown in percent.

    `marks` are places on the x axis with what to write there. `unit_square` makes both axes 0..1 and draws the diagonal
    on which x equals y. Raises `ValueError` if there is no point at all.
    """
    points = [_known(curve) for curve in series]
    every = [point for some in points for point in some]
    if not every:
        raise ValueError("there is no point to draw")
    frame = _Frame.around(every, top=24 * _legend_lines(series) + 10, unit_square=unit_square)
    pieces = [_legend(series), *_axes(frame, x, y, unit_square)]
    for place, words in (marks or {}).items():
        across = frame.across(place)
        pieces += [
            _line(across, frame.top, across, frame.bottom, class_="mark"),
            _text(across + 4, frame.top + 12, words),
        ]
    for number, (curve, known) in enumerate(zip(series, points, strict=True)):
        colour, dashes = _colour(number), DASHES[number % len(DASHES)]
        way = " ".join(f"{frame.across(right):.2f},{frame.up(value):.2f}" for right, value in known)
        pieces.append(
            element("polyline", points=way, fill="none", stroke=colour, stroke_width=2, stroke_dasharray=dashes)
        )
        for right, value in known:
            told = f"{curve.name}, {x} {right:.4g}: {percent(value)} %"
            hint = element("title", told)
            pieces.append(element("circle", hint, cx=frame.across(right), cy=frame.up(value), r=2.5, fill=colour))
    return _svg(title, frame.bottom + 44, *pieces)


@dataclass(frozen=True)
class _Frame:
    """Where values come to lie: the ranges of both axes, and the place of the plot in the figure."""

    lowest_x: float
    highest_x: float
    lowest_y: float
    highest_y: float
    top: float
    left: float = 64
    right: float = WIDTH - 20
    height: float = 300

    @classmethod
    def around(cls, points: Sequence[tuple[float, float]], *, top: float, unit_square: bool) -> _Frame:
        if unit_square:
            return cls(0, 1, 0, 1, top, right=64 + 340, height=340)
        lowest, highest = min(y for _, y in points), max(y for _, y in points)
        step = _step(max(highest - lowest, 0.02))
        # A little room for curves that are level; fractions are never outside 0..1.
        low = max(0.0, (math.floor(lowest / step + 1e-9) - (lowest == highest)) * step)
        high = min(1.0, (math.ceil(highest / step - 1e-9) + (lowest == highest)) * step)
        return cls(0, max(x for x, _ in points) or 1.0, low, high, top)

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def across(self, x: float) -> float:
        return self.left + (x - self.lowest_x) / (self.highest_x - self.lowest_x) * (self.right - self.left)

    def up(self, y: float) -> float:
        return self.bottom - (y - self.lowest_y) / (self.highest_y - self.lowest_y) * self.height


def _axes(frame: _Frame, x: str, y: str, percent_across: bool) -> Iterator[Markup]:
    for tick in _ticks(frame.lowest_y, frame.highest_y):
        yield _line(frame.left, frame.up(tick), frame.right, frame.up(tick), class_="grid")
        yield _text(frame.left - 6, frame.up(tick) + 4, f"{100 * tick:.6g} %", "end")
    for tick in _ticks(frame.lowest_x, frame.highest_x):
        yield _text(
            frame.across(tick), frame.bottom + 16, f"{100 * tick:.3g} %" if percent_across else f"{tick:.4g}", "middle"
        )
    yield _line(frame.left, frame.bottom, frame.right, frame.bottom, class_="axis")
    if percent_across:
        yield _line(frame.left, frame.bottom, frame.right, frame.top, class_="mark")
    yield _text((frame.left + frame.right) / 2, frame.bottom + 36, x, "middle")
    middle = (frame.top + frame.bottom) / 2
    yield _text(14, middle, y, "middle", transform=f"rotate(-90 14 {middle:.0f})")


def _ticks(low: float, high: float) -> Iterator[float]:
    step = _step(high - low)
    for count in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield count * step


def _step(span: float) -> float:
    """The widest of 1, 2 and 5 times a power of ten that cuts `span` into four parts at least."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= span / 4 * (1 + 1e-9))


def _known(curve: Curve) -> list[tuple[float, float]]:
    points = zip(curve.x, curve.y, strict=True)
    return [(float(x), float(y)) for x, y in points if not (math.isnan(x) or math.isnan(y))]


def _legend_places(series: Sequence[Bars | Curve]) -> list[tuple[float, int]]:
    """Where the entries of a legend begin: (x, line)."""
    places, x, line = [], 14.0, 0
    for one in series:
        wide = 34 + LETTER * len(one.name)
        if x > 14 and x + wide > WIDTH:
            x, line = 14.0, line + 1
        places.append((x, line))
        x += wide + 12
    return places


def _legend_lines(series: Sequence[Bars | Curve]) -> int:
    """How many lines the legend takes; one series alone needs none."""
    return _legend_places(series)[-1][1] + 1 if len(series) > 1 else 0


def _legend(series: Sequence[Bars | Curve]) -> Markup:
    pieces: list[Markup] = []
    if not _legend_lines(series):
        return Markup()
    for number, (one, (x, line)) in enumerate(zip(series, _legend_places(series), strict=True)):
        colour, middle = _colour(number), 24 * line + 12
        if isinstance(one, Bars):
            pieces.append(element("rect", x=x, y=middle - 6, width=22, height=12, fill=colour))
        else:
            dashes = DASHES[number % len(DASHES)]
            pieces.append(_line(x, middle, x + 22, middle, stroke=colour, stroke_width=2, stroke_dasharray=dashes))
        pieces.append(_text(x + 28, middle + 4, one.name))
    return joined(*pieces)


def _colour(number: int) -> str:
    return CURVES[number % len(CURVES)]


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _line(x1: float, y1: float, x2: float, y2: float, **style: str | float | None) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **style)


def _text(x: float, y: float, words: str, anchor: str = "start", **style: str | float | None) -> Markup:
    return element("text", words, x=x, y=y, text_anchor=anchor, **style)


def _svg(title: str, height: float, *pieces: str) -> Markup:
    size = {"viewBox": f"0 0 {WIDTH} {math.ceil(height)}", "role": "img", "aria_label": title}
    return element("svg", *pieces, class_="figure", **size)
