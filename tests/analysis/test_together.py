"""Systems asked together say what each says alone, and no window and no image is scored twice."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pixelwise.analysis.together import Remembered, Together, sharing
from pixelwise.data.shapes import Shapes
from pixelwise.inference.predictors import WholeImage
from pixelwise.inference.systems import Members, Node, Refinement, Windows, compose
from pixelwise.models.published import create_model

DATA = Shapes(2, size=(96, 128))


class Counting(WholeImage):
    """A network that remembers how many images it was shown; its faster copies count in the same list."""

    shown: ClassVar[list[int]] = []

    def score(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        self.shown.append(len(images))
        return super().score(images)

    def faster(self, precision: str = "float32") -> WholeImage:
        return self


@pytest.fixture
def models() -> dict[str, Counting]:
    torch.manual_seed(0)
    Counting.shown.clear()
    names = {"deconvnet": "deconvnet_vgg16", "fcn": "fcn32s_vgg16"}
    return {place: Counting(create_model(name, 3, width=1 / 32), "cpu") for place, name in names.items()}


def windows(**changes: int | str) -> Node:
    return Node(proposal_wise=Windows.model_validate({"of": "deconvnet", "boxes": 4, "minimum_side": 24} | changes))


def systems() -> dict[str, Node]:
    fcn = Node(whole_image="fcn")
    both = Node(ensemble=Members(of=(windows(), fcn)))
    return {
        "fcn": fcn,
        "four": windows(),
        "one": windows(boxes=1),
        "six": windows(boxes=6),
        "thousands": windows(boxes=5000, minimum_side=40),
        "sum": windows(merge="sum"),
        "mean": windows(boxes=3, merge="mean"),
        "both": both,
        "refined": Node(refined=Refinement(of=both, crf="deconvnet")),
    }


def test_each_says_what_it_says_alone(models: dict[str, Counting], tmp_path: Path) -> None:
    together = Together(systems(), models, tmp_path)
    for place in range(2):
        image = DATA[place].image
        said = together(image)
        assert list(said) == list(systems())
        for name, node in systems().items():
            alone = compose(node, models, tmp_path)(image)
            np.testing.assert_allclose(said[name], alone, atol=1e-3, err_msg=name)  # batches of other sizes round


def test_windows_and_images_are_scored_once(models: dict[str, Counting], tmp_path: Path) -> None:
    shared = {name: node for name, node in systems().items() if name != "thousands"}
    together = Together(shared, models, tmp_path)
    together(DATA[0].image)
    assert (
        sum(Counting.shown) == 6 + 1
    )  # the six best windows, of which all others are the first; and the image by the FCN
    together(DATA[1].image)
    assert sum(Counting.shown) == 2 * (6 + 1)


def test_the_last_answer_is_remembered_and_no_other() -> None:
    asked: list[int] = []
    remembered = Remembered(lambda image: asked.append(int(image[0])) or int(image[0]))
    one, two = np.array([1]), np.array([2])
    assert [remembered(image) for image in (one, one, two, two, one)] == [1, 1, 2, 2, 1]
    assert asked == [1, 2, 1]
    assert remembered(np.array([1])) == 1  # equal, but another array
    assert asked == [1, 2, 1, 1]


def test_groups_share_models_directly_or_through_others() -> None:
    def of(*places: str) -> Node:
        return Node(ensemble=Members(of=tuple(Node(whole_image=place) for place in places)))

    assert sharing({}) == []
    assert sharing({"a": of("1"), "b": of("2"), "c": of("1")}) == [["a", "c"], ["b"]]
    assert sharing({"a": of("1"), "b": of("2"), "c": of("3"), "d": of("2", "1")}) == [["a", "b", "d"], ["c"]]
