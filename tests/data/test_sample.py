"""A sample is checked where it is made; images of every kind are read as RGB."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import Refuses

from pixelwise.data.sample import ChannelSpec, Sample, read_image
from pixelwise.errors import InputError

IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "CMYK", "P", "YCbCr"])
def test_every_mode_is_read_as_rgb(tmp_path: Path, mode: str) -> None:
    suffix = ".tif" if mode in ("CMYK", "YCbCr") else ".png"
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(tmp_path / f"image{suffix}")
    image = read_image(tmp_path / f"image{suffix}")
    assert image.shape == (4, 6, 3)
    assert image.dtype == np.uint8
    assert image.min() >= 250
    image[0] = 1  # it can be written to


def test_palettes_with_half_transparent_colours_are_read_without_a_warning(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 2))
    picture.info["transparency"] = bytes([0, 128])
    picture.save(tmp_path / "image.png")
    assert read_image(tmp_path / "image.png").shape == (2, 2, 3)


def test_the_cameras_orientation_mark_is_obeyed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (6, 4)).save(tmp_path / "image.jpg", exif=exif)
    assert read_image(tmp_path / "image.jpg").shape == (6, 4, 3)


def test_images_that_cannot_be(tmp_path: Path, refuses: Refuses) -> None:
    with refuses("none.jpg", "no such file"):
        read_image(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with refuses("text.jpg", "not a readable picture", "replace or remove it"):
        read_image(tmp_path / "text.jpg")
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "depth.png")
    with refuses("depth.png", "I;16", "8-bit RGB"):
        read_image(tmp_path / "depth.png")
    with refuses(str(tmp_path), "not a readable picture"):
        read_image(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP"])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
@pytest.mark.filterwarnings("ignore")  # Pillow warns of some damage, and reads on
def test_a_damaged_image_is_read_or_refused(tmp_path: Path, form: str, place: float, byte: int, cut: bool) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(72, dtype=np.uint8).reshape(4, 6, 3)).save(buffer, form)
    damaged = bytearray(buffer.getvalue())
    position = int(place * len(damaged))
    damaged[position] = byte
    path = tmp_path / "damaged"
    path.write_bytes(damaged[:position] if cut else damaged)
    with suppress(InputError):
        assert read_image(path).ndim == 3


def test_a_sample_has_a_size() -> None:
    sample = Sample("a", IMAGE, {"main": np.zeros((4, 6), np.uint8)}, np.zeros((4, 6), np.int32))
    assert sample.size == (4, 6)


def test_labels_must_cover_the_image(refuses: Refuses) -> None:
    parts = ("a: the label map (main) is 4 high and 5 wide", "4 high and 6 wide", "export the mask again")
    with refuses(*parts):
        Sample("a", IMAGE, {"main": np.zeros((4, 5), np.uint8)})
    with refuses("a: the label map (instances)"):
        Sample("a", IMAGE, instances=np.zeros((5, 6), np.int32))


def test_images_must_have_the_channels_that_are_named(refuses: Refuses) -> None:
    with refuses("a: expected an image (H, W, 3), got (4, 6, 4)"):
        Sample("a", np.zeros((4, 6, 4), np.uint8))
    depth = ChannelSpec(("depth",), ((0, 10),), (None,))
    assert Sample("a", np.zeros((4, 6, 1), np.float32), channels=depth).size == (4, 6)
    with pytest.raises(ValueError, match="one name, one range and one mean"):
        ChannelSpec(("depth",))
