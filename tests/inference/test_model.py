"""Model and Segmentation: every form of picture in, answers that add up out, and how a model is found."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import Refuses

import pixelwise
from pixelwise.inference.loading import find_model, load
from pixelwise.inference.model import Model, Segmentation
from pixelwise.label_maps import read_label_map
from pixelwise.labels import LabelSpec
from pixelwise.models.published import create_model
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

SPEC = LabelSpec(("background", "dark", "bright"))


def by_brightness(image: NDArray) -> NDArray[np.float32]:
    """A predictor: `dark` where red is low, `bright` where it is high."""
    red = image[..., 0].astype(np.float32) / 255
    return np.stack([np.full(red.shape, 0.2, np.float32), 1 - red, red])


@pytest.fixture
def model() -> Model:
    return Model(by_brightness, SPEC)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a small network's model."""
    return save_model(tmp_path / "models" / "small")


def save_model(folder: Path, **record: object) -> Path:
    torch.manual_seed(0)
    config = NetworkConfig("fcn16s_vgg16", len(SPEC), {"width": 1 / 16})
    network = create_model(config.name, config.classes, **config.options)
    torch.nn.init.normal_(network.decoder.score.weight)
    save_checkpoint(folder, Checkpoint(network, config, SPEC, record))
    return folder


# What goes in


def test_every_form_of_a_picture_gives_the_same(model: Model, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    Image.fromarray(picture).save(tmp_path / "one.png")
    alpha = np.dstack([picture, np.full(picture.shape[:2], 9, np.uint8)])
    expected = model.predict(picture)
    assert np.array_equal(expected.scores, by_brightness(picture))
    forms = [tmp_path / "one.png", str(tmp_path / "one.png"), Image.fromarray(picture), alpha, Image.fromarray(alpha)]
    for form in forms:
        result = model.predict(form)
        assert np.array_equal(result.image, picture)
        assert np.array_equal(result.labels, expected.labels)
        assert np.array_equal(result.scores, expected.scores)


def test_grey_pictures_have_three_equal_channels(model: Model, picture: NDArray[np.uint8]) -> None:
    grey = picture[..., 0]
    for form in (grey, grey[..., None], Image.fromarray(grey)):
        assert np.array_equal(model.predict(form).image, grey[..., None].repeat(3, axis=2))


def test_an_answer_is_called_as_its_file(model: Model, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    Image.fromarray(picture).save(tmp_path / "my.photo.png")
    assert model.predict(tmp_path / "my.photo.png").name == "my.photo"
    assert model.predict(picture).name == "image"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5, 3)),
        np.zeros((4, 5, 2), np.uint8),
        np.zeros((1, 4, 5, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_an_array_that_is_no_picture_is_refused(model: Model, array: NDArray, refuses: Refuses) -> None:
    with refuses("expected a picture", str(array.shape), str(array.dtype)):
        model.predict(array)


def test_a_file_that_is_no_picture_is_named(model: Model, tmp_path: Path, refuses: Refuses) -> None:
    with refuses(str(tmp_path / "none.png")):
        model.predict(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with refuses(str(tmp_path / "text.png")):
        model.predict(tmp_path / "text.png")


# What comes out


def test_the_best_class_wins(model: Model) -> None:
    result = model.predict(np.array([[0, 255, 255]], np.uint8))
    assert result.labels.tolist() == [[1, 2, 2]]
    assert result.labels.dtype == np.uint8


def test_areas_are_the_shares_of_what_is_there(model: Model, picture: NDArray[np.uint8]) -> None:
    assert model.predict(np.array([[0, 255, 255, 255]], np.uint8)).areas() == {"bright": 0.75, "dark": 0.25}
    areas = model.predict(picture).areas()
    assert sum(areas.values()) == pytest.approx(1)
    assert list(areas.values()) == sorted(areas.values(), reverse=True)


def test_probabilities_are_a_softmax(picture: NDArray[np.uint8]) -> None:
    scores = np.random.default_rng(0).normal(0, 30, (3, 4, 5)).astype(np.float32) + 500  # exp of these overflows
    answer = Segmentation(picture[:4, :5], scores.argmax(0).astype(np.uint8), scores, SPEC)
    probabilities = answer.probabilities()
    np.testing.assert_allclose(probabilities, torch.from_numpy(scores).softmax(0).numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(0), 1, rtol=0, atol=1e-6)


def test_an_overlay_covers_the_picture(model: Model, picture: NDArray[np.uint8]) -> None:
    result = model.predict(picture)
    shown = result.overlay(legend=False)
    assert (shown.shape, shown.dtype) == (picture.shape, np.uint8)
    assert not np.array_equal(shown, picture)
    assert np.array_equal(result.image, picture)


def test_saved_files_are_read_back(model: Model, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    result = model.predict(picture)
    path = result.save(tmp_path / "out", with_probabilities=True)
    assert path == tmp_path / "out" / "image.png"
    assert np.array_equal(read_label_map(path, SPEC), result.labels)
    with Image.open(path) as written:
        assert written.mode == "P"
    with Image.open(tmp_path / "out" / "image_overlay.jpg") as written:
        assert written.size == (17, 12)
    with np.load(tmp_path / "out" / "image_probabilities.npz") as written:
        np.testing.assert_allclose(written["probabilities"], result.probabilities(), rtol=0, atol=5e-4)
        assert tuple(written["classes"]) == SPEC.names


def test_only_what_is_asked_for_is_saved(model: Model, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    model.predict(picture).save(tmp_path, with_overlay=False)
    assert [path.name for path in tmp_path.iterdir()] == ["image.png"]


# Where models come from


def test_a_model_is_loaded_from_its_folder_or_its_run(saved: Path, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    saved.rename(run / "model")
    expected = load(run / "model").predict(picture)
    assert expected.scores.shape == (3, 12, 17)
    assert np.array_equal(pixelwise.load(str(run)).predict(picture).scores, expected.scores)


def test_a_saved_model_is_the_same_model(saved: Path, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    model = load(saved)
    model.save_pretrained(tmp_path / "again")
    assert np.array_equal(load(tmp_path / "again").predict(picture).scores, model.predict(picture).scores)


def test_a_model_without_a_network_cannot_be_saved(model: Model, tmp_path: Path, refuses: Refuses) -> None:
    with refuses("no network of its own"):
        model.save_pretrained(tmp_path / "again")


def test_models_are_found_by_name(saved: Path, monkeypatch: pytest.MonkeyPatch, refuses: Refuses) -> None:
    monkeypatch.setenv("PIXELWISE_MODELS", str(saved.parent))
    assert find_model("small") == saved
    with refuses("unknown model 'smal'", "did you mean 'small'?"):
        find_model("smal")


def test_a_folder_without_a_model_is_named(tmp_path: Path, refuses: Refuses) -> None:
    with refuses(str(tmp_path), "no model in it"):
        find_model(tmp_path)
    with refuses(str(tmp_path / "none"), "no such model directory"):
        find_model(tmp_path / "none")


def test_terms_of_use_are_said_on_loading(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="pixelwise"):
        load(saved)
        assert not caplog.messages
        load(save_model(saved, recipe={"terms": "for research only"}))
    assert caplog.messages == ["small: for research only"]


def test_a_device_that_is_none_is_refused(saved: Path, refuses: Refuses) -> None:
    with refuses("device 'gpu' cannot be used here"):
        load(saved, device="gpu")


def test_a_pil_picture_is_turned_upright_as_its_file_is(model: Model, tmp_path: Path) -> None:
    turned = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    turned.save(tmp_path / "turned.png", exif=exif)
    from_file = model.predict(tmp_path / "turned.png")
    with Image.open(tmp_path / "turned.png") as picture:
        from_pil = model.predict(picture)
    assert from_file.image.shape == (30, 20, 3)
    np.testing.assert_array_equal(from_pil.image, from_file.image)
