"""A predictor over a data set, and classes that meet by name."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.sample import Sample
from pixelwise.data.shapes import CLASSES, Shapes
from pixelwise.errors import InputError
from pixelwise.evaluation.answers import Predictions
from pixelwise.evaluation.boundary import count_boundaries, count_trimap
from pixelwise.evaluation.calibration import count_calibration
from pixelwise.evaluation.confusion import ConfusionMatrix
from pixelwise.evaluation.evaluate import evaluate, match_classes
from pixelwise.evaluation.evaluation import THOROUGH, Evaluation
from pixelwise.evaluation.sizes import count_sizes
from pixelwise.inference.contracts import Predictor
from pixelwise.labels import IGNORE, MAIN, LabelSpec

SHAPES = Shapes(5, size=(40, 56))


def knowing(data: Shapes) -> Predictor:
    """A predictor that knows every sample's labels by heart; where they are ignored it says class 0."""
    answers = {sample.image.tobytes(): sample.labels[MAIN] for sample in data}

    def predict(image: NDArray) -> NDArray[np.float32]:
        labels = np.where(answers[image.tobytes()] == IGNORE, 0, answers[image.tobytes()])
        return (np.arange(len(data.label_spec))[:, None, None] == labels).astype(np.float32)

    return predict


def test_a_perfect_predictor_scores_1() -> None:
    measures = evaluate(knowing(SHAPES), SHAPES).measures()
    assert measures.mean_iou == measures.pixel_accuracy == measures.mean_accuracy == 1
    assert measures.pixels == 5 * 40 * 56


def test_a_predictor_that_swaps_two_classes_misses_both() -> None:
    right = knowing(SHAPES)
    disc, ring = CLASSES.index("disc"), CLASSES.index("ring")
    order = np.arange(len(CLASSES))
    order[[disc, ring]] = ring, disc
    measures = evaluate(lambda image: right(image)[order], SHAPES).measures()
    assert measures.iou[[disc, ring]].tolist() == [0, 0]
    assert np.nan_to_num(np.delete(measures.iou, [disc, ring]), nan=1).tolist() == [1] * (len(CLASSES) - 2)


def test_every_image_is_counted_in_order() -> None:
    told: list[tuple[int, int]] = []
    matrix = evaluate(knowing(SHAPES), SHAPES, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 5) for done in range(1, 6)]
    expected = ConfusionMatrix(len(CLASSES))
    for sample in SHAPES:
        expected.add(sample.labels[MAIN], sample.labels[MAIN])
    assert np.array_equal(matrix.counts, expected.counts)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_parts_of_several_processes_add_up(parts: int) -> None:
    """Five images: also with an uneven last share, and with processes that have none."""
    wrong = lambda image: np.roll(knowing(SHAPES)(image), 1, axis=0)  # noqa: E731
    told: list[tuple[int, int]] = []
    shares = [evaluate(wrong, SHAPES, part=part, parts=parts).counts for part in range(parts)]
    assert np.array_equal(sum(shares), evaluate(wrong, SHAPES).counts)
    assert [share.sum() // (40 * 56) for share in shares] == [len(range(part, 5, parts)) for part in range(parts)]
    evaluate(wrong, SHAPES, part=0, parts=parts, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (len(range(0, 5, parts)),) * 2


def test_classes_meet_by_name_and_unknown_ones_are_ignored_and_listed() -> None:
    matched = match_classes(SHAPES, ("ring", "background", "disc"))
    assert matched.ignored == ("square", "triangle", "line")
    assert matched.data.label_spec.names == ("ring", "background", "disc")
    measures = evaluate(knowing(matched.data), matched.data).measures()
    assert measures.mean_iou == 1
    kept = [CLASSES.index(name) for name in ("ring", "background", "disc")]
    assert measures.pixels == sum(np.isin(sample.labels[MAIN], kept).sum() for sample in SHAPES) < 5 * 40 * 56


def test_the_same_classes_in_another_order_ignore_nothing() -> None:
    matched = match_classes(SHAPES, CLASSES[::-1])
    assert matched.ignored == ()
    assert evaluate(knowing(matched.data), matched.data).measures().pixels == 5 * 40 * 56


def test_a_class_that_the_data_lack_is_named(refuses: Refuses) -> None:
    with refuses("the model's class 'cat' is not a class of the data set", "background, disc"):
        match_classes(SHAPES, ("background", "cat"))


def test_an_image_without_truth_is_named(tmp_path: Path, refuses: Refuses) -> None:
    first = Entry("first", save_image(tmp_path / "first.png"), save_mask(tmp_path / "mask.png", [0, 1]))
    second = Entry("second", save_image(tmp_path / "second.png"))
    data = FileDataSet((first, second), LabelSpec(("a", "b")))
    with refuses("second", "no label map"):
        evaluate(lambda image: np.zeros((2, *image.shape[:2]), np.float32), data)
    only_first = replace(data, entries=(first,))
    counts = evaluate(lambda image: np.zeros((2, *image.shape[:2]), np.float32), only_first).counts
    assert counts.tolist() == [[12, 0], [12, 0]]


@pytest.mark.parametrize(("shape", "got"), [((6, 3, 3), "(6, 3, 3)"), ((5, 40, 56), "know 6 classes, got (5, 40, 56)")])
def test_scores_of_another_shape_are_refused(shape: tuple[int, int, int], got: str, refuses: Refuses) -> None:
    with refuses("shapes_00000", "same pixels as the image, 40 high and 56 wide", got):
        evaluate(lambda image: np.zeros(shape, np.float32), SHAPES)


def wrong(data: Shapes) -> Predictor:
    """A predictor that is right about half of the pixels, and not equally sure of all."""
    right = knowing(data)

    def predict(image: NDArray) -> NDArray[np.float32]:
        scores = right(image)
        noise = np.random.default_rng(int(image.sum()))
        return (scores + noise.normal(scale=0.8, size=scores.shape)).astype(np.float32)

    return predict


def assert_same(one: Evaluation, other: Evaluation) -> None:
    assert one.to_json() == other.to_json()


def test_thorough_counts_are_the_sums_over_the_images() -> None:
    found = evaluate(wrong(SHAPES), SHAPES, thorough=True)
    predict, classes = wrong(SHAPES), len(CLASSES)
    expected = dict.fromkeys(THOROUGH, 0)
    for sample in SHAPES:
        truth, scores = sample.labels[MAIN], predict(sample.image)
        said = scores.argmax(0).astype(np.uint8)
        expected["trimap"] += count_trimap(truth, said, classes)
        expected["boundary"] += count_boundaries(truth, said, classes)
        expected["calibration"] += count_calibration(truth, scores)
        expected["sizes"] += count_sizes(truth, said, sample.instances, classes, CLASSES.index("background"))
    for name, counts in expected.items():
        assert np.array_equal(getattr(found, name), counts), name
    plain = evaluate(wrong(SHAPES), SHAPES)
    assert np.array_equal(plain.confusion, found.confusion)
    assert [getattr(plain, name) for name in THOROUGH] == [None] * 4


@pytest.mark.parametrize("parts", [2, 7])
def test_parts_merge_to_the_whole(parts: int) -> None:
    predict = wrong(SHAPES)
    shares = [evaluate(predict, SHAPES, thorough=True, part=part, parts=parts) for part in range(parts)]
    merged, whole = Evaluation.merged(shares), evaluate(predict, SHAPES, thorough=True)
    assert sorted(merged.images) == list(whole.images)
    for name in ("confusion", *THOROUGH):
        assert np.array_equal(getattr(merged, name), getattr(whole, name)), name


@dataclass
class TwoHeads:
    """Three samples with two label maps each."""

    label_spec: LabelSpec = field(default_factory=lambda: LabelSpec(("a", "b")))
    names: tuple[str, ...] = ("first", "second", "third")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        maps = {MAIN: np.zeros((3, 4), np.uint8), "geometry": np.ones((3, 4), np.uint8)}
        return Sample(self.names[index], np.zeros((3, 4, 3), np.uint8), maps)


def test_each_head_is_counted_by_itself(refuses: Refuses) -> None:
    always_b = lambda image: np.stack([np.zeros((3, 4)), np.ones((3, 4))]).astype(np.float32)  # noqa: E731
    main, geometry = (evaluate(always_b, TwoHeads(), head=head) for head in (MAIN, "geometry"))
    assert main.confusion.tolist() == [[0, 36], [0, 0]]
    assert geometry.confusion.tolist() == [[0, 0], [0, 36]]
    assert (main.head, geometry.head) == (MAIN, "geometry")
    with refuses("different classes", "head geometry"):
        Evaluation.merged([main, geometry])
    with refuses("first: has no label map"):
        evaluate(always_b, TwoHeads(), head="depth")


def test_classes_that_the_data_lack_are_in_no_mean_where_that_is_asked_for(refuses: Refuses) -> None:
    few = SHAPES.with_classes(("ring", "background"))
    names = ("background", "cat", "ring")
    matched = match_classes(few, names, fewer=True)
    assert (matched.ignored, matched.lacking, matched.shared) == ((), ("cat",), ("background", "ring"))
    right = knowing(matched.data)
    assert evaluate(right, matched.data).measures().mean_iou == 1
    always_cat = evaluate(lambda image: np.roll(right(image), 1, axis=0), matched.data)  # background is called cat
    assert always_cat.confusion[0].tolist() == [0, int(always_cat.confusion[0].sum()), 0]
    assert not always_cat.confusion[1].any()
    assert always_cat.measures(matched.shared).counting.tolist() == [True, False, True]
    with refuses("share no class"):
        match_classes(few, ("cat", "dog"), fewer=True)


def test_a_data_set_seen_through_more_classes_can_be_divided() -> None:
    matched = match_classes(SHAPES, ("cat", *CLASSES[::-1]), fewer=True)
    part = matched.data.subset(matched.data.names[1:3])
    assert (len(part), list(part.names)) == (2, ["shapes_00001", "shapes_00002"])
    assert np.array_equal(part[0].labels[MAIN], len(CLASSES) - SHAPES[1].labels[MAIN])
    assert part.with_classes(("disc",)).label_spec.names == ("disc",)


# What is kept.


@dataclass
class Stopping:
    """A predictor that remembers what it was asked, and is interrupted after some images."""

    predictor: Predictor
    after: int | None = None
    asked: list[int] = field(default_factory=list)

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        if len(self.asked) == self.after:
            raise KeyboardInterrupt
        self.asked.append(int(image.sum()))
        return self.predictor(image)


def test_an_evaluation_that_was_stopped_goes_on(tmp_path: Path) -> None:
    first, second = Stopping(wrong(SHAPES), after=3), Stopping(wrong(SHAPES))
    with pytest.raises(KeyboardInterrupt):
        evaluate(first, SHAPES, keep=tmp_path / "kept", thorough=True)
    with (tmp_path / "kept" / "counts.jsonl").open("ab") as file:
        file.write(b'{"images": ["shapes_00003"], "confu')  # as a kill leaves it behind
    told: list[tuple[int, int]] = []
    found = evaluate(
        second, SHAPES, keep=tmp_path / "kept", thorough=True, progress=lambda done, of: told.append((done, of))
    )
    assert (len(first.asked), len(second.asked)) == (3, 2)
    assert not set(first.asked) & set(second.asked)
    assert told == [(4, 5), (5, 5)]
    assert_same(found, evaluate(wrong(SHAPES), SHAPES, thorough=True))
    third = Stopping(wrong(SHAPES), after=0)
    assert_same(evaluate(third, SHAPES, keep=tmp_path / "kept", thorough=True), found)


def test_several_processes_keep_what_they_did_apart_and_one_can_go_on(tmp_path: Path) -> None:
    for part in range(2):
        evaluate(wrong(SHAPES), SHAPES, part=part, parts=3, keep=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counts-0-of-3.jsonl", "counts-1-of-3.jsonl"]
    last = Stopping(wrong(SHAPES))
    assert_same(evaluate(last, SHAPES, keep=tmp_path), evaluate(wrong(SHAPES), SHAPES))
    assert len(last.asked) == 1


def _other_facts(folder: Path) -> None:
    evaluate(wrong(SHAPES), SHAPES, keep=folder, facts={"model": "other"})


def _thorough(folder: Path) -> None:
    evaluate(wrong(SHAPES), SHAPES, keep=folder, facts={"model": "mine"}, thorough=True)


def _foreign(folder: Path) -> None:
    (folder / "counts.jsonl").write_text("hello\n")


def _broken(folder: Path) -> None:
    evaluate(wrong(SHAPES), SHAPES, keep=folder, facts={"model": "mine"})
    path = folder / "counts.jsonl"
    path.write_text(path.read_text().replace('"shape"', '"shade"', 1))


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (_other_facts, ("belongs to another evaluation", "its model is other and not mine")),
        (_thorough, ("belongs to another evaluation", "its thorough is True and not False")),
        (_foreign, ("counts.jsonl, line 1: not what was written there", "remove the file")),
        (_broken, ("counts.jsonl, line 2: not what was written there", "remove the file")),
    ],
)
def test_what_does_not_belong_to_it_is_refused(
    spoil: Callable[[Path], None], parts: tuple[str, ...], tmp_path: Path, refuses: Refuses
) -> None:
    spoil(tmp_path)
    before = (tmp_path / "counts.jsonl").read_bytes()
    with refuses(*parts):
        evaluate(wrong(SHAPES), SHAPES, keep=tmp_path, facts={"model": "mine"})
    assert (tmp_path / "counts.jsonl").read_bytes() == before


def test_an_evaluation_that_fails_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with pytest.raises(InputError) as caught:  # holds on to all that was going on
        evaluate(lambda image: np.zeros((2, *image.shape[:2]), np.float32), SHAPES)
    assert "know 6 classes, got" in str(caught.value)
    assert threading.active_count() == before


def test_a_picture_that_cannot_be_read_costs_nothing_but_itself(tmp_path: Path, refuses: Refuses) -> None:
    SHAPES.write(tmp_path / "data")
    files = [
        Entry(name, tmp_path / "data" / "images" / f"{name}.png", tmp_path / "data" / "masks" / f"{name}.png")
        for name in SHAPES.names
    ]
    data = FileDataSet(tuple(files), SHAPES.label_spec)
    whole = evaluate(wrong(SHAPES), data)
    good = files[2].image.read_bytes()
    files[2].image.write_bytes(good[:300])
    with refuses("shapes_00002.png: not a readable picture"):
        evaluate(wrong(SHAPES), data)
    mask = np.array(Image.open(files[3].labels or ""))
    Image.fromarray(np.full_like(mask, 77)).save(files[3].labels or "")
    with refuses(
        "shapes_00002.png: not a readable picture",
        "and 1 more: shapes_00003",
        "the other 3 images are done and kept in",
    ):
        evaluate(wrong(SHAPES), data, keep=tmp_path / "kept")
    files[2].image.write_bytes(good)
    Image.fromarray(mask).save(files[3].labels or "")
    rest = Stopping(wrong(SHAPES))
    assert_same(evaluate(rest, data, keep=tmp_path / "kept"), whole)
    assert len(rest.asked) == 2


def test_predictions_that_were_saved_give_the_same_numbers(tmp_path: Path) -> None:
    save = Predictions.begin(tmp_path / "predictions", SHAPES.label_spec)
    found = evaluate(wrong(SHAPES), SHAPES, thorough=True, save=save)
    later = evaluate(Predictions.read(tmp_path / "predictions"), SHAPES, thorough=True)
    assert later.calibration is None  # labels know no confidence
    assert_same(later, replace(found, calibration=None))


def test_what_is_kept_but_was_not_saved_is_predicted_again(tmp_path: Path) -> None:
    evaluate(wrong(SHAPES), SHAPES, keep=tmp_path / "kept")
    save = Predictions.begin(tmp_path / "predictions", SHAPES.label_spec)
    evaluate(wrong(SHAPES), SHAPES, keep=tmp_path / "kept", save=save)
    (tmp_path / "predictions" / "shapes_00001.png").unlink()
    again = Stopping(wrong(SHAPES))
    evaluate(again, SHAPES, keep=tmp_path / "kept", save=save)
    assert len(again.asked) == 1
    lines = (tmp_path / "kept" / "counts.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["images"] == ["shapes_00001"]
