"""An attempt whose systems are measured in, its tables out: as text, as CSV, and on a page with pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pixelwise.analysis.attempt import Attempt
from pixelwise.analysis.reproduction import RUNS, Row, Table, Training
from pixelwise.evaluation.bootstrap import Interval, difference
from pixelwise.evaluation.evaluate import match_classes
from pixelwise.evaluation.evaluation import BACKGROUND, OBJECT
from pixelwise.files import write_text
from pixelwise.report import tables as markup
from pixelwise.report.figures import percent
from pixelwise.report.gallery import chosen, looking_at
from pixelwise.report.judged import Judged
from pixelwise.report.markup import Markup, element
from pixelwise.report.page import Section, page
from pixelwise.report.strips import legend, occurring, strip
from pixelwise.training.two_stages import TwoStageFolder
from pixelwise.weights.checkpoint import CONFIG

HEAD = ("system", "published", "ours", "95 % interval", "source of the published number")
COMPARED = ("claim", "ours", "beside it", "difference", "95 % interval", "as objects alone", "95 % interval")
LEARNED = ("training", "network", "recipe", "starts from", "steps", "minutes")
NOTHING = "–"

IMAGES = 4
"""So many are shown below a table."""

Judgements = Mapping[tuple[str, str], Judged]
"""Systems with the splits that they were measured on."""


def write_tables(attempt: Attempt, facts: Mapping[str, str]) -> Path:
    """Write `table.md`, `tables.csv` and `page.html` into the attempt's folder; give the text's path.

    `facts` are what the page says of the attempt before anything else, by name. Every system must have been measured.
    """
    of = attempt.reproduction
    judged = {pair: Judged.of(pair[0], attempt.results.evaluation(*pair)) for pair in of.measured()}
    trainings = _trainings(attempt)
    text = _text(attempt, judged, trainings, facts)
    write_text(attempt.folder / "tables.csv", _csv(of.tables, judged))
    sections = [_section(attempt, number, table, judged) for number, table in enumerate(of.tables, start=1)]
    if of.pictures is not None:
        system, split = of.measured()[0]
        results = attempt.results
        sections.append(of.pictures(results.model, results.matched(results.model(system), split).data))
    learned = markup.table("Every key of a recipe is in runs/TRAINING/recipe.yaml", LEARNED, trainings)
    remarks = [element("p", remark) for remark in of.remarks]
    sections.append(Section("trainings", "Trainings", [*remarks, learned]))
    write_text(attempt.folder / "page.html", page(of.title, facts, sections))
    write_text(attempt.folder / "table.md", text)  # last: who sees it may take the others for there
    return attempt.folder / "table.md"


def _rows(table: Table, judged: Judgements) -> tuple[str, Sequence[str], list[Sequence[str]]]:
    """What a table's numbers are, its head, and its lines."""
    mean_iou = f"mean IoU in percent on {table.split}"
    if table.by_size:
        return _by_size(table, judged)
    if any(row.against for row in table.rows):
        return mean_iou, COMPARED, [_compared(row, table.split, judged) for row in table.rows]
    return mean_iou, HEAD, [_line(row, table.split, judged) for row in table.rows]


def _line(row: Row, split: str, judged: Judgements) -> Sequence[str]:
    if row.system is None:
        return row.name, _printed(row), NOTHING, NOTHING, row.source
    one = judged[row.system, split].intervals["mean_iou"]
    return row.name, _printed(row), percent(one.value), _within(one), row.source


def _compared(row: Row, split: str, judged: Judgements) -> Sequence[str]:
    """A line of two systems: both numbers, and their difference, in which images that are hard for both cancel out.

    Then the difference in the IoU of objects, whatever they are called: what is found, apart from how it is named.
    """
    assert row.system is not None
    assert row.against is not None
    first, second = judged[row.against, split].evaluation, judged[row.system, split].evaluation
    values = [percent(judged[system, split].intervals["mean_iou"].value) for system in (row.system, row.against)]
    found = NOTHING, NOTHING
    if BACKGROUND in first.classes:
        found = _gained(difference(first.of_objects(), second.of_objects(), classes=(OBJECT,)))
    return row.name, *values, *_gained(difference(first, second)), *found


def _gained(gain: Interval) -> tuple[str, str]:
    return f"{100 * gain.value:+.1f}", _within(gain)


def _by_size(table: Table, judged: Judgements) -> tuple[str, Sequence[str], list[Sequence[str]]]:
    lines, head = list[Sequence[str]](), list[str]()
    for row in table.rows:
        assert row.system is not None
        one = judged[row.system, table.split].evaluation
        sizes = one.size_buckets([name for name in one.classes if name != BACKGROUND])
        assert sizes is not None
        head = [
            f"{low:g} and more: {count}" if high == float("inf") else f"{low:g} to {high:g}: {count}"
            for (low, high), count in zip(sizes.bounds, sizes.objects, strict=True)
        ]
        lines.append((row.name, *(NOTHING if part != part else percent(part) for part in sizes.accuracy)))
    kind = f"pixels met in percent on {table.split}, by the side in pixels of the square of an object's area: how many objects"
    return kind, ("system", *head), lines


def _within(one: Interval) -> str:
    return NOTHING if one.low != one.low else f"{100 * one.low:.1f} to {100 * one.high:.1f}"


def _printed(row: Row) -> str:
    """The published number with one decimal, or two where the second is not 0; a dash where there is none."""
    if row.published is None:
        return NOTHING
    return f"{row.published:.2f}".removesuffix("0")


def _text(attempt: Attempt, judged: Judgements, trainings: Sequence[Sequence[str]], facts: Mapping[str, str]) -> str:
    of = attempt.reproduction
    lines = [f"# {of.title}", "", *(f"- {name}: {value}" for name, value in facts.items())]
    lines += [f"- {remark}" for remark in of.remarks]
    for table in of.tables:
        kind, head, rows = _rows(table, judged)
        lines += ["", f"## {table.title}: {kind}", "", *_pipes(head, rows)]
    lines += ["", "## Trainings", "", *_pipes(LEARNED, trainings)]
    return "\n".join(lines) + "\n"


def _pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _csv(tables: Sequence[Table], judged: Judgements) -> str:
    """A line a row, with all four measures of ours as fractions."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = ("mean_iou", "mean_accuracy", "pixel_accuracy", "frequency_weighted_iou")
    writer.writerow(["table", "split", "row", "system", "published_mean_iou_percent", "source", *measures])
    for table in tables:
        for row in table.rows:
            ours = [""] * len(measures)
            if row.system is not None:
                ours = [f"{getattr(judged[row.system, table.split].measures, name):.6f}" for name in measures]
            published = "" if row.published is None else _printed(row)
            writer.writerow([table.title, table.split, row.name, row.system or "", published, row.source, *ours])
    return text.getvalue()


def _section(attempt: Attempt, number: int, table: Table, judged: Judgements) -> Section:
    """A table, and some images with what its pictured systems say of them."""
    kind, head, rows = _rows(table, judged)
    shown = markup.table(f"{kind[0].upper()}{kind[1:]}", head, rows)
    strips = _strips(attempt, table, judged) if table.pictured else []
    return Section(f"table-{number}", table.title, [shown, *strips])


def _strips(attempt: Attempt, table: Table, judged: Judgements) -> list[Markup]:
    """Images where the pictured systems differ most, or the first ones."""
    said = {system: attempt.results.said(system, table.split) for system in table.pictured}
    classes = next(iter(said.values())).label_spec.names
    data = match_classes(attempt.shown(table.split), classes).data
    look, spec = looking_at(data, said), data.label_spec
    differing = chosen([judged[system, table.split] for system in table.pictured])
    places = [place for group in differing.values() for place in group] or list(range(len(data)))
    seen = [look(data.names[place]) for place in places[:IMAGES]]
    return [legend(occurring(seen), spec), *(strip(one, spec, one.name) for one in seen)]


def _trainings(attempt: Attempt) -> list[Sequence[str]]:
    """A line a training; every key of its recipe lies in its run."""
    lines: list[Sequence[str]] = []
    for training in attempt.reproduction.trainings:
        path = attempt.folder / RUNS / training.name
        recipes = training.recipes()
        stages = TwoStageFolder(path).stages[-len(recipes) :]
        runs = tuple(stage.path for stage in stages) if training.in_stages else (path,)
        records = [json.loads((run / "model" / CONFIG).read_text(encoding="utf-8"))["record"] for run in runs]
        names = (training.recipe,) if isinstance(training.recipe, str) else training.recipe
        lines.append(
            (
                training.name,
                recipes[0].network,
                f"{' then '.join(names)}{', changed' if training.changes else ''}",
                _began_as(training) or records[0]["started_from"].split(" (")[0],
                " + ".join(f"{recipe.steps:,}" for recipe in recipes),
                f"{sum(record['minutes'] for record in records):.3g}",
            )
        )
    return lines


def _began_as(training: Training) -> str | None:
    """Which earlier training it starts from, if any."""
    return training.after or (training.trunk and f"the trunk of {training.trunk}")
