"""`pixelwise tune-crf`: a model and labelled pictures in, the CRF parameters that suit it out, as a preset's file."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import (
    DataArgument,
    DeviceOption,
    JsonOption,
    LayoutOption,
    ModelArgument,
    SbdOption,
    announce_layout,
    open_announced,
    refuse_unwritable,
)
from pixelwise.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pixelwise.data.dataset import DataSet
    from pixelwise.data.sample import Sample
    from pixelwise.inference.contracts import Predictor
    from pixelwise.refinement.presets import Preset
    from pixelwise.refinement.tune import Trial, Tuned

REPORTED = ("val", "test", "all")
"""Splits that numbers are reported on: parameters chosen there would make those numbers worthless."""

SHOWN = 10


def tune_crf(
    model: ModelArgument,
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="The preset's file to write, ending in .yaml.")] = Path("crf.yaml"),
    split: Annotated[
        str, typer.Option(help="The split to take images of; not val or test, which are reported.")
    ] = "train",
    part: Annotated[float, typer.Option(help="The part of it to tune on: the same that training holds out.")] = 0.1,
    images: Annotated[int, typer.Option(help="No more images than this.")] = 100,
    start: Annotated[
        str, typer.Option(help="A preset: its Gaussian kernel, normalisation and iterations.")
    ] = "deeplab_v1",
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search the parameters of a dense CRF for a model, coarse to fine, by the mean IoU on a few labelled pictures.

    The pictures are a part of the training split, by default the tenth that `pixelwise train` holds out. Use the file
    by `--crf FILE`. It takes about 45 refinements a picture.
    """
    from pixelwise.inference.loading import find_model, load
    from pixelwise.refinement.presets import read_preset

    if split in REPORTED:
        raise InputError(
            f"--split {split}: numbers are reported on it, and parameters chosen there would make them worthless; "
            f"tune on a part of the training split"
        )
    if not 0 < part <= 1:
        raise InputError(f"--part: expected a part above 0 and up to 1, got {part:g}")
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"--out {out}: expected a file ending in .yaml, which --crf can read")
    refuse_unwritable(out.parent)
    begun = read_preset(start)
    find_model(model)  # before the data is read
    opened = open_announced(data, split, announce_layout(data, layout), sbd)
    loaded = load(model, device=device)
    chosen, acquaintance = _selection(opened, part, images, loaded.record)
    print(f"tuning on {len(chosen)} of them; {acquaintance}", file=sys.stderr)
    tuned = _tuned(loaded.predictor, chosen, loaded.label_spec.names, begun)
    source = (
        f"tuned on {len(chosen)} images of {Path(data).name}, split {split}, for {Path(model).name}: mean IoU "
        f"{tuned.best.score:.4f}, by cross-validation {tuned.crossed:.4f}, without CRF {tuned.plain:.4f}; {acquaintance}"
    )
    assert tuned.best.preset is not None
    best = dataclasses.replace(tuned.best.preset, source=source)
    best.save(out)
    if as_json:
        print(json.dumps(_report(tuned, best, out, len(chosen))))
    else:
        print(table(tuned))
        print(out)
    if tuned.crossed <= tuned.plain:
        print("no better than without a CRF: do not use it with this model", file=sys.stderr)


def _selection(data: DataSet, part: float, images: int, record: Mapping[str, Any]) -> tuple[DataSet, str]:
    """The images to tune on, and whether the model learned from them."""
    from pixelwise.data.dataset import hold_out
    from pixelwise.training.folder import names_hash

    rest, held = hold_out(data, part) if part < 1 else (None, data)
    learned = record.get("training_ids_sha256")
    if rest is not None and learned == names_hash(rest.names):
        acquaintance = "the model has not learned from these"
    elif learned == names_hash(data.names):
        acquaintance = "the model has learned from these, and is surer of them than of new ones"
    else:
        acquaintance = "whether the model has learned from these is not known"
    return held.subset(held.names[:images]), acquaintance


def _tuned(predictor: Predictor, data: DataSet, names: tuple[str, ...], start: Preset) -> Tuned:
    from pixelwise.evaluation.confusion import ConfusionMatrix, Measures
    from pixelwise.evaluation.evaluate import match_classes
    from pixelwise.labels import MAIN
    from pixelwise.refinement.tune import tune

    matched = match_classes(data, names).data

    @functools.lru_cache(maxsize=1)  # every setting of a round asks for the same image
    def sample(index: int) -> Sample:
        return matched[index]

    def scored(index: int) -> tuple[NDArray, NDArray[np.float32]]:
        return sample(index).image, predictor(sample(index).image)

    def count(index: int, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        if MAIN not in sample(index).labels:
            raise InputError(f"{sample(index).name}: has no label map to compare with; choose a split that has")
        matrix = ConfusionMatrix(len(names))
        matrix.add(sample(index).labels[MAIN], scores.argmax(0))
        return matrix.counts

    with progress("tuning", len(matched)) as advance:
        return tune(
            scored,
            len(matched),
            count,
            lambda counts: Measures.of(counts).mean_iou,
            start=start,
            progress=lambda done, _, said: advance(done, said),
        )


def table(tuned: Tuned) -> str:
    """The best settings and none at all, a line each, with the mean IoU."""
    lines = ["mean IoU  bilateral: weight, px, colour  Gaussian: weight, px"]
    shown = [*tuned.trials[:SHOWN], *(trial for trial in tuned.trials[SHOWN:] if trial.preset is None)]
    lines += [_line(trial) for trial in shown]
    best = f"{tuned.best.score:.4f}, by cross-validation {tuned.crossed:.4f}, without CRF {tuned.plain:.4f}"
    return "\n".join([*lines, "", f"{len(tuned.trials) - 1} settings tried; the best: {best}"])


def _line(trial: Trial) -> str:
    if (preset := trial.preset) is None:
        return f"{trial.score:8.4f}  without a CRF"
    bilateral = (preset.bilateral_weight, preset.bilateral_position_std, preset.bilateral_colour_std)
    gaussian = (preset.gaussian_weight, preset.gaussian_std)
    return f"{trial.score:8.4f}  {''.join(f'{value:9.4g}' for value in (*bilateral, *gaussian))}"


def _report(tuned: Tuned, best: Preset, out: Path, images: int) -> dict[str, Any]:
    facts = {"preset": str(out), "images": images, "settings": len(tuned.trials) - 1}
    scores = {"mean_iou": tuned.best.score, "cross_validated": tuned.crossed, "without_crf": tuned.plain}
    return {**facts, **scores, "parameters": dataclasses.asdict(best)}
