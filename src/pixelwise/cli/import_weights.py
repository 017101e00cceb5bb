"""`pixelwise import-weights`: a file of weights that somebody else released in, a model of ours out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.options import JsonOption, refuse_filled, refuse_unwritable
from pixelwise.errors import InputError, import_extra

if TYPE_CHECKING:
    from pixelwise.labels import LabelSpec
    from pixelwise.weights.importing import Imported


def import_weights(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE [KEY=VALUE]...",
            help="A .caffemodel, with GDN's w0.npy and w1.npy behind it; options of the network, such as width=0.5.",
        ),
    ],
    to: Annotated[str, typer.Option(metavar="NETWORK", help="A name of `pixelwise models`.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    classes: Annotated[
        str | None, typer.Option(help="A classes.txt, or voc; by default VOC's names for 21 classes, else class_0 ...")
    ] = None,
    init: Annotated[
        bool, typer.Option("--init", help="Take an ImageNet classifier's trunk, to start a training from.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring in weights that were released elsewhere.

    Every layer of the file must be known and fit, and every parameter be covered; then a model's folder is written. With
    --init the file is a classifier: VGG16's, CaffeNet's or GoogLeNet's .caffemodel, or torchvision's VGG or ResNet-101.
    """
    import_extra("torch", extra="torch")
    from pixelwise.weights import importing
    from pixelwise.weights.checkpoint import save_checkpoint

    files, options = _sorted_out(words)
    refuse_unwritable(out)
    refuse_filled(out)
    spec = None if classes is None else _label_spec(classes)
    if not init:
        imported = importing.import_weights(files, to, options, spec)
    elif spec is None or len(files) != 1:
        raise InputError("--init takes one file, and --classes to say what will be learned: a classes.txt, or voc")
    else:
        imported = importing.import_classifier(files[0], to, spec, options)
    save_checkpoint(out, imported.checkpoint)
    if as_json:
        print(json.dumps(_facts(imported, out)))
    else:
        print(_table(imported, out))


def _sorted_out(words: Sequence[str]) -> tuple[list[Path], dict[str, Any]]:
    """The files and the options among the words."""
    from pixelwise.training.recipe import read_word

    options = dict(read_word(word, example="width=0.5") for word in words if "=" in word)
    files = [Path(word) for word in words if "=" not in word]
    if not files:
        raise InputError(f"expected a file of weights, got only options: {' '.join(words)}")
    return files, options


def _label_spec(classes: str) -> LabelSpec:
    from pixelwise.data.voc import VOC_CLASSES
    from pixelwise.labels import LabelSpec, read_classes

    return LabelSpec(VOC_CLASSES) if classes == "voc" else read_classes(classes)


def _facts(imported: Imported, out: Path) -> dict[str, Any]:
    checkpoint = imported.checkpoint
    return {
        "model": str(out),
        "network": checkpoint.config.name,
        "options": dict(checkpoint.config.options),
        "classes": list(checkpoint.label_spec.names),
        "origin": imported.origin,
        "parameters": sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        "loaded": dict(imported.taken.loaded),
        "dropped": dict(imported.taken.dropped),
        "notes": list(imported.taken.notes),
    }


def _table(imported: Imported, out: Path) -> str:
    """What was loaded, a line a part of the network, then what was dropped, and what to know."""
    network = imported.checkpoint.network
    rows = []
    loaded = imported.taken.loaded
    for part, layers in _by_part(loaded).items():
        names = f"{layers[0]} .. {layers[-1]} ({len(layers)})" if len(layers) > 2 else ", ".join(layers)
        modules = [network.get_submodule(path) for path in {loaded[layer] for layer in layers}]
        parameters = sum(parameter.numel() for module in modules for parameter in module.parameters(recurse=False))
        rows.append((names, part, f"{parameters:,}"))
    rows = [("layers of the file", "here", "parameters"), *rows] if rows else []
    wide = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = [f"{names:{wide[0]}}  {part:{wide[1]}}  {count:>{wide[2]}}" for names, part, count in rows]
    lines += [f"dropped {layer}: {reason}" for layer, reason in imported.taken.dropped.items()]
    lines += [f"note: {note}" for note in imported.taken.notes]
    spec = imported.checkpoint.label_spec
    return "\n".join([*lines, f"{out}: {imported.checkpoint.config.name}, {len(spec)} classes, from {imported.origin}"])


def _by_part(loaded: Mapping[str, str]) -> dict[str, list[str]]:
    """The file's layers by the part of the network that they went to: the trunk, or a child of the decoder."""
    parts = dict[str, list[str]]()
    for layer, path in loaded.items():
        part = ".".join(path.split(".")[: 1 if path.startswith("backbone.") else 2])
        parts.setdefault(part, []).append(layer)
    return parts
