"""Figures read back as what they are, XML: lengths and places are in proportion, and texts are texts."""

import itertools
import math
import xml.etree.ElementTree as ET

import pytest

from pixelwise.report.figures import WIDTH, Bars, Curve, bars, curves, percent
from pixelwise.report.markup import Markup, element, joined


def drawn(figure: Markup) -> ET.Element:
    return ET.fromstring(figure)


def texts(figure: ET.Element) -> list[str]:
    return [text.text or "" for text in figure.iter("text")]


def lengths(figure: ET.Element) -> list[float]:
    return [float(bar.attrib["width"]) for bar in figure.iter("rect") if bar.get("class") == "bar"]


def test_bars_are_as_long_as_their_numbers():
    figure = drawn(bars("IoU", ["cat", "dog", "cow"], [Bars("model", [0.2, 0.8, 1.0])]))
    cat, dog, cow = lengths(figure)
    assert (cat / cow, dog / cow) == pytest.approx((0.2, 0.8), abs=1e-3)
    zero, full = (float(line.attrib["x1"]) for line in list(figure.iter("line"))[:: len(list(figure.iter("line"))) - 1])
    assert cow == pytest.approx(full - zero, abs=0.02)  # the scale ends at 100 %
    assert {"cat", "dog", "cow", "20.0", "80.0", "100.0", "0 %", "100 %"} <= set(texts(figure))


def test_nothing_to_measure_is_no_bar_and_says_so():
    figure = drawn(bars("IoU", ["cat", "dog"], [Bars("model", [math.nan, 0.5])]))
    assert len(lengths(figure)) == 1
    assert "n/a" in texts(figure)


def test_every_row_has_a_bar_a_model_in_colours_that_the_legend_names():
    figure = drawn(bars("IoU", ["cat", "dog"], [Bars("one", [0.1, 0.2]), Bars("other", [0.3, 0.4])]))
    assert [length / max(lengths(figure)) for length in lengths(figure)] == pytest.approx(
        [0.25, 0.75, 0.5, 1], abs=1e-3
    )
    of_bars = [bar.attrib["fill"] for bar in figure.iter("rect") if bar.get("class") == "bar"]
    of_legend = [patch.attrib["fill"] for patch in figure.iter("rect") if patch.get("class") is None]
    assert of_bars == of_legend * 2
    assert len(set(of_legend)) == 2
    assert texts(figure)[:2] == ["one", "other"]


def test_bars_lie_below_each_other():
    figure = drawn(bars("IoU", ["cat", "dog"], [Bars("one", [0.1, 0.2]), Bars("other", [0.3, 0.4])]))
    rows = [(float(b.attrib["y"]), float(b.attrib["height"])) for b in figure.iter("rect") if b.get("class") == "bar"]
    assert all(y + height <= below for (y, height), (below, _) in itertools.pairwise(rows))
    _, _, width, height = map(float, figure.attrib["viewBox"].split())
    assert width == WIDTH
    assert rows[-1][0] + rows[-1][1] < height


def test_values_without_their_labels_are_refused():
    with pytest.raises(ValueError, match="one: 1 values for 2 labels"):
        bars("IoU", ["cat", "dog"], [Bars("one", [0.1])])


def points(figure: ET.Element) -> list[list[tuple[float, float]]]:
    ways = (way.attrib["points"].split() for way in figure.iter("polyline"))
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in way)] for way in ways]


def test_points_of_a_curve_are_in_proportion():
    figure = drawn(curves("title", [Curve("model", [0, 10, 40], [0.5, 0.6, 0.9])], x="px", y="accuracy"))
    ((x0, y0), (x1, y1), (x2, y2)) = points(figure)[0]
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.25, abs=1e-3)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(0.25, abs=1e-3)
    assert y2 < y0  # upwards is less in SVG
    assert {"px", "accuracy", "50 %", "90 %", "40"} <= set(texts(figure))


def test_marks_stand_at_their_places():
    figure = drawn(curves("title", [Curve("m", [0, 40], [0, 1])], x="px", y="acc", marks={10: "10 px"}))
    (begin, end) = points(figure)[0]
    (mark,) = (line for line in figure.iter("line") if line.get("class") == "mark")
    assert (float(mark.attrib["x1"]) - begin[0]) / (end[0] - begin[0]) == pytest.approx(0.25, abs=1e-3)
    assert mark.attrib["x1"] == mark.attrib["x2"]
    assert "10 px" in texts(figure)


def test_points_that_are_not_there_are_left_out():
    figure = drawn(curves("title", [Curve("m", [1, math.nan, 3], [0.5, 0.6, math.nan])], x="px", y="acc"))
    assert [len(way) for way in points(figure)] == [1]
    with pytest.raises(ValueError, match="no point"):
        curves("title", [Curve("m", [1], [math.nan])], x="px", y="acc")


def test_on_a_unit_square_a_point_with_equal_values_lies_on_the_diagonal():
    figure = drawn(curves("title", [Curve("m", [0.25, 0.5], [0.25, 0.9])], x="conf", y="acc", unit_square=True))
    (diagonal,) = (line for line in figure.iter("line") if line.get("class") == "mark")
    x1, y1, x2, y2 = (float(diagonal.attrib[name]) for name in ("x1", "y1", "x2", "y2"))
    on, above = points(figure)[0]
    assert on == pytest.approx((x1 + 0.25 * (x2 - x1), y1 + 0.25 * (y2 - y1)), abs=0.02)
    assert above[1] < y1 + (above[0] - x1) / (x2 - x1) * (y2 - y1)


@pytest.mark.parametrize("values", [[0.5, 0.5], [0.0, 0.0], [1.0, 1.0], [0.871, 0.872], [0.0, 1.0]])
def test_whatever_the_values_the_points_are_inside_and_ticks_are_few(values):
    figure = drawn(curves("title", [Curve("m", [1, 2], values)], x="px", y="acc"))
    _, _, width, height = map(float, figure.attrib["viewBox"].split())
    assert all(0 < x < width and 0 < y < height for x, y in points(figure)[0])
    ticks = [words for words in texts(figure) if words.endswith(" %")]
    assert 2 <= len(ticks) <= 12
    assert len(set(ticks)) == len(ticks)


def test_many_models_have_a_legend_of_several_lines_inside_the_figure():
    names = [f"a model of a long name, number {number}" for number in range(8)]
    figure = drawn(curves("title", [Curve(name, [1, 2], [0.1, 0.2]) for name in names], x="px", y="acc"))
    places = {text.text: (float(text.attrib["x"]), float(text.attrib["y"])) for text in figure.iter("text")}
    assert len({places[name] for name in names}) == 8
    assert all(places[name][0] + 6 * len(name) < WIDTH for name in names)
    assert max(places[name][1] for name in names) < min(y for _, y in points(figure)[0])


def test_a_figure_says_what_it_shows_and_no_name_breaks_it():
    figure = drawn(bars('5 < "6" & 7', ["<b>cat</b>"], [Bars("a&b", [0.5])]))
    assert figure.attrib["aria-label"] == '5 < "6" & 7'
    assert figure.attrib["role"] == "img"
    assert "<b>cat</b>" in texts(figure)


def test_long_names_are_shortened_and_told_in_full():
    name = "a class whose name is far too long for the margin"
    figure = drawn(bars("IoU", [name], [Bars("model", [0.5])]))
    assert any(words.endswith("…") for words in texts(figure))
    assert any(name in (title.text or "") for title in figure.iter("title"))


def test_percentages_as_people_read_them():
    assert [percent(0.625), percent(1.0, 0), percent(-0.0123, 2), percent(math.nan)] == ["62.5", "100", "−1.23", "n/a"]


def test_text_is_escaped_and_markup_is_not():
    assert element("p", "1 < 2", element("b", "&")) == "<p>1 &lt; 2<b>&amp;</b></p>"
    assert joined("<", Markup("<br>")) == "&lt;<br>"


def test_attributes():
    assert element("td", "x", class_="own", aria_label='"', width=2.5, height=3.0, hidden=False, id=None) == (
        '<td class="own" aria-label="&quot;" width="2.5" height="3">x</td>'
    )
    assert element("details", open=True) == "<details open></details>"
    assert element("img", alt="", x=-0.001) == '<img alt="" x="0">'
