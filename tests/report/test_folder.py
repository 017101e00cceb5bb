"""A report's folder: the page parsed, its numbers compared with those of the evaluation, and when it is not written."""

import csv
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.report.evaluations import DATA, MODELS, judge, shifted

from pixelwise.data.shapes import LABEL_SPEC, Shapes
from pixelwise.evaluation.bootstrap import difference
from pixelwise.report.figures import percent
from pixelwise.report.folder import refuse_taken, write_report
from pixelwise.report.gallery import chosen, looking_at
from pixelwise.report.judged import TITLES, differences
from pixelwise.report.markup import VOID


class Page(HTMLParser):
    """A page taken apart: every element with its attributes and its text, and whether each begun one is ended."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open, "elements that do not end"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, attrs)
        entry = (tag, dict(attrs), [])
        self.elements.append(entry)
        if tag not in VOID:
            self.open.append(entry)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, texts in self.open:
            texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def texts(self, tag: str) -> list[str]:
        return ["".join(texts) for name, _, texts in self.elements if name == tag]

    def rows(self, caption: str) -> list[list[str]]:
        """The cells of the table with this caption, a list a row."""
        (table,) = (texts for name, _, texts in self.elements if name == "table" and "".join(texts).startswith(caption))
        begin = next(i for i, entry in enumerate(self.elements) if entry[2] is table)
        rows: list[list[str]] = []
        for name, _, texts in self.elements[begin + 1 :]:
            if name == "table":
                break
            if name == "tr":
                rows.append([])
            elif name in ("td", "th"):
                rows[-1].append("".join(texts))
        return rows


@pytest.fixture(scope="module")
def judged():
    return [judge(name) for name in MODELS]


@pytest.fixture(scope="module")
def one(judged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "report"
    write_report(folder, judged[:1], LABEL_SPEC, looking_at(DATA, {"near": MODELS["near"]}))
    return folder


@pytest.fixture(scope="module")
def two(judged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "report"
    write_report(folder, judged, LABEL_SPEC, looking_at(DATA, MODELS), differences(judged))
    return folder


@pytest.fixture(scope="module", params=["one", "two"])
def page(request) -> Page:
    return Page((request.getfixturevalue(request.param) / "report.html").read_text(encoding="utf-8"))


def test_it_is_these_files(one, two):
    for folder in (one, two):
        assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "per_image.csv", "report.html"]


def test_the_page_needs_nothing_else(one, two, page):
    for folder in (one, two):
        text = (folder / "report.html").read_text(encoding="utf-8")
        assert "http://" not in text
        assert "https://" not in text
        assert "@import" not in text
        assert "url(" not in text
    for attributes in page.all("img"):
        assert re.match(r"data:image/(png|jpeg);base64,", attributes["src"] or "")
    assert not page.all("script")
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]
    assert [attributes["href"] for attributes in page.all("link")] == ["data:,"]
    (policy,) = (one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_it_can_be_read_by_everybody(page):
    assert page.all("html") == [{"lang": "en"}]
    assert page.texts("title")[0] == page.texts("h1")[0]
    assert all("alt" in attributes for attributes in page.all("img"))
    assert all(attributes["alt"] for attributes in page.all("img")[:1])
    assert all(attributes.get("role") == "img" and attributes.get("aria-label") for attributes in page.all("svg"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    headings = [int(name[1]) for name, _, _ in page.elements if re.fullmatch(r"h\d", name)]
    assert headings[0] == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(headings))
    assert all("open" in attributes for attributes in page.all("details"))  # what is folded away is not printed


def test_addresses_on_the_page_exist_and_differ(page):
    names = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    ways = [attributes["href"] for attributes in page.all("a")]
    assert len(ways) > 5
    assert {way[1:] for way in ways if way} <= set(names)
    labels = {attributes["aria-labelledby"] for _, attributes, _ in page.elements if "aria-labelledby" in attributes}
    assert labels <= set(names)


def test_tables_have_rows_of_one_length(page):
    for caption in page.texts("caption"):
        assert len({len(row) for row in page.rows(caption)}) == 1, caption


def test_names_are_shown_as_they_are(two):
    page = Page((two / "report.html").read_text(encoding="utf-8"))
    assert page.texts("h1") == ["near, far <off> on shapes"]
    assert any("far <off>: prediction" in text for text in page.texts("span"))


def test_the_numbers_shown_are_those_of_the_evaluation(one, judged):
    page, near = Page((one / "report.html").read_text(encoding="utf-8")), judged[0]
    shown = {row[0]: row[1:] for row in page.rows("The numbers in short")}
    measures = near.evaluation.measures()
    expected = {
        "Mean IoU": measures.mean_iou,
        "Mean accuracy": measures.mean_accuracy,
        "Pixel accuracy": measures.pixel_accuracy,
        "Frequency weighted IoU": measures.frequency_weighted_iou,
        "Mean boundary F1": near.evaluation.boundary_f1().mean_f1,
        "Calibration error (ECE)": near.evaluation.reliability().ece,
    }
    assert set(shown) == {"measure", *expected}
    for title, value in expected.items():
        assert shown[title][0] == f"{100 * value:.2f}", title
    assert set(page.texts("dt")) >= set(expected)  # each is defined
    low, high = (float(bound) for bound in shown["Mean IoU"][1].split(" to "))
    assert low < 100 * measures.mean_iou < high


def test_the_numbers_of_the_classes_are_those_of_the_confusion_matrix(one, judged):
    page, counts = Page((one / "report.html").read_text(encoding="utf-8")), judged[0].evaluation.confusion
    for index, (name, iou, accuracy, precision, pixels, *_) in enumerate(page.rows("Each class")[1:]):
        hits, truth, predicted = counts[index, index], counts[index].sum(), counts[:, index].sum()
        assert name == LABEL_SPEC.names[index]
        assert iou == f"{100 * hits / (truth + predicted - hits):.1f}"
        assert (accuracy, precision) == (f"{100 * hits / truth:.1f}", f"{100 * hits / predicted:.1f}")
        assert pixels == f"{truth:,}"


def test_the_matrix_shows_shares_of_rows(one, judged):
    page, counts = Page((one / "report.html").read_text(encoding="utf-8")), judged[0].evaluation.confusion
    head, *rows = page.rows("Confusion matrix")
    assert head[1:] == list(LABEL_SPEC.names)
    for index, (_, *cells) in enumerate(rows):
        shares = counts[index] / counts[index].sum()
        assert cells == [f"{100 * share:.0f}" if share >= 0.005 else "" for share in shares]


def test_the_mistakes_are_sorted_and_counted(one, judged):
    page, counts = Page((one / "report.html").read_text(encoding="utf-8")), judged[0].evaluation.confusion
    mistakes = page.rows("The most frequent mistakes")[1:]
    pixels = [int(row[2].replace(",", "")) for row in mistakes]
    assert pixels == sorted(pixels, reverse=True)
    assert pixels[0] == (counts - np.diag(np.diag(counts))).max()
    names = LABEL_SPEC.names
    assert [counts[names.index(row[0]), names.index(row[1])] for row in mistakes] == pixels


def test_the_differences_are_those_of_the_bootstrap(two, judged):
    page = Page((two / "report.html").read_text(encoding="utf-8"))
    rows = page.rows("Differences in percentage points")[1:]
    assert [row[2] for row in rows] == [TITLES[measure] for measure in judged[0].intervals]
    found = difference(judged[0].evaluation, judged[1].evaluation, "mean_iou")
    later, first, _, points, bounds, verdict = rows[0]
    assert (later, first) == ("far <off>", "near")
    assert points == percent(found.value, 2)
    assert bounds == f"{percent(found.low, 2)} to {percent(found.high, 2)}"
    assert found.high < 0  # five pixels off are worse than one, on any choice of images
    assert verdict == "more than the choice of images explains"


def test_machines_get_the_same_numbers(one, two, judged):
    numbers = json.loads((one / "metrics.json").read_text(), parse_constant=pytest.fail)
    (model,) = numbers["models"]
    assert model["mean_iou"]["value"] == judged[0].evaluation.measures().mean_iou
    assert model["confusion"] == judged[0].evaluation.confusion.tolist()
    assert [entry["name"] for entry in model["classes"]] == list(LABEL_SPEC.names)
    assert model["trimap"]["accuracy"] == judged[0].trimap.accuracy.tolist()
    assert model["sizes"]["bounds"][-1][1] is None  # JSON has no infinity
    assert numbers["differences"] == []
    both = json.loads((two / "metrics.json").read_text(), parse_constant=pytest.fail)
    (points,) = both["differences"]
    assert points["mean_iou"]["value"] == pytest.approx(
        both["models"][1]["mean_iou"]["value"] - both["models"][0]["mean_iou"]["value"]
    )


def test_every_image_has_a_line(two, judged):
    with (two / "per_image.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["image"]) for row in rows] == [(name, image) for name in MODELS for image in DATA.names]
    assert {int(row["pixels"]) for row in rows} == {48 * 64}
    ours = judged[1].evaluation.of_images()["mean_iou"]
    assert [float(row["mean_iou"]) for row in rows[12:]] == pytest.approx(ours, abs=1e-6)


def test_the_best_the_middle_and_the_worst_are_shown_once(one, judged):
    values = judged[0].per_image["mean_iou"]
    groups = chosen(judged[:1])
    assert list(groups) == ["Best", "In the middle", "Worst"]
    places = [place for group in groups.values() for place in group]
    assert len(set(places)) == 9
    sorted_values = sorted(values, reverse=True)
    shown = [values[place] for place in places]
    assert shown == [*sorted_values[:3], *sorted_values[4:7], *sorted_values[-3:]]
    page = Page((one / "report.html").read_text(encoding="utf-8"))
    captions = [text for text in page.texts("figcaption") if "mean IoU of this image" in text]
    assert [text.split(":")[0] for text in captions] == [DATA.names[place] for place in places]
    assert all(f"{100 * value:.1f}" in text for value, text in zip(shown, captions, strict=True))


def test_models_are_shown_where_they_differ_most(judged):
    spread = np.abs(judged[0].per_image["mean_iou"] - judged[1].per_image["mean_iou"])
    ((_, places),) = chosen(judged).items()
    assert spread[places] == pytest.approx(np.sort(spread)[::-1][:6])


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_images_are_all_shown_and_missing_counts_are_no_sections(count, tmp_path):
    data = Shapes(count=count, size=(48, 64))
    small = judge("near", data, thorough=False)
    path = write_report(tmp_path / "report", [small], LABEL_SPEC, looking_at(data, {"near": MODELS["near"]}))
    page = Page(path.read_text(encoding="utf-8"))
    assert len([text for text in page.texts("figcaption") if "mean IoU of this image" in text]) == count
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == ["numbers", "classes", "confusion", "images"]


def test_models_that_score_the_same_leave_nothing_to_look_at(tmp_path):
    judged = [judge("near"), replace(judge("near"), name="again")]
    look = looking_at(DATA, {"near": MODELS["near"], "again": MODELS["near"]})
    page = Page(write_report(tmp_path / "r", judged, LABEL_SPEC, look, differences(judged)).read_text(encoding="utf-8"))
    assert "All models score the same in every image." in page.texts("p")
    assert page.all("img") == []


def test_a_model_without_mistakes(tmp_path):
    perfect = shifted(0)
    path = write_report(
        tmp_path / "r", [judge("near", predictor=perfect)], LABEL_SPEC, looking_at(DATA, {"near": perfect})
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert "No pixel is predicted wrongly." in page.texts("p")
    assert page.rows("The numbers in short")[1][:2] == ["Mean IoU", "100.00"]


def test_a_report_is_replaced_and_nothing_else_is(tmp_path, judged, refuses):
    look = looking_at(DATA, {"near": MODELS["near"]})
    folder = tmp_path / "report"
    write_report(folder, judged[:1], LABEL_SPEC, look)
    (folder / "metrics.json").write_text("old")
    write_report(folder, judged[:1], LABEL_SPEC, look)
    assert (folder / "metrics.json").read_text() != "old"
    (folder / "thesis.tex").write_text("years of work")
    with refuses("holds other things than a report (thesis.tex)", "choose a new one"):
        write_report(folder, judged[:1], LABEL_SPEC, look)
    assert (folder / "thesis.tex").read_text() == "years of work"
    with refuses("thesis.tex: a file, but a report is a folder"):
        refuse_taken(folder / "thesis.tex")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]


def test_what_cannot_be_looked_at_leaves_no_half_report(tmp_path, judged):
    def broken(name):
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        write_report(tmp_path / "report", judged[:1], LABEL_SPEC, broken)
    assert list(tmp_path.iterdir()) == []
