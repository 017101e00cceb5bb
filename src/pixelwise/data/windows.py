"""A data set and the places of its windows in, samples for training out: each window is cut when it is asked for.

Source: DeconvNet (Noh, Hong & Han, ICCV 2015), section 4.2 and the released `window_seg_data_layer.cpp`.
"""

from __future__ import annotations

import numpy as np

from pixelwise.data.dataset import DataSet
from pixelwise.data.objects import background_of
from pixelwise.data.sample import Sample
from pixelwise.data.window_index import WindowIndex
from pixelwise.geometry import Box, crop, resize_image, resize_labels
from pixelwise.labels import IGNORE, MAIN

RESIZED = 250
"""Side in pixels to which every window is brought. Source: DeconvNet, section 4.2."""


class Windows:
    """Training samples: windows of a data set's images, each class as often as the most frequent one.

    `[i]` gives the window as a `Sample` of `side` x `side`: image bilinear, labels nearest. What lies outside the image
    is `fill` and ignored. With `one_class` every class but the one in the middle becomes background, also that of other
    objects; what is ignored stays so. Batches with `crop=224`, `scale=(1, 1)` and `flip=0.5` then make of it what the
    paper trains on.

    Samples are called `NAME@y0,x0,y1,x1`, after the image and the square; one that is repeated has one name.
    """

    def __init__(
        self,
        data: DataSet,
        index: WindowIndex,
        *,
        one_class: bool,
        fill: tuple[float, ...],
        side: int = RESIZED,
        balanced: bool = True,
    ) -> None:
        self.data = data
        self.index = index
        self.fill = fill
        self.side = side
        self.order = index.balanced() if balanced else np.arange(len(index))
        self.background = background_of(data.label_spec) if one_class else None
        assert not one_class or self.background is not None

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, number: int) -> Sample:
        place = int(self.order[number])
        sample = self.data[int(self.index.samples[place])]
        box = Box(*(int(side) for side in self.index.boxes[place]))
        labels = crop(sample.labels[MAIN], box, IGNORE)
        if self.background is not None:
            kept = (labels == IGNORE) | (labels == self.index.classes[place])
            labels = np.where(kept, labels, np.uint8(self.background))
        size = self.side, self.side
        image = resize_image(crop(sample.image, box, self.fill), size)
        name = f"{sample.name}@{box.y0},{box.x0},{box.y1},{box.x1}"
        return Sample(name, image, {MAIN: resize_labels(labels, size)}, channels=sample.channels)
