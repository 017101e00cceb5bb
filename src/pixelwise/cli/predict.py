"""`pixelwise predict`: pictures in, label maps and overlays out; one bad file is reported and the rest is done."""

from __future__ import annotations

import glob
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import DeviceOption, JsonOption, ModelArgument
from pixelwise.errors import InputError

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def predict(
    model: ModelArgument,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Pictures, folders of pictures, or patterns.")],
    out: Annotated[Path, typer.Option(help="Folder for the label maps.")],
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write NAME_overlay.jpg.")] = False,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write NAME_probabilities.npz.")] = False,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Segment pictures at their own size.

    Writes NAME.png a picture, an indexed PNG with the classes' colours, and classes.txt beside them. A folder is
    searched with its sub-folders, which the output repeats. A picture that cannot be read is reported, the others are
    done, and the exit code is 2.
    """
    pictures = find_pictures(paths)
    from pixelwise.inference.model import load
    from pixelwise.labels import write_classes

    loaded = load(model, device=device)
    write_classes(out / "classes.txt", loaded.label_spec)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    with progress("predicting", len(pictures)) as advance:
        for number, (picture, folder) in enumerate(pictures, start=1):
            try:
                result = loaded.predict(picture)
                written = result.save(out / folder, with_overlay=overlay, with_probabilities=probabilities)
                done.append({"picture": str(picture), "labels": str(written), "areas": result.areas()})
            except InputError as error:
                failed.append({"picture": str(picture), "error": str(error)})
                print(f"pixelwise: {error}", file=sys.stderr)
            advance(number, picture.name)
    if as_json:
        print(json.dumps({"done": done, "failed": failed}))
    else:
        _print(done)
    if failed:
        print(f"pixelwise: {len(failed)} of {len(pictures)} pictures could not be read", file=sys.stderr)
        raise typer.Exit(2)


def find_pictures(paths: list[str]) -> list[tuple[Path, Path]]:
    """The pictures that files, folders and patterns stand for, each with the sub-folder its output goes to.

    Raises `InputError` for a path that does not exist, a folder or pattern without pictures, and two pictures whose
    output would have one name.
    """
    found: dict[Path, Path] = {}
    for word in paths:
        path = Path(word)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
            named = [(picture, picture.parent.relative_to(path)) for picture in inside]
        elif path.exists():
            named = [(path, Path())]
        else:
            matches = sorted(glob.glob(word, recursive=True))  # a pattern may begin anywhere
            named = [(Path(match), Path()) for match in matches if Path(match).is_file()]
        if not named:
            expected = "no pictures in it" if path.is_dir() else "no such file, folder or pattern with a match"
            raise InputError(f"{word}: {expected}; expected files ending in {', '.join(sorted(PICTURES))}")
        found |= dict(named)
    places: dict[Path, Path] = {}
    for picture, folder in found.items():
        if (first := places.setdefault(folder / picture.stem, picture)) != picture:
            raise InputError(f"{picture} and {first} would both become {folder / picture.stem}.png: predict them apart")
    return list(found.items())


def _print(done: list[dict[str, Any]]) -> None:
    for entry in done:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in entry["areas"].items())
        print(f"{entry['labels']}  {shares}")
