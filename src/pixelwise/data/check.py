"""A data set in, what is wrong with it out, in words, before anyone trains on it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pixelwise.data.dataset import DataSet, FileDataSet
from pixelwise.data.inspection import Inspected, inspect
from pixelwise.errors import InputError
from pixelwise.geometry import Size
from pixelwise.label_maps import value_name
from pixelwise.labels import IGNORE, LabelSpec

FEW_IMAGES = 3
FEW_SHARE = 0.01
"""A class in fewer images than this, or in a smaller share of them, is hardly learned (unless it is in half of all)."""

MANY_STRANGE_VALUES = 20
"""From this many values that are no class on, they are not labels but noise."""

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: an error stops training or makes its numbers worthless, a warning is worth a look."""

    level: Level
    text: str


@dataclass(frozen=True)
class ClassShare:
    """How much of a class there is, shares in 0..1.

    pixels         its share of the labelled pixels
    images         how many images it is in
    where_present  its share of the labelled pixels of these images
    """

    name: str
    pixels: float
    images: int
    where_present: float


@dataclass(frozen=True)
class Report:
    """What a data set is like and what is wrong with it.

    images    how many there are
    sizes     (H, W) -> how many images have it, the most frequent first; without those that cannot be read
    classes   one a class, in the order of the classes
    ignored   the share of all label pixels that are ignored, 0..1
    problems  errors before warnings
    """

    images: int
    sizes: Mapping[Size, int]
    classes: tuple[ClassShare, ...]
    ignored: float
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop training or make its numbers worthless."""
        return tuple(problem for problem in self.problems if problem.level == "error")

    def to_json(self) -> dict[str, Any]:
        """The same as numbers, texts, lists and dicts."""
        return {
            "images": self.images,
            "sizes": [{"height": size[0], "width": size[1], "images": count} for size, count in self.sizes.items()],
            "classes": [asdict(share) for share in self.classes],
            "ignored": self.ignored,
            "problems": [{"level": problem.level, "text": problem.text} for problem in self.problems],
        }


def check(data: DataSet | Mapping[str, DataSet], progress: Callable[[int, int], None] | None = None) -> Report:
    """Look at every image and label map of a data set, and go on after a bad one.

    `data` is one data set, or several by the names of their splits; then no picture may be in two of them, so give
    `train` and `val`, but not also `trainval`. `progress` is called with (done, all) after each sample. Raises
    `InputError` only if there is no split, or the splits differ in their classes.
    """
    splits: Mapping[str, DataSet] = data if isinstance(data, Mapping) else {"the data set": data}
    spec = _common_classes(splits)
    total, done = sum(map(len, splits.values())), 0
    seen: dict[str, list[Inspected]] = {split: [] for split in splits}
    for split, part in splits.items():
        for index in range(len(part)):
            seen[split].append(inspect(part, index))
            done += 1
            if progress is not None:
                progress(done, total)
    problems = [problem for split, samples in seen.items() for problem in _problems(split, samples, spec)]
    notes = dict.fromkeys(note for part in splits.values() if isinstance(part, FileDataSet) for note in part.notes)
    problems += [*_leaks(seen), *(Problem("warning", note) for note in notes)]
    everything = [sample for samples in seen.values() for sample in samples]
    sizes = Counter(sample.size for sample in everything if sample.size is not None)
    shares, ignored = _shares(everything, spec)
    ordered = sorted(
        problems, key=lambda problem: problem.level
    )  # "error" comes before "warning", and sorting is stable
    return Report(len(everything), dict(sizes.most_common()), shares, ignored, tuple(ordered))


def _common_classes(splits: Mapping[str, DataSet]) -> LabelSpec:
    specs = [part.label_spec for part in splits.values()]
    if not specs:
        raise InputError("nothing to check: give a data set, or one a split")
    for split, spec in zip(splits, specs, strict=True):
        if spec.names != specs[0].names:
            raise InputError(
                f"the splits {next(iter(splits))} and {split} differ in their classes; write one classes.txt"
            )
    return specs[0]


def _shares(samples: Sequence[Inspected], spec: LabelSpec) -> tuple[tuple[ClassShare, ...], float]:
    """The share of each class in the labelled pixels with the images it is in, and the share of ignored in all pixels."""
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    around: Counter[int] = Counter()  # labelled pixels of the images that a class is in
    for sample in samples:
        counts = sample.pixels or {}
        labelled_here = sum(count for index, count in counts.items() if index != IGNORE)
        pixels.update(counts)
        images.update(counts.keys())
        around.update(dict.fromkeys(counts, labelled_here))
    ignored = pixels.pop(IGNORE, 0)
    labelled = pixels.total()
    shares = tuple(
        ClassShare(name, pixels[i] / max(labelled, 1), images[i], pixels[i] / max(around[i], 1))
        for i, name in enumerate(spec.names)
    )
    return shares, ignored / max(labelled + ignored, 1)


def _problems(split: str, samples: Sequence[Inspected], spec: LabelSpec) -> Iterator[Problem]:
    yield from _strange_values(split, samples, spec)
    yield from (Problem("error", text) for sample in samples for text in sample.errors)
    yield from _class_problems(split, samples, spec)
    for text, some in (
        ("images with only ignored pixels, which teach nothing: remove them", [s for s in samples if _is_blank(s)]),
        ("masks saved as JPEG, which blurs values: export them again as PNG", [s for s in samples if s.jpeg]),
        ("masks saved as colour pictures, but grey: they are read as values", [s for s in samples if s.grey_rgb]),
        ("images without a label map", [s for s in samples if s.pixels is None and not s.errors]),
    ):
        if some:
            yield Problem("warning", f"{split}: {text}; {len(some):,} of {len(samples):,}, first {some[0].name}")
    yield from _twins(split, samples)


def _is_blank(sample: Inspected) -> bool:
    return sample.pixels is not None and set(sample.pixels) == {IGNORE} and not sample.strange


def _strange_values(split: str, samples: Sequence[Inspected], spec: LabelSpec) -> Iterator[Problem]:
    """One problem for the set, with the likely cause, and one a file."""
    bad = [sample for sample in samples if sample.strange]
    if not bad:
        return
    pixels: Counter[int] = Counter()
    for sample in bad:
        pixels.update(sample.strange)
    found = f"values that are no class in {len(bad):,} of {len(samples):,} masks: {_histogram(pixels, spec)}"
    yield Problem("error", f"{split}: {found}; {_cause(pixels, spec, samples)}")
    for sample in bad:
        yield Problem(
            "error", f"{sample.name}: its mask holds values that are no class: {_histogram(sample.strange, spec)}"
        )


def _cause(strange: Mapping[int, int], spec: LabelSpec, samples: Sequence[Inspected]) -> str:
    if len(strange) >= MANY_STRANGE_VALUES:
        return "likely the masks were smoothed, scaled or saved as JPEG: export them again as PNG, unsmoothed"
    if set(strange) == {255} and len(spec) == 2:
        return f"likely masks of 0 and 255: write '255 {spec.names[1]}' into classes.txt"
    first_seen = any(0 in (sample.pixels or {}) for sample in samples)
    if set(strange) == {len(spec)} and spec.coding == "index" and not first_seen:
        return "likely the masks count classes from 1: number the lines of classes.txt from 1"
    value = value_name(max(strange, key=lambda value: strange[value]), spec.coding)
    return f"write '{value} NAME' or '{value} NAME ignore' into classes.txt"


def _histogram(pixels: Mapping[int, int], spec: LabelSpec) -> str:
    """The most frequent values with their pixels, in words."""
    frequent = Counter(pixels).most_common(8)
    named = ", ".join(f"{value_name(value, spec.coding)} ({count:,} pixels)" for value, count in frequent)
    return named + (f" and {len(pixels) - len(frequent)} more" if len(pixels) > len(frequent) else "")


def _class_problems(split: str, samples: Sequence[Inspected], spec: LabelSpec) -> Iterator[Problem]:
    shares, ignored = _shares(samples, spec)
    labelled = sum(sample.pixels is not None for sample in samples)
    if not labelled:
        return
    unseen = [share.name for share in shares if share.images == 0]
    if len(spec) == 2 and unseen == [spec.names[1]] and ignored and spec.raw.get(255) == IGNORE:
        yield Problem(
            "error",
            f"{split}: '{unseen[0]}' never occurs, but {ignored:.1%} of the pixels are ignored: likely masks of 0 and 255; "
            f"write '255 {unseen[0]}' into classes.txt",
        )
    elif unseen:
        yield Problem("warning", f"{split}: classes that never occur: {', '.join(unseen)}")
    for share in shares:
        if 0 < share.images < min(max(FEW_IMAGES, FEW_SHARE * labelled), labelled / 2):
            yield Problem("warning", f"{split}: '{share.name}' is in only {share.images} of {labelled} images")


def _by_content(samples: Sequence[Inspected]) -> dict[bytes, list[str]]:
    names: defaultdict[bytes, list[str]] = defaultdict(list)
    for sample in samples:
        if sample.content is not None:
            names[sample.content].append(sample.name)
    return names


def _twins(split: str, samples: Sequence[Inspected]) -> Iterator[Problem]:
    for names in _by_content(samples).values():
        if len(names) > 1:
            yield Problem("warning", f"{split}: the same picture {len(names)} times: {', '.join(names)}; keep one")


def _leaks(seen: Mapping[str, Sequence[Inspected]]) -> Iterator[Problem]:
    """An error for each two splits that share pictures."""
    contents = {split: _by_content(samples) for split, samples in seen.items()}
    splits = list(seen)
    for i, one in enumerate(splits):
        for other in splits[i + 1 :]:
            if shared := [content for content in contents[one] if content in contents[other]]:
                pairs = ", ".join(
                    f"{contents[one][content][0]} = {contents[other][content][0]}" for content in shared[:5]
                )
                more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
                yield Problem(
                    "error",
                    f"{one} and {other} share {len(shared)} pictures: {pairs}{more}; numbers on {other} would be worthless: "
                    f"take them out of one of the two",
                )
