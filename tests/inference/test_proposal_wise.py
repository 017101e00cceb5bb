"""A network on windows around proposals: held to the whole image, to plain loops, and to what it says where there is none."""

from __future__ import annotations

import logging
import tracemalloc

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses
from torch import Tensor

from pixelwise.geometry import Box, Size, crop, resize_image, resize_scores
from pixelwise.inference.predictors import WholeImage, as_logits
from pixelwise.inference.proposal_wise import ProposalWise
from pixelwise.models.folding import reestimate_statistics
from pixelwise.models.published import create_model
from pixelwise.proposals.boxes import Proposals, RandomWindows

SIDE = 32
"""Of the windows as the small network is shown them."""


class Fixed:
    """A proposer that finds the same boxes in every image."""

    def __init__(self, *boxes: tuple[int, int, int, int]) -> None:
        self.boxes = boxes
        self.shown: list[NDArray] = []

    def __call__(self, image: NDArray[np.uint8]) -> Proposals:
        self.shown.append(image)
        return Proposals(np.array(self.boxes, np.int64).reshape(-1, 4), np.ones(len(self.boxes), np.float32))


def picture(size: Size) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def small() -> WholeImage:
    """A network of three classes for any image, with scores of both signs."""
    torch.manual_seed(0)
    network = create_model("fcn32s_vgg16", 3, width=1 / 16)
    torch.nn.init.normal_(network.decoder.score.weight, std=0.5)
    predictor = WholeImage(network, "cpu")
    scores = predictor(picture((64, 64)))
    assert scores.min() < -0.1
    assert scores.max() > 0.1
    return predictor


@pytest.fixture(scope="module")
def deconvnet() -> WholeImage:
    """A narrow DeconvNet whose batch norms have seen something."""
    torch.manual_seed(0)
    network = create_model("deconvnet_vgg16", 5, width=1 / 16)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)
        if isinstance(layer, torch.nn.ConvTranspose2d | torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    reestimate_statistics(network, [torch.rand(2, 3, 224, 224) * 255])
    return WholeImage(network, "cpu")


@pytest.mark.parametrize(("box", "enlarged"), [((0, 0, 224, 224), 1.0), ((56, 19, 168, 206), 1.2)])
def test_one_window_over_the_whole_image_is_the_whole_image(
    deconvnet: WholeImage, box: tuple[int, int, int, int], enlarged: float
) -> None:
    image = picture((224, 224))
    whole = deconvnet(image)
    assert whole.min() < 0 < whole.max()
    for merge, expected in (("max", np.maximum(whole, 0)), ("sum", whole), ("mean", whole)):
        predictor = ProposalWise(deconvnet, Fixed(box, (0, 0, 150, 150)), boxes=1, enlarged=enlarged, merge=merge)
        (window,) = predictor.windows(image)
        assert window == Box(0, 0, 224, 224)
        assert np.array_equal(predictor(image), expected)


BOXES = ((5, 8, 25, 50), (30, 0, 60, 20), (0, 40, 48, 70), (20, 20, 50, 50), (31, 33, 52, 61))


def by_loops(predictor: ProposalWise, image: NDArray[np.uint8], merge: str) -> NDArray[np.float64]:
    """What a predictor should give, window after window and pixel by pixel."""
    height, width = image.shape[:2]
    found: dict[tuple[int, int, int], list[float]] = {}
    for window in predictor.windows(image):
        shown = resize_image(crop(image.astype(np.float32), window, predictor.fill), (SIDE, SIDE))
        tensor = torch.from_numpy(shown).permute(2, 0, 1)[None]
        with torch.inference_mode():
            scores = predictor.network.network(tensor)[0].numpy()
        enlarged = resize_scores(scores, window.size)
        for label in range(3):
            for y in range(max(0, window.y0), min(height, window.y1)):
                for x in range(max(0, window.x0), min(width, window.x1)):
                    found.setdefault((label, y, x), []).append(enlarged[label, y - window.y0, x - window.x0])
    answer = np.zeros((3, height, width))
    for place, values in found.items():
        one = {"max": max(0.0, *values), "sum": sum(values), "mean": sum(values) / len(values)}
        answer[place] = one[merge]
    return answer


def test_scores_of_sigmoids_are_merged_as_the_network_gives_them(small: WholeImage) -> None:
    sigmoids = WholeImage(small.network, "cpu", link="sigmoid")
    plain, linked = (
        ProposalWise(network, Fixed(*BOXES), minimum_side=8, side=SIDE)(picture((60, 70)))
        for network in (small, sigmoids)
    )
    assert plain.max() > 0.1
    np.testing.assert_array_equal(linked, as_logits(plain, "sigmoid"))


@pytest.mark.parametrize("merge", ["max", "sum", "mean"])
@pytest.mark.parametrize("fill", [None, (0.0, 0.0, 0.0)])
def test_merging_is_a_loop_over_windows_and_pixels(
    small: WholeImage, merge: str, fill: tuple[float, ...] | None
) -> None:
    image = picture((60, 70))
    predictor = ProposalWise(small, Fixed(*BOXES), minimum_side=30, side=SIDE, merge=merge, fill=fill, batch=2)
    assert len(predictor.windows(image)) == 5
    answer = predictor(image)
    assert answer.dtype == np.float32
    assert answer.shape == (3, 60, 70)
    expected = by_loops(predictor, image, merge)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    uncovered = (answer == 0).all(0)
    assert uncovered.any()
    assert not uncovered.all()
    assert (answer.min() < 0) == (merge != "max")


def test_windows_are_squares_about_the_best_boxes_that_are_large_enough(small: WholeImage) -> None:
    proposer = Fixed((0, 0, 40, 20), (10, 10, 20, 20), (50, 90, 60, 100), (0, 0, 50, 100), (40, 40, 80, 80))
    predictor = ProposalWise(small, proposer, boxes=3, minimum_side=48)
    # 1.2 x 40 = 48 about (20, 10); 12 is too small, twice; 120 about (25, 50); 48 about (60, 60)
    assert predictor.windows(picture((60, 100))) == (Box(-4, -14, 44, 34), Box(-35, -10, 85, 110), Box(36, 36, 84, 84))
    assert ProposalWise(small, proposer, boxes=2, minimum_side=48).windows(picture((60, 100))) == (
        Box(-4, -14, 44, 34),
        Box(-35, -10, 85, 110),
    )


def test_batches_do_not_matter_and_are_no_larger_than_asked_for(small: WholeImage) -> None:
    image = picture((60, 70))
    passed: list[int] = []
    hook = small.network.backbone.register_forward_hook(lambda _, given, __: passed.append(len(given[0])))
    told: list[tuple[int, int]] = []
    answers = []
    for batch in (1, 2, 5, 100):
        settings = {"minimum_side": 1, "side": SIDE, "batch": batch}
        predictor = ProposalWise(small, Fixed(*BOXES), progress=lambda *at: told.append(at), **settings)
        answers.append(predictor(image))
    hook.remove()
    assert passed == [1] * 5 + [2, 2, 1] + [5] + [5]
    assert told == [(n, 5) for n in range(1, 6)] + [(2, 5), (4, 5), (5, 5)] + [(5, 5)] + [(5, 5)]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=0, atol=1e-5 * np.abs(answers[0]).max())


def test_memory_is_that_of_the_scores_whatever_the_number_of_boxes_and_the_size_of_windows() -> None:
    network = WholeImage(create_model("fcn32s_vgg16", 60, width=1 / 16), "cpu")
    image = picture((200, 300))
    for boxes in (1, 40):
        proposer = Fixed(*[(0, 0, 200, 300)] * boxes)  # windows of 360 x 360: more than twice the image
        predictor = ProposalWise(network, proposer, side=SIDE, batch=4)
        tracemalloc.start()
        answer = predictor(image)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1.5 * answer.nbytes


@pytest.mark.parametrize(
    ("boxes", "size", "reason"),
    [
        ((), (120, 150), "no proposals were found"),
        (((0, 0, 20, 30),), (120, 150), "none of its 1 proposals has a window of 112 or more"),
        (((0, 0, 100, 90),), (100, 90), "smaller than the least window, 112"),
    ],
)
def test_without_a_window_the_whole_image_is_scored_and_one_line_says_so(
    small: WholeImage,
    boxes: tuple[tuple[int, int, int, int], ...],
    size: Size,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = picture(size)
    with caplog.at_level(logging.WARNING, "pixelwise"):
        answer = ProposalWise(small, Fixed(*boxes))(image)
    assert np.array_equal(answer, small(image))
    (line,) = (record.getMessage() for record in caplog.records)
    assert f"image of {size[0]} x {size[1]}" in line
    assert reason in line
    assert "scored as a whole" in line


def test_the_proposer_is_shown_whole_numbers_and_the_network_real_ones(small: WholeImage) -> None:
    proposer = Fixed((0, 0, SIDE, SIDE))
    image = picture((SIDE, SIDE)).astype(np.float32) * 1.01 - 1.3
    predictor = ProposalWise(small, proposer, minimum_side=1, enlarged=1.0, side=SIDE, merge="sum")
    assert np.array_equal(predictor(image), small(image))
    assert proposer.shown[0].dtype == np.uint8
    assert np.array_equal(proposer.shown[0], np.clip(np.rint(image), 0, 255))


def test_the_faster_network_gives_the_same_scores_and_in_bf16_those_of_bf16(deconvnet: WholeImage) -> None:
    image = picture((300, 250))
    answers = {}
    for name, network in {
        "plain": deconvnet,
        "float32": deconvnet.faster(),
        "autocast": WholeImage(deconvnet.network, "cpu", precision="bfloat16"),
        "bfloat16": deconvnet.faster("bfloat16"),
    }.items():
        answers[name] = ProposalWise(network, RandomWindows(20, smallest=20000), boxes=2, merge="sum")(image)
    spread = answers["plain"].std()
    assert np.abs(answers["float32"] - answers["plain"]).max() < 1e-4 * np.abs(answers["plain"]).max()
    assert np.array_equal(answers["float32"].argmax(0), answers["plain"].argmax(0))
    # Random weights on noise: rounding moves switches, so much is off. But folding adds nothing to it.
    error, theirs = (np.abs(answers[name] - answers["plain"]).mean() for name in ("bfloat16", "autocast"))
    assert 1e-4 * spread < error < 1.5 * theirs


def test_a_faster_network_is_a_copy(deconvnet: WholeImage) -> None:
    before = {name: (value.dtype, value.clone()) for name, value in deconvnet.network.state_dict().items()}
    faster = deconvnet.faster("bfloat16")
    kinds = [layer.weight.dtype for layer in faster.network.modules() if isinstance(layer, torch.nn.Conv2d)]
    exact = {0, 1, 3, 6, 9, 12, len(kinds) - 1}  # conv1_1, conv1_2, conv2_2, conv3_3, conv4_3, conv5_3 and score
    assert {number for number, kind in enumerate(kinds) if kind == torch.float32} == exact
    assert set(kinds) == {torch.float32, torch.bfloat16}
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in faster.network.modules())
    after: dict[str, Tensor] = deconvnet.network.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].dtype == kind and torch.equal(after[name], value) for name, (kind, value) in before.items())


def test_what_makes_no_sense_is_refused(small: WholeImage, deconvnet: WholeImage, refuses: Refuses) -> None:
    for name in ("boxes", "minimum_side", "side", "batch"):
        with refuses(f"expected {name} of 1 or more, got 0"):
            ProposalWise(small, Fixed(), **{name: 0})
    for enlarged in (0.5, float("nan"), float("inf")):
        with refuses("enlarged", str(enlarged)):
            ProposalWise(small, Fixed(), enlarged=enlarged)
    with refuses("unknown merge of proposals 'median'"):
        ProposalWise(small, Fixed(), merge="median")
    with refuses("takes no windows of side 230", "256"):
        ProposalWise(deconvnet, Fixed(), side=230)
    with refuses("unknown precision 'bf16'"):
        small.faster("bf16")
