"""`pixelwise refine`: a picture and anybody's scores of it in, its label map and refined scores out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.options import JsonOption, refuse_unwritable
from pixelwise.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pixelwise.data.scores import StoredScores
    from pixelwise.labels import LabelSpec
    from pixelwise.refinement.dense_crf import DenseCRF
    from pixelwise.refinement.tiles import Tiled

CLASSES = "classes.txt"
BAND = 256
"""Rows whose best classes are taken at once: scores may be larger than the memory."""


def refine(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture.")],
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES", help="Scores or probabilities: .npz, .npy, or a folder of pictures, one a class."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the label map and the scores.")],
    crf: Annotated[str, typer.Option(help="A CRF preset by name, or its file.")] = "deeplab_v1",
    classes: Annotated[Path | None, typer.Option(help="A classes.txt with the classes' names and colours.")] = None,
    tile: Annotated[int | None, typer.Option(help="Refine in tiles of this side in pixels: bounded memory.")] = None,
    overlap: Annotated[int, typer.Option(help="Pixels refined around each tile, and thrown away.")] = 128,
    trace: Annotated[str | None, typer.Option(metavar="CLASS", help="Also draw NAME_trace.png of this class.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Refine the scores of a picture by a dense CRF.

    Writes NAME.png, an indexed PNG with the classes' colours, NAME_scores.npy, logarithms of probabilities (K, H, W)
    float32, and classes.txt beside them.
    """
    from pixelwise.data.sample import read_image
    from pixelwise.data.scores import read_scores
    from pixelwise.errors import unknown_name
    from pixelwise.refinement.dense_crf import DenseCRF
    from pixelwise.refinement.tiles import Tiled

    refuse_unwritable(out)
    field = DenseCRF.preset(crf)
    pixels, stored = read_image(image), read_scores(scores)
    spec = _spec(stored, classes, scores)
    if trace is not None and trace not in spec.names:
        raise unknown_name("class", trace, spec.names)
    if stored.values.shape[1:] != pixels.shape[:2]:
        raise InputError(
            f"{scores}: {stored.values.shape[2]} x {stored.values.shape[1]} pixels, but {image} is "
            f"{pixels.shape[1]} x {pixels.shape[0]}; they must cover the same pixels"
        )
    what = "probabilities" if stored.probabilities else "scores"
    print(f"{scores}: {what} of {len(spec)} classes", file=sys.stderr)

    def refined(part: NDArray, values: NDArray) -> NDArray:
        return field(part, stored.scores(values))

    side = max(pixels.shape) if tile is None else tile  # without a tile, one holds it all
    written = _write(Tiled(refined, side, overlap), pixels, stored.values, out / image.stem, spec)
    if trace is not None:
        written["trace"] = f"{out / image.stem}_trace.png"
        _draw(field, pixels, stored.scores(stored.values), trace, spec, Path(written["trace"]))
    print(json.dumps(written) if as_json else "\n".join(written.values()))


def _write(tiled: Tiled, pixels: NDArray, values: NDArray, stem: Path, spec: LabelSpec) -> dict[str, str]:
    """Refine into a file, then write the label map; no more is held of either than the refiner needs."""
    import numpy as np

    from pixelwise.files import written_beside
    from pixelwise.label_maps import write_label_map
    from pixelwise.labels import write_classes

    written = {"labels": f"{stem}.png", "scores": f"{stem}_scores.npy"}
    with written_beside(written["scores"]) as beside:
        target = np.lib.format.open_memmap(beside, mode="w+", dtype=np.float32, shape=values.shape)
        tiled(pixels, values, out=target)
        target.flush()
        bands = (target[:, top : top + BAND] for top in range(0, values.shape[1], BAND))
        labels = np.concatenate([band.argmax(0).astype(np.uint8) for band in bands])
        del target, bands  # some systems rename no file that is open
    write_label_map(written["labels"], labels, spec)
    write_classes(stem.parent / CLASSES, spec)
    return written


def _draw(field: DenseCRF, pixels: NDArray, scores: NDArray, name: str, spec: LabelSpec, target: Path) -> None:
    from pixelwise.report.trace import draw_trace

    index, trace = spec.names.index(name), field.trace(pixels, scores)
    scores_of, beliefs_of = ([stack[index] for stack in stacks] for stacks in (trace.scores, trace.beliefs))
    draw_trace(pixels, scores_of, beliefs_of, target, name=name)


def _spec(stored: StoredScores, classes: Path | None, scores: Path) -> LabelSpec:
    """Names and colours: of the file that was given, or of one beside the scores, or else what the scores say."""
    from pixelwise.labels import LabelSpec, read_classes

    count = len(stored.values)
    if classes is not None:
        spec = read_classes(classes)
        if len(spec) != count:
            raise InputError(f"{classes}: has {len(spec)} classes, but {scores} holds {count}; give the file that fits")
        return spec
    beside = scores.parent / CLASSES
    if beside.is_file() and (spec := read_classes(beside)).names == (stored.names or spec.names) and len(spec) == count:
        return spec
    return LabelSpec(stored.names or tuple(f"class {index}" for index in range(count)))
