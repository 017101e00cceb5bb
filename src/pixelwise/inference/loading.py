"""From a name or a directory to a model: a network's directory, or a system of them."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from pixelwise.errors import InputError, import_extra, unknown_name
from pixelwise.inference.model import Model
from pixelwise.inference.systems import SYSTEM_FILE, compose, places, read_system, weight_files
from pixelwise.labels import MAIN, LabelSpec
from pixelwise.refinement.presets import read_preset

_log = logging.getLogger("pixelwise")


def load(
    reference: str | os.PathLike[str],
    *,
    device: str | None = None,
    crf: str | os.PathLike[str] | None = None,
    head: str | None = None,
) -> Model:
    """Load a model: a directory, a training run, a system, or the name of a model of ours such as "animals".

    Names are looked up in the folder that the environment variable PIXELWISE_MODELS names, then in `models/` of a
    checkout of the project. The terms under which a model may be used are logged. Of a system each model is loaded once,
    and its record is the system and the records of its models.

    crf   a CRF preset, by its name or file: the scores are refined by it, and the record says so
    head  of a network that has several: which of them answers; None: main

    Raises `InputError` for what cannot be found or read, naming what there is, for a system of models of different
    classes, and for one that is a part of itself.
    """
    folder = find_model(reference)
    preset = None if crf is None else read_preset(crf)
    import_extra("torch", extra="torch")
    is_system = (folder / SYSTEM_FILE).is_file()
    if is_system and head is not None:
        raise InputError(f"{folder}: a system answers by the head main: leave out head, or load one of its models")
    model = _load_system(folder, device, within=()) if is_system else _load_network(folder, device, head)
    return model if preset is None else model.refined(preset)


def _load_network(folder: Path, device: str | None, head: str | None) -> Model:
    from pixelwise.inference.predictors import WholeImage
    from pixelwise.weights.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(folder)
    if terms := checkpoint.record.get("recipe", {}).get("terms"):
        _log.warning("%s: %s", folder.name, terms)
    predictor = WholeImage(checkpoint.network, device, link=checkpoint.link, head=head or MAIN)
    if predictor.head == MAIN:
        return Model(predictor, checkpoint.label_spec, checkpoint.record, checkpoint)
    spec = LabelSpec(tuple(checkpoint.config.options["heads"][head]))
    return Model(predictor, spec, {**checkpoint.record, "head": head}, checkpoint)


def find_model(reference: str | os.PathLike[str]) -> Path:
    """The directory that a model's name, directory or run stands for; `InputError` naming what there is."""
    path = Path(reference)
    for folder in (path, path / "model"):
        if is_model(folder):
            return folder
    if path.is_dir():
        raise InputError(
            f"{path}: no model in it (no config.json, no system.yaml); give a model's directory or a finished run"
        )
    if len(path.parts) == 1 and path.suffix == "":
        named = {
            folder.name: folder for place in _model_places() for folder in sorted(place.glob("*/")) if is_model(folder)
        }
        if path.name in named:
            return named[path.name]
        if named:
            raise unknown_name("model", path.name, named)
        raise InputError(
            f"no model '{path.name}': it is no directory here, and no models lie beside this installation; "
            f"set PIXELWISE_MODELS to the folder models/ of a checkout of pixelwise"
        )
    raise InputError(f"{path}: no such model directory")


def _load_system(folder: Path, device: str | None, within: tuple[Path, ...]) -> Model:
    folder = folder.resolve()
    if folder in within:
        raise InputError(f"{folder / SYSTEM_FILE}: the system is a part of itself; name the models that it is made of")
    system = read_system(folder)
    models = {place: _load_member(place, folder, device, (*within, folder)) for place in places(system)}
    (first, model), *others = models.items()
    for place, other in others:
        if other.label_spec.names != model.label_spec.names:
            raise InputError(
                f"{folder / SYSTEM_FILE}: models of one system know the same classes in the same order; "
                f"{first} has {', '.join(model.label_spec.names)}, {place} has {', '.join(other.label_spec.names)}"
            )
    record = {
        "system": system.model_dump(mode="json", exclude_unset=True),
        "models": {place: dict(member.record) for place, member in models.items()},
    }
    predictors = {place: member.predictor for place, member in models.items()}
    return Model(compose(system, predictors, folder), model.label_spec, record)


def find_member(place: str, folder: Path) -> Path:
    """The directory of a model that the system in `folder` is made of; `place` is as it is named there."""
    return find_model(folder / place if (folder / place).exists() else place)


def digest_of(reference: str | os.PathLike[str], also: bytes = b"") -> str:
    """A word of 16 letters that changes when a model's answers may have: of its weights, a system's parts, and `also`."""
    digest = hashlib.sha256(also)
    for path in _decisive_files(find_model(reference)):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _decisive_files(folder: Path) -> Iterator[Path]:
    """What a model's answers depend on: its weights, or what a system is made of and the weights of all its models."""
    if not (folder / SYSTEM_FILE).is_file():
        yield from sorted(folder.glob("*.safetensors"))
        return
    yield from sorted(folder.glob("*.yaml"))  # the system, and presets that lie beside it
    system = read_system(folder)
    yield from weight_files(system, folder)
    for place in places(system):
        yield from _decisive_files(find_member(place, folder))


def _load_member(place: str, folder: Path, device: str | None, within: tuple[Path, ...]) -> Model:
    found = find_member(place, folder)
    return _load_system(found, device, within) if (found / SYSTEM_FILE).is_file() else load(found, device=device)


def _model_places() -> list[Path]:
    folders = [Path(__file__).parents[3] / "models"]
    if wanted := os.environ.get("PIXELWISE_MODELS"):
        folders.append(Path(wanted))  # later ones win
    return [folder for folder in folders if folder.is_dir()]


def is_model(folder: Path) -> bool:
    """Whether a directory is that of a network or of a system."""
    return (folder / "config.json").is_file() or (folder / SYSTEM_FILE).is_file()
