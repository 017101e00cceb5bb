"""Batches follow from the seed and their number alone, however and by whomever they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.augment import Augmentation
from pixelwise.data.batches import Batch, Batches
from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.shapes import Shapes
from pixelwise.labels import IGNORE, MAIN, LabelSpec

SHAPES = Shapes(7, size=(40, 48))
FILL = (1.0, 2.0, 3.0)
VIEWS = Augmentation(scale=(0.5, 1.5), crop=32, flip=0.5, brightness=0.3)


def batches(
    data: Shapes | FileDataSet = SHAPES, size: int = 4, *, views: Augmentation = VIEWS, **options: int
) -> Batches:
    return Batches(data, size, views, FILL, **{"seed": 0, **options})


def same(first: Batch, second: Batch) -> bool:
    return (
        first.names == second.names
        and torch.equal(first.images, second.images)
        and torch.equal(first.labels[MAIN], second.labels[MAIN])
    )


def test_a_batch_travels_as_bytes_and_becomes_what_networks_take() -> None:
    made = batches()[0]
    assert (made.images.dtype, made.labels[MAIN].dtype) == (torch.uint8, torch.uint8)
    batch = made.to(torch.device("cpu"))
    assert torch.equal(batch.images, made.images.float())
    assert torch.equal(batch.labels[MAIN], made.labels[MAIN].long())
    assert (batch.images.shape, batch.images.dtype) == ((4, 3, 32, 32), torch.float32)
    assert (batch.labels[MAIN].shape, batch.labels[MAIN].dtype) == ((4, 32, 32), torch.int64)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert len(batch.names) == 4


def test_pixels_and_labels_are_those_of_the_named_samples() -> None:
    batch = batches(views=Augmentation())[0]
    for name, image, labels in zip(batch.names, batch.images, batch.labels[MAIN], strict=True):
        sample = SHAPES.subset([name])[0]
        assert np.array_equal(image.permute(1, 2, 0).numpy(), sample.image)
        assert np.array_equal(labels.numpy(), sample.labels[MAIN])


def test_a_batch_needs_no_earlier_one() -> None:
    forth = [batches()[number] for number in range(5)]
    one = batches()
    back = [one[number] for number in reversed(range(5))][::-1]
    assert all(same(*pair) for pair in zip(forth, back, strict=True))
    assert not same(forth[0], forth[1])


@pytest.mark.parametrize("size", [1, 3, 4, 7, 10])
def test_every_pass_is_a_permutation(size: int) -> None:
    source = batches(size=size)
    names = [name for number in range(30) for name in source[number].names]
    passes = [tuple(names[begin : begin + 7]) for begin in range(0, len(names) - 6, 7)]
    assert len(passes) >= 4
    assert all(set(one) == set(SHAPES.names) for one in passes)
    assert len(set(passes)) > 1  # each in an order of its own


def test_passes_see_other_views_of_a_sample() -> None:
    one = SHAPES.subset(SHAPES.names[:1])
    source = batches(one, size=1)
    assert not torch.equal(source[0].images, source[1].images)


def test_the_seed_decides() -> None:
    assert same(batches(seed=5)[3], batches(seed=5)[3])
    assert not same(batches(seed=5)[3], batches(seed=6)[3])


@pytest.mark.parametrize("parts", [2, 3])
def test_the_parts_of_several_processes_join_to_the_batch(parts: int) -> None:
    whole = batches(size=6)[2]
    shares = [batches(size=6, part=part, parts=parts)[2] for part in range(parts)]
    assert [name for together in zip(*(share.names for share in shares), strict=True) for name in together] == list(
        whole.names
    )
    for part, share in enumerate(shares):
        assert torch.equal(share.images, whole.images[part::parts])
        assert torch.equal(share.labels[MAIN], whole.labels[MAIN][part::parts])


def test_the_loader_gives_the_batches_in_order() -> None:
    source = batches()
    loaded = list(source.loader(2, 5, workers=0))
    assert len(loaded) == 3
    assert all(same(batch, source[number]) for number, batch in enumerate(loaded, start=2))


def test_workers_change_nothing() -> None:
    source = batches()
    pairs = zip(source.loader(0, 6, workers=2), source.loader(0, 6, workers=0), strict=True)
    assert all(same(*pair) for pair in pairs)


def test_a_loader_leaves_the_random_numbers_of_the_training_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(batches().loader(0, 2, workers=0))
    assert torch.equal(torch.rand(3), expected)


@pytest.fixture
def files(tmp_path: Path) -> FileDataSet:
    """Three pictures of different sizes, all of one class."""
    entries = []
    for number, size in enumerate([(4, 9), (8, 5), (6, 6)]):
        image = save_image(tmp_path / f"{number}.png", seed=number, size=size)
        mask = save_mask(tmp_path / f"{number}_mask.png", [1], size=size)
        entries.append(Entry(str(number), image, mask))
    return FileDataSet(tuple(entries), LabelSpec(("background", "object")))


def test_whole_images_of_different_sizes_are_filled_up(files: FileDataSet) -> None:
    batch = batches(files, size=3, views=Augmentation())[0]
    assert batch.images.shape == (3, 3, 8, 9)
    for name, image, labels in zip(batch.names, batch.images, batch.labels[MAIN], strict=True):
        sample = files.subset([name])[0]
        height, width = sample.size
        assert np.array_equal(image[:, :height, :width].permute(1, 2, 0).numpy(), sample.image)
        assert (labels[:height, :width] == 1).all()
        outside = torch.ones(8, 9, dtype=torch.bool)
        outside[:height, :width] = False
        assert (labels[outside] == IGNORE).all()
        assert (image[:, outside] == torch.tensor(FILL)[:, None]).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_sample_is_one_line_when_its_batch_is_due(files: FileDataSet, workers: int, refuses: Refuses) -> None:
    source = batches(files, size=1, views=Augmentation())
    (second,) = source[1].names
    files.subset([second]).entries[0].image.write_bytes(b"no picture")
    loader = iter(source.loader(0, 3, workers=workers))
    next(loader)
    with refuses(f"{second}.png", "not a readable picture"):
        next(loader)
