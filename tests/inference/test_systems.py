"""Systems: a file puts models together, and every verb takes its directory as a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from tests.conftest import Refuses

from pixelwise.inference.ensemble import Ensemble
from pixelwise.inference.loading import load
from pixelwise.inference.multi_scale import MultiScale
from pixelwise.inference.predictors import WholeImage
from pixelwise.inference.proposal_wise import ProposalWise
from pixelwise.inference.systems import Node, read_system, save_system, weight_files
from pixelwise.labels import LabelSpec
from pixelwise.proposals.edge_boxes import EdgeBoxes
from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.presets import PRESETS
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

SPEC = LabelSpec(("ground", "cat", "dog"))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with two models, `first` and `second`, and a third one of other classes."""
    for seed, (name, spec) in enumerate(
        {"first": SPEC, "second": SPEC, "third": LabelSpec(("sky", "sea", "sand"))}.items()
    ):
        torch.manual_seed(seed)
        config = NetworkConfig("fcn8s_lite0", len(spec), {"width": 0.125})
        network = config.build().eval()
        torch.nn.init.uniform_(network.decoder.score.bias, 1, 3)
        torch.nn.init.normal_(network.decoder.score.weight)
        save_checkpoint(tmp_path / name, Checkpoint(network, config, spec, {"seed": seed}, card="# A model\n"))
    return tmp_path


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "system.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_system_is_the_expression_that_it_spells(models: Path, picture: NDArray[np.uint8]) -> None:
    system = write(
        models / "both",
        """
        ensemble:
          rule: product
          of:
            - ../first
            - multi_scale: {of: ../second, scales: [0.5, 1.0]}
        """,
    )
    first, second = (load(models / name).predictor for name in ("first", "second"))
    expected = Ensemble([first, MultiScale(second, (0.5, 1.0))], "product")(picture)
    model = load(system)
    answer = model.predict(picture)
    np.testing.assert_array_equal(answer.scores, expected)
    assert np.ptp(expected) > 0
    assert model.label_spec.names == SPEC.names
    assert model.record["models"] == {"../first": {"seed": 0}, "../second": {"seed": 1}}


@pytest.mark.parametrize("crf", ["deeplab_v1", "mine.yaml"])
def test_a_system_is_refined_by_a_preset_or_by_a_file_beside_it(
    models: Path, picture: NDArray[np.uint8], crf: str
) -> None:
    system = write(models / "refined", f"refined: {{of: ../first, crf: {crf}}}")
    PRESETS["deeplab_v1"].save(system / "mine.yaml")
    plain = load(models / "first").predictor(picture)
    expected = DenseCRF.preset("deeplab_v1")(picture, plain)
    np.testing.assert_array_equal(load(system).predict(picture).scores, expected)
    assert not np.allclose(plain, expected)
    assert load(models / "first", crf="deeplab_v1").record["crf"]["gaussian_std"] == 3


def test_a_system_may_be_a_part_of_another_and_is_written_as_it_is_read(
    models: Path, picture: NDArray[np.uint8]
) -> None:
    inner = Node.model_validate({"multi_scale": {"of": "../second", "scales": [0.75]}})
    save_system(models / "inner", inner)
    assert read_system(models / "inner") == inner
    assert yaml.safe_load((models / "inner" / "system.yaml").read_text()) == {
        "multi_scale": {"of": {"whole_image": "../second"}, "scales": [0.75]}
    }
    outer = write(models / "outer", "ensemble: {of: [../inner, ../inner]}")
    expected = MultiScale(load(models / "second").predictor, (0.75,))(picture)
    np.testing.assert_allclose(load(outer).predict(picture).probabilities(), softmax(expected), atol=1e-6)


def test_windows_around_proposals_are_a_part_like_others(models: Path) -> None:
    rows, columns = np.mgrid[:120, :150]
    disc = (rows - 60) ** 2 + (columns - 80) ** 2 < 40**2
    image = np.where(disc, 200, 40).astype(np.uint8)[..., None].repeat(3, axis=2)
    text = """
        ensemble:
          rule: product
          of:
            - ../second
            - proposal_wise: {of: ../first, boxes: 3, minimum_side: 40, side: 64, merge: mean, fill: [0, 0, 0]}
        """
    first, second = (load(models / name, device="cpu").predictor for name in ("first", "second"))
    assert isinstance(first, WholeImage)
    windows = ProposalWise(
        first, EdgeBoxes(), boxes=3, minimum_side=40, side=64, merge="mean", fill=(0.0, 0.0, 0.0)
    )  # fmt: skip
    assert len(windows.windows(image)) == 3
    expected = Ensemble([second, windows], "product")(image)
    answer = load(write(models / "system", text), device="cpu").predict(image).scores
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-4 * expected.max())  # its network is folded
    assert np.ptp(expected) > 0


def test_heds_weights_are_found_beside_the_system_and_decide_its_answers(models: Path, refuses: Refuses) -> None:
    system = write(models / "system", "proposal_wise: {of: ../first, edges: hed, weights: hed.safetensors}")
    assert list(weight_files(read_system(system), system)) == [system / "hed.safetensors"]
    with refuses(str(system / "hed.safetensors")):
        load(system)


def softmax(scores: NDArray) -> NDArray:
    powers = np.exp(scores - scores.max(0))
    return powers / powers.sum(0)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ensemble: {of: []}", ("system.yaml: ensemble.of: ", "at least 1")),
        ("ensemble: {rule: mean}", ("ensemble.of: Field required",)),
        ("tower: ../first", ("tower: Extra inputs are not permitted",)),
        (
            "{ensemble: {of: [../first]}, whole_image: ../first}",
            ("exactly one of whole_image, padded, multi_scale, proposal_wise", "ensemble and whole_image"),
        ),
        ("{}", ("exactly one of", "got nothing")),
        ("[1, 2]", ("system.yaml: ", "got [1, 2]")),
        ("ensemble: {of: [../first, {}]}", ("ensemble.of.1: ", "exactly one of")),
        ("ensemble: [", ("system.yaml: not readable as YAML",)),
        ("../nowhere", ("nowhere: no such model directory",)),
        ("multi_scale: {of: ../first, scales: [0]}", ("scales are factors above 0",)),
        ("ensemble: {of: [../first], rule: median}", ("unknown rule of an ensemble 'median'",)),
        (
            "ensemble: {of: [../first, ../third]}",
            ("same classes in the same order", "../first has ground, cat, dog", "../third has sky"),
        ),
        ("proposal_wise: {of: ../first, edges: canny}", ("proposal_wise.edges: ", "'gradient' or 'hed'")),
        ("proposal_wise: {of: ../first, edges: hed}", ("'weights' is HED's file", "edges: hed")),
        ("proposal_wise: {of: ../first, weights: hed.safetensors}", ("goes with 'edges: hed'", "edges: gradient")),
        ("proposal_wise: {of: ../first, boxes: 0}", ("expected boxes of 1 or more, got 0",)),
        ("proposal_wise: {of: ../first, precision: int4}", ("unknown precision 'int4'",)),
        ("proposal_wise: {of: ../scaled}", ("needs a model that is one network", "../scaled is a system")),
        ("padded: {of: ../scaled, side: 513}", ("padded needs a model that is one network", "../scaled is a system")),
        ("padded: {of: ../first, side: 0}", ("padded: expected a side of 1 pixel or more, got 0",)),
        ("padded: {of: ../first}", ("padded.side: Field required",)),
        ("multi_scale: {of: ../wrong}", ("wrong/system.yaml: the system is a part of itself",)),
    ],
)  # fmt: skip
def test_what_is_no_system_is_refused(models: Path, refuses: Refuses, text: str, parts: tuple[str, ...]) -> None:
    write(models / "scaled", "multi_scale: {of: ../first}")
    with refuses(*parts):
        load(write(models / "wrong", text))
