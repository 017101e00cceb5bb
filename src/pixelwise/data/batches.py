"""Training batches: everything random about a batch follows from the seed and its number, so a run resumes exactly."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pixelwise.data.augment import Augmentation, apply_view, draw_view
from pixelwise.data.dataset import Samples
from pixelwise.errors import InputError
from pixelwise.geometry import Box, crop
from pixelwise.labels import IGNORE


@dataclass(frozen=True)
class Batch:
    """Samples side by side: images `(N, C, H, W)` of raw values, labels head -> `(N, H, W)`, and their names.

    Both are made in the samples' own types, bytes as a rule: a quarter and an eighth of the memory to move from a worker
    to its process and to a GPU. `to` makes of them what networks and objectives take.
    """

    images: Tensor
    labels: dict[str, Tensor]
    names: tuple[str, ...]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device: images float32, labels int64."""
        labels = {head: labels.to(device, non_blocking=True).long() for head, labels in self.labels.items()}
        return Batch(self.images.to(device, non_blocking=True).float(), labels, self.names)

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory: the loader's way to a GPU."""
        return Batch(self.images.pin_memory(), {h: m.pin_memory() for h, m in self.labels.items()}, self.names)


class Batches(Dataset[Batch]):
    """The endless sequence of training batches, by number; `[i]` needs no earlier one.

    Samples come in passes, each a fresh permutation of the set; sample number p of the whole run is drawn with the
    random state `(seed, p)`. `part` of `parts` processes takes its share of each batch.
    """

    def __init__(
        self,
        data: Samples,
        batch_size: int,
        augmentation: Augmentation,
        fill: tuple[float, ...],
        *,
        seed: int,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.data = data
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.fill = fill
        self.seed = seed
        self.positions_in_batch = range(part, batch_size, parts)
        self._order: tuple[int, NDArray[np.int64]] | None = (
            None  # of the latest pass: with millions of windows it is slow
        )

    def __getitem__(self, number: int) -> Batch:
        return self._collate([self._view(number * self.batch_size + place) for place in self.positions_in_batch])

    def loader(self, start: int, stop: int, *, workers: int, pin: bool = False) -> Iterator[Batch]:
        """Batches `start` to `stop - 1` in order, made ahead of time by `workers` processes.

        Raises `InputError` for a sample that cannot be read, when its batch is due.
        """
        numbers = range(start, stop)
        answers = DataLoader(
            _Answers(self), batch_size=None, sampler=numbers, num_workers=workers, pin_memory=pin,
            generator=torch.Generator(),  # a loader draws a seed for its workers: not from what dropout draws from
            worker_init_fn=_heed_parent_alone,
        )  # fmt: skip
        for answer in answers:
            if isinstance(answer, InputError):
                raise answer
            yield answer

    def _view(self, position: int) -> tuple[str, NDArray, dict[str, NDArray[np.uint8]]]:
        turn, place = divmod(position, len(self.data))
        if self._order is None or self._order[0] != turn:
            self._order = turn, np.random.default_rng((self.seed, 0, turn)).permutation(len(self.data))
        sample = self.data[int(self._order[1][place])]
        view = draw_view(sample.size, self.augmentation, np.random.default_rng((self.seed, 1, position)))
        return sample.name, *apply_view(sample, view, self.fill)

    def _collate(self, views: list[tuple[str, NDArray, dict[str, NDArray[np.uint8]]]]) -> Batch:
        height, width = (max(image.shape[axis] for _, image, _ in views) for axis in (0, 1))
        window = Box(0, 0, height, width)  # whole images may differ in size
        images = np.stack([crop(image, window, self.fill) for _, image, _ in views])
        labels = {head: np.stack([crop(maps[head], window, IGNORE) for _, _, maps in views]) for head in views[0][2]}
        return Batch(
            torch.from_numpy(images).permute(0, 3, 1, 2),  # channels last in memory: faster on CPU and GPU
            {head: torch.from_numpy(maps) for head, maps in labels.items()},
            tuple(name for name, _, _ in views),
        )


def _heed_parent_alone(worker: int) -> None:
    """Have a worker end by SIGTERM only where its loader sends it.

    Who ends a job sends it to every process at once; a worker that went first would break a training that is about to save.
    """
    if not hasattr(signal, "sigwaitinfo"):  # macOS and Windows
        return
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # so that it is left to whoever waits for it

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


class _Answers(Dataset[Batch | InputError]):
    """Batches, or the error instead: raised in a worker process it would arrive with that process's whole traceback."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, number: int) -> Batch | InputError:
        try:
            return self.batches[number]
        except InputError as error:
            return error
