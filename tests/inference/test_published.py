"""The systems of the papers: each is the expression that its paper says, whatever models it is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses

from pixelwise.geometry import Box, crop
from pixelwise.inference.contracts import Predictor
from pixelwise.inference.ensemble import Ensemble
from pixelwise.inference.loading import load
from pixelwise.inference.multi_scale import MultiScale
from pixelwise.inference.predictors import WholeImage
from pixelwise.inference.proposal_wise import ProposalWise
from pixelwise.inference.published import ANY, PUBLISHED, published
from pixelwise.inference.refined import Refined
from pixelwise.inference.systems import places, save_system
from pixelwise.labels import LabelSpec
from pixelwise.models.published import list_models
from pixelwise.proposals.edge_boxes import EdgeBoxes
from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.presets import PRESETS
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

SPEC = LabelSpec(("ground", "cat", "dog"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three narrow models, `0` to `2`: what a system does is the same for every network."""
    folder = tmp_path_factory.mktemp("models")
    for seed in range(3):
        torch.manual_seed(seed)
        config = NetworkConfig("fcn32s_vgg16", len(SPEC), {"width": 1 / 32})
        network = config.build().eval()
        torch.nn.init.normal_(network.decoder.score.weight)
        save_checkpoint(folder / str(seed), Checkpoint(network, config, SPEC, {"seed": seed}))
    return folder


def picture() -> NDArray[np.uint8]:
    """A bright disc on dark ground: proposals are found in it, with windows that are large enough."""
    rows, columns = np.mgrid[:130, :160]
    disc = (rows - 65) ** 2 + (columns - 80) ** 2 < 45**2
    return np.where(disc, 200, 40).astype(np.uint8)[..., None].repeat(3, axis=2)


def padded(side: int) -> Callable[[WholeImage], Predictor]:
    """A second writing of what padding is."""

    def whole(network: WholeImage) -> Predictor:
        return lambda image: network(crop(image.astype(np.float32), Box(0, 0, side, side), network.network.fill))[
            :, : image.shape[0], : image.shape[1]
        ]

    return whole


def windows(network: WholeImage, **settings: object) -> Predictor:
    return ProposalWise(network, EdgeBoxes(), boxes=50, merge="max", minimum_side=112, side=224, **settings)  # type: ignore[arg-type]


def scales(network: WholeImage) -> Predictor:
    return MultiScale(network, (0.5, 0.75, 1), "max")


def behind(preset: str, predictor: Callable[..., Predictor]) -> Callable[..., Predictor]:
    return lambda *networks: Refined(predictor(*networks), DenseCRF.preset(preset))


def mean(*predictors: Predictor) -> Predictor:
    return Ensemble(predictors)


def edeconvnet(deconvnet: WholeImage, fcn: WholeImage) -> Predictor:
    return mean(windows(deconvnet), fcn)


def released(deconvnet: WholeImage, fcn: WholeImage) -> Predictor:
    return Ensemble([windows(deconvnet, fill=(0.0, 0.0, 0.0)), padded(500)(fcn)], "product")


EXPRESSIONS: dict[str, Callable[..., Predictor]] = {
    "deeplab_v1": padded(514),
    "deeplab_v1_crf": behind("deeplab_v1", padded(514)),
    "deeplab_v1_7x7_crf": behind("deeplab_v1_script", padded(514)),
    "deeplab_v1_largefov": padded(513),
    "deeplab_v1_largefov_crf": behind("deeplab_v1_script", padded(513)),
    "deeplab_v1_msc_largefov": padded(513),
    "deeplab_v1_msc_largefov_crf": behind("deeplab_v1_msc", padded(513)),
    "deeplab_v2_vgg16": padded(513),
    "deeplab_v2_vgg16_crf": behind("deeplab_v2_vgg16", padded(513)),
    "deeplab_v2_resnet101": scales,
    "deeplab_v2_resnet101_crf": behind("deeplab_v2_resnet101", scales),
    "gdn": lambda gdn: gdn,
    "gdn_crf": behind("deeplab_v1_script", lambda gdn: gdn),
    "gdn_fc": mean,
    "gdn_ens_crf": behind("deeplab_v1_script", mean),
    "deconvnet": windows,
    "deconvnet_crf": behind("deconvnet", windows),
    "edeconvnet": edeconvnet,
    "edeconvnet_crf": behind("deconvnet", edeconvnet),
    "edeconvnet_release_crf": behind("deconvnet", released),
}


def given(name: str) -> int:
    """How many models to make a system of: one more than there must be, where there may be more."""
    return len(PUBLISHED[name].networks)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_system_is_the_expression_of_its_paper(name: str, folder: Path, tmp_path: Path) -> None:
    node = published(name, [str(folder / str(number)) for number in range(given(name))])
    assert list(places(node)) == [str(folder / str(number)) for number in range(given(name))]
    save_system(tmp_path / name, node)
    models = [load(folder / str(number), device="cpu").predictor for number in range(given(name))]
    expected = EXPRESSIONS[name](*models)(picture())
    answer = load(tmp_path / name, device="cpu").predict(picture()).scores
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(answer, expected, rtol=0, atol=2e-4 * np.abs(expected).max())  # folded networks round


def test_every_system_names_networks_and_presets_that_exist() -> None:
    assert PUBLISHED.keys() == EXPRESSIONS.keys()
    for name, system in PUBLISHED.items():
        assert {*system.networks} - {ANY} <= {*list_models()}
        assert (system.crf is not None) == name.endswith("_crf")
        assert system.crf is None or system.crf in PRESETS
        assert system.source


def test_the_ensemble_of_one_checkpoint_is_that_checkpoint(folder: Path, tmp_path: Path) -> None:
    save_system(tmp_path / "ens", published("gdn_ens_crf", [str(folder / "0")]))
    save_system(tmp_path / "one", published("gdn_crf", [str(folder / "0")]))
    one, ens = (load(tmp_path / name, device="cpu").predict(picture()) for name in ("one", "ens"))
    np.testing.assert_allclose(ens.probabilities(), one.probabilities(), atol=1e-4)
    assert np.ptp(one.probabilities()) > 0.1


def test_another_crf_may_be_taken() -> None:
    node = published("deeplab_v1_largefov_crf", ["a"], crf="deeplab_v1_coco")
    assert node.refined is not None
    assert node.refined.crf == "deeplab_v1_coco"


@pytest.mark.parametrize(
    ("name", "models", "crf", "parts"),
    [
        ("deeplab_v1_largefov_crv", ["a"], None, ("did you mean 'deeplab_v1_largefov_crf'",)),
        ("edeconvnet", ["a"], None, ("deconvnet_vgg16, fcn8s_vgg16", "got 1", "name 2, in this order")),
        ("gdn", ["a", "b"], None, ("gdn_largefov_vgg16", "got 2", "name 1")),
        ("gdn_ens_crf", [], None, ("got 0", "at least 1")),
        ("gdn", ["a"], "deeplab_v1", ("gdn has no CRF", "gdn_crf")),
    ],
)
def test_what_makes_no_system_is_refused(
    name: str, models: list[str], crf: str | None, parts: tuple[str, ...], refuses: Refuses
) -> None:
    with refuses(*parts):
        published(name, models, crf)
