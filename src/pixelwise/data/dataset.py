"""A data set: names in a fixed order, and a Sample for each. Layouts on disk build one from their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.sample import Sample, read_image
from pixelwise.errors import InputError, unknown_name
from pixelwise.label_maps import read_label_map, read_raw_labels
from pixelwise.labels import MAIN, LabelSpec


class Samples(Protocol):
    """What batches are made of: `len`, and `[i] -> Sample`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class DataSet(Samples, Protocol):
    """What training and evaluation need of a data set, on disk or generated: samples with names and classes."""

    @property
    def label_spec(self) -> LabelSpec:
        """The classes of the labels."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The samples' names, in the data set's order."""
        ...

    def fingerprint(self) -> str:
        """A text that changes when any sample may have: what is worked out from the samples is kept under it."""
        ...

    def subset(self, names: Sequence[str]) -> DataSet:
        """The same data set with only these samples, in this order."""
        ...

    def with_classes(self, names: Sequence[str]) -> DataSet:
        """The same samples with only these classes, in this order; the rest is ignored."""
        ...


@dataclass(frozen=True)
class Entry:
    """The files of one sample. `labels` is None where there is no truth; `heads` has the label maps of other heads than main."""

    name: str
    image: Path
    labels: Path | None = None
    instances: Path | None = None
    heads: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class FileDataSet:
    """A data set of files, whatever their layout; each is read when it is asked for.

    Label files ending in `.mat` are MATLAB's; all others are label pictures. `notes` are what the reader of the layout
    noticed and passed over (images without a mask), a sentence each; the check of the data set reports them. `head_specs`
    has the classes of the label maps of other heads than main.
    """

    entries: tuple[Entry, ...]
    label_spec: LabelSpec
    notes: tuple[str, ...] = ()
    head_specs: Mapping[str, LabelSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.entries:
            raise InputError("the data set is empty: no image with a mask was found")
        assert len(set(self.names)) == len(self.entries), "names must differ"

    @property
    def names(self) -> tuple[str, ...]:
        """The samples' names, in the data set's order."""
        return tuple(entry.name for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        labels = {} if entry.labels is None else {MAIN: _read_labels(entry.labels, self.label_spec)}
        labels |= {head: _read_labels(path, self.head_specs[head]) for head, path in entry.heads.items()}
        instances = None if entry.instances is None else _read_instances(entry.instances)
        image = read_image(entry.image)
        try:
            return Sample(entry.name, image, labels, instances)
        except InputError as error:  # a sample knows its name only
            raise InputError(f"{entry.labels}: {error}") from error

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def fingerprint(self) -> str:
        """SHA-256 of the classes, and of the names of the samples with the size and the time of each of their files.

        Raises `InputError` for a file that is missing.
        """
        digest = hashlib.sha256(repr((self.label_spec, *self.head_specs.items())).encode())
        for entry in self.entries:
            maps = (entry.labels, entry.instances, *entry.heads.values())
            files = [entry.image, *(path for path in maps if path is not None)]
            digest.update(repr((entry.name, [state_of(path) for path in files])).encode())
        return digest.hexdigest()

    def of_head(self, head: str) -> FileDataSet:
        """The same samples with another head's label maps in place of main's; `InputError` for a head that is none."""
        if head not in self.head_specs:
            raise unknown_name("head", head, (MAIN, *self.head_specs))
        entries = tuple(Entry(entry.name, entry.image, entry.heads[head]) for entry in self.entries)
        return FileDataSet(entries, self.head_specs[head], self.notes)

    def subset(self, names: Sequence[str]) -> FileDataSet:
        """The same data set with only these samples, in this order; `InputError` for a name that is not in it."""
        return replace(self, entries=picked(self.entries, names))

    def with_classes(self, names: Sequence[str]) -> FileDataSet:
        """The same samples with only these classes, in this order; the rest is ignored."""
        return replace(self, label_spec=self.label_spec.subset(names))


def stable_fraction(name: str, purpose: str) -> float:
    """A number in [0, 1) that depends on the name and the purpose alone, the same on every machine and in every version.

    Different purposes draw independently: what one split leaves over can be split again.
    """
    return int.from_bytes(hashlib.sha256(f"{purpose}:{name}".encode()).digest()[:8], "big") / 2**64


def hashed_part(names: Sequence[str], fraction: float, purpose: str) -> tuple[str, ...]:
    """The names whose stable hash is below `fraction`, in their order; of two names or more at least one, the lowest.

    Adding or removing other names moves none across, but for that one.
    """
    drawn = {name: stable_fraction(name, purpose) for name in names}
    lowest = min(drawn, key=lambda name: drawn[name]) if len(names) > 1 else None
    return tuple(name for name in names if drawn[name] < fraction or name == lowest)


def hold_out(data: DataSet, fraction: float) -> tuple[DataSet, DataSet]:
    """Split a data set by the stable hash of its names: (the rest, the `fraction` held out).

    Raises `InputError` where one part would be empty.
    """
    held = hashed_part(data.names, fraction, "selection")
    if not held or len(held) == len(data):
        raise InputError(
            f"cannot hold {fraction:.0%} of {len(data)} images out for selection: add images, or train with hold_out=0"
        )
    apart = set(held)
    return data.subset([name for name in data.names if name not in apart]), data.subset(held)


class Named(Protocol):
    """Whatever has a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


OneNamed = TypeVar("OneNamed", bound=Named)


def picked(entries: Sequence[OneNamed], names: Sequence[str]) -> tuple[OneNamed, ...]:
    """The entries of these names, in their order; `InputError` for a name that is not among them."""
    by_name = {entry.name: entry for entry in entries}
    for name in names:
        if name not in by_name:
            raise InputError(
                f"the data set has no sample '{name}' among its {len(entries)}, the first is {entries[0].name}"
            )
    return tuple(by_name[name] for name in names)


def state_of(path: Path) -> tuple[str, int, int]:
    """What changes when a file is written anew: its name, its size, and its time; `InputError` where it is missing."""
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; add it, or take it off the list") from error
    return path.name, facts.st_size, facts.st_mtime_ns


def _read_labels(path: Path, spec: LabelSpec) -> NDArray[np.uint8]:
    if path.suffix == ".mat":
        from pixelwise.data.matlab import read_matlab_labels

        return read_matlab_labels(path, spec)
    return read_label_map(path, spec)


def _read_instances(path: Path) -> NDArray[np.int32]:
    if path.suffix == ".mat":
        from pixelwise.data.sbd import read_sbd_instances

        return read_sbd_instances(path)
    instances, _ = read_raw_labels(path)
    return np.where(instances == 255, 0, instances).astype(np.int32)
