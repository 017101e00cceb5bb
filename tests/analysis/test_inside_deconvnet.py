"""The pictures of DeconvNet's paper: activations that lie where their layer says, windows that are added by size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses

from pixelwise.analysis.inside_deconvnet import activations, growing, pictures, telling
from pixelwise.data.shapes import LABEL_SPEC, Shapes
from pixelwise.inference.model import Model
from pixelwise.inference.predictors import WholeImage
from pixelwise.inference.proposal_wise import ProposalWise
from pixelwise.models.folding import fold, reestimate_statistics
from pixelwise.models.published import create_model
from pixelwise.proposals.boxes import Proposals, RandomWindows

LAYERS = ("deconv5_3", "unpool4", "deconv4_3", "unpool3", "deconv3_3", "unpool2", "deconv2_2", "unpool1", "deconv1_2")
SIDES = (14, 28, 28, 56, 56, 112, 112, 224, 224)
"""Source: DeconvNet (ICCV 2015), figure 4."""


@pytest.fixture(scope="module")
def network() -> WholeImage:
    """A narrow DeconvNet for generated shapes, whose signal does not die."""
    torch.manual_seed(0)
    network = create_model("deconvnet_vgg16", len(LABEL_SPEC), width=1 / 32)
    for layer in network.modules():
        if isinstance(layer, torch.nn.ConvTranspose2d | torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    reestimate_statistics(network, [torch.rand(3, 3, 224, 224) * 255])
    return WholeImage(network, "cpu")


def image() -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(0, 255, (224, 224, 3)).astype(np.float32)


def test_every_stage_is_seen_behind_its_unpooling_and_at_its_end(network: WholeImage) -> None:
    seen = activations(network, image())
    assert tuple(one.layer for one in seen) == LAYERS
    assert tuple(one.plane.shape for one in seen) == tuple((side, side) for side in SIDES)
    assert all(0 <= one.plane.min() < one.plane.max() == 1 for one in seen)
    for one in seen:
        if one.layer.startswith("unpool"):  # a value of four stands at its switch, the others are 0
            cells = one.plane.reshape(len(one.plane) // 2, 2, -1, 2).swapaxes(1, 2).reshape(-1, 4)
            assert ((cells > 0).sum(1) <= 1).all()
    assert not any(module._forward_hooks for module in network.network.modules())


def test_the_channel_is_the_one_with_the_most_energy(network: WholeImage) -> None:
    layers = dict(network.network.decoder.layers.named_children())  # type: ignore[union-attr, operator]
    answers: list[torch.Tensor] = []
    hook = layers["deconv3_3_relu"].register_forward_hook(lambda *given: answers.append(given[2].clone()))
    (one,) = (one for one in activations(network, image()) if one.layer == "deconv3_3")
    hook.remove()
    channels = answers[0][0].numpy()
    energies = [(plane**2).sum() for plane in channels]
    assert one.channel == int(np.argmax(energies))
    np.testing.assert_allclose(one.plane, channels[one.channel] / channels[one.channel].max(), rtol=1e-6)


def test_folded_networks_show_the_same(network: WholeImage) -> None:
    folded = WholeImage(fold(network.network), "cpu")
    for one, other in zip(activations(network, image()), activations(folded, image()), strict=True):
        assert (one.layer, one.channel) == (other.layer, other.channel)
        assert np.abs(one.plane - other.plane).mean() < 1e-3


def test_networks_without_unpooling_are_refused(refuses: Refuses) -> None:
    fcn = WholeImage(create_model("fcn32s_vgg16", 3, width=1 / 32), "cpu")
    with refuses("has no unpooling", "give a DeconvNet"):
        activations(fcn, image())


def boxes(*sides: int) -> Proposals:
    found = np.array([(10, 5, 10 + side, 5 + side) for side in sides], np.int64)
    return Proposals(found, np.linspace(1, 0.5, len(sides), dtype=np.float32))


def test_windows_are_added_from_the_largest_to_the_smallest(network: WholeImage) -> None:
    picture = image()[:160, :200].astype(np.uint8)
    predictor = ProposalWise(network, lambda _: boxes(40, 20, 100, 60), boxes=3, minimum_side=24)
    counts, steps = zip(*growing(predictor, picture, (1, 2, 5)), strict=True)
    assert counts == (1, 2, 3)
    for count, order in ((1, (100,)), (2, (100, 40)), (3, (100, 40, 20))):  # 60 is the fourth best, and one too many
        alone = ProposalWise(network, lambda _, order=order: boxes(*order), boxes=3, minimum_side=24)  # type: ignore[misc]
        np.testing.assert_allclose(steps[count - 1], alone(picture), atol=1e-3)  # batches of other sizes round
    np.testing.assert_allclose(steps[-1], predictor(picture), atol=1e-3)
    assert predictor.boxes == 3  # the one that was given stays as it was
    assert len(predictor.proposer(picture)) == 4


def test_without_a_window_there_is_one_step_of_the_whole_image(network: WholeImage) -> None:
    predictor = ProposalWise(network, lambda _: boxes(20), minimum_side=112)
    ((count, scores),) = growing(predictor, image().astype(np.uint8))
    assert count == 0
    assert np.array_equal(scores, predictor(image().astype(np.uint8)))


def test_the_section_has_every_picture_of_every_sample(network: WholeImage) -> None:
    model = Model(network, LABEL_SPEC)
    by_proposals = Model(ProposalWise(network, RandomWindows(30), boxes=5, minimum_side=48), LABEL_SPEC)
    samples = telling(Shapes(8))
    found = [len(set(sample.labels["main"].ravel().tolist()) - {0}) for sample in Shapes(8)]
    assert [len(set(sample.labels["main"].ravel().tolist()) - {0}) for sample in samples] == sorted(found)[:-3:-1]
    text = "".join(pictures(model, by_proposals, {"FCN-8s": model}, samples).content)
    for sample in samples:
        for part in ("the window", *(f"of {layer}" for layer in LAYERS), "predicted from 1 window", "the truth"):
            assert f"{sample.name}: " in text
            assert part in text
        for index in sorted(set(sample.labels["main"].ravel().tolist()) - {0}):
            for by in ("FCN-8s", "DeconvNet"):
                assert f"{sample.name}: how likely {LABEL_SPEC.names[index]} is, by {by}" in text


def test_the_section_wants_a_network_and_the_same_by_proposals(network: WholeImage, refuses: Refuses) -> None:
    model = Model(network, LABEL_SPEC)
    with refuses("the same by proposals"):
        pictures(model, model, {}, telling(Shapes(1)))
