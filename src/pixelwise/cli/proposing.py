"""What verbs with proposals share: words of the command line in, EdgeBoxes with its edges out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.data.listing import PICTURE_SUFFIXES
from pixelwise.errors import InputError, import_extra, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pixelwise.proposals.edge_boxes import EdgeBoxes
    from pixelwise.proposals.edges import EdgeDetector

GRADIENT, HED = "gradient", "hed"

WeightsOption = Annotated[Path | None, typer.Option(help="HED's trained weights, a file, for --edges hed.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A number of EdgeBoxes, such as max_boxes=500; may be repeated."),
]


@dataclass(frozen=True)
class Edges:
    """Where edges come from, by picture, and the words that say so in a record."""

    detector: Callable[[Path], EdgeDetector]
    words: Callable[[Path], str]


def edge_boxes(words: list[str] | None) -> EdgeBoxes:
    """EdgeBoxes with `NAME=VALUE` words, and a check that OpenCV can do it; `InputError` for what is no number of it."""
    from pixelwise.proposals.edge_boxes import EdgeBoxes, edge_boxes_module
    from pixelwise.training.recipe import read_word

    edge_boxes_module()
    given = {}
    known = EdgeBoxes().settings
    for word in words or []:
        name, value = read_word(word, example="max_boxes=500")
        if name not in known:
            raise unknown_name("number of EdgeBoxes", name, known)
        whole = name in ("max_boxes", "longest_side")
        fits = isinstance(value, int) if whole else isinstance(value, int | float)
        if isinstance(value, bool) or not (fits or (name == "longest_side" and value is None)):
            raise InputError(f"{word}: expected {'a whole number' if whole else 'a number'}, got {value!r}")
        given[name] = value
    return replace(EdgeBoxes(), **given)


def find_edges(word: str, weights: Path | None) -> Edges:
    """What `--edges` and `--weights` mean: gradients, HED, or maps in a file or a folder; `InputError` for anything else."""
    from pixelwise.proposals.edges import gradient_edges

    if weights is not None and word != HED:
        raise InputError(f"--weights {weights} goes with --edges {HED}, got --edges {word}: leave one of them out")
    if word == GRADIENT:
        return Edges(lambda picture: gradient_edges, lambda picture: GRADIENT)
    if word == HED:
        return _hed(weights)
    place = Path(word)
    if not place.exists():
        raise InputError(
            f"--edges {word}: expected {GRADIENT}, {HED}, or a file or folder of edge maps, but no such file is there"
        )
    return Edges(
        lambda picture: _stored(_map_of(picture, place), picture), lambda picture: _digest(_map_of(picture, place))
    )


def _hed(weights: Path | None) -> Edges:
    if weights is None:
        raise InputError(f"--edges {HED} needs the network's trained weights: give their file by --weights FILE")
    import_extra("torch", extra="torch")
    from pixelwise.proposals.edges import edges_of
    from pixelwise.weights.hed import load_hed

    network = load_hed(weights)
    words = f"{HED} {_digest(weights)}"
    return Edges(lambda picture: lambda image: edges_of(network.edges(image)), lambda picture: words)


def _map_of(picture: Path, place: Path) -> Path:
    """The file with the edges of a picture: the one that was given, or the one of its name in a folder."""
    if place.is_file():
        return place
    for suffix in (".npy", *PICTURE_SUFFIXES):
        if (path := place / (picture.stem + suffix)).is_file():
            return path
    raise InputError(f"{place}: has no edge map called {picture.stem}.npy or .png for {picture}; add it")


def _stored(path: Path, picture: Path) -> EdgeDetector:
    """The edges in a file as a detector: it is asked for the size to search at."""
    from pixelwise.data.sample import read_image
    from pixelwise.geometry import resize_scores
    from pixelwise.proposals.edges import EdgeMap, edges_of

    strength = _read_map(path)
    size = read_image(picture).shape[:2]
    if strength.shape != size:
        raise InputError(f"{path}: an edge map of {strength.shape}, but {picture} is {size}; they must be of one size")

    def detect(image: NDArray[np.uint8]) -> EdgeMap:
        return edges_of(resize_scores(strength[None], (image.shape[0], image.shape[1]))[0])

    return detect


def _read_map(path: Path) -> NDArray:
    """A map of edge strengths `(H, W)` from an `.npy` file or a grey picture."""
    import numpy as np

    from pixelwise.label_maps import read_raw_labels

    if path.suffix != ".npy":
        values, coding = read_raw_labels(path)
        if coding != "index" or values.max() > 255:
            raise InputError(f"{path}: expected an 8-bit grey picture of edge strengths; save it as one, or as .npy")
        return values.astype(np.uint8)
    try:
        strength = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable .npy file ({error}); save an array (H, W) by numpy.save") from error
    if not isinstance(strength, np.ndarray) or strength.ndim != 2:
        raise InputError(f"{path}: expected an array (H, W) of edge strengths 0..1, got {strength.shape}")
    return strength if strength.dtype == np.uint8 else strength.astype(np.float32)


def _digest(path: Path) -> str:
    """A file's name and what it holds, in short."""
    try:
        return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give another file") from error
