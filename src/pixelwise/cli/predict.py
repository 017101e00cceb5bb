"""`pixelwise predict`: pictures in, label maps and overlays out; one bad file is reported and the rest is done."""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import CrfOption, DeviceOption, JsonOption, ModelArgument, refuse_unwritable
from pixelwise.data.listing import PICTURE_SUFFIXES
from pixelwise.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from pixelwise.inference.model import Model

CLASSES = "classes.txt"


def predict(
    model: ModelArgument,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Pictures, folders of pictures, or patterns.")],
    out: Annotated[Path, typer.Option(help="Folder for the label maps.")],
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write NAME_overlay.jpg.")] = False,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write NAME_probabilities.npz.")] = False,
    crf: CrfOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Segment pictures at their own size.

    Writes NAME.png a picture, an indexed PNG with the classes' colours, and classes.txt beside them. A folder is
    searched with its sub-folders, which the output repeats. A picture that cannot be read is reported, the others are
    done, and the exit code is 2.
    """
    pictures = find_pictures(paths, out)
    refuse_unwritable(out)
    from pixelwise.inference.loading import load

    loaded = load(model, device=device, crf=crf)
    _write_classes(out, loaded)

    def segment(picture: Path, folder: Path) -> dict[str, Any]:
        result = loaded.predict(picture)
        written = result.save(out / folder, with_overlay=overlay, with_probabilities=probabilities)
        return {"picture": str(picture), "labels": str(written), "areas": result.areas()}

    done, failed = do_each("predicting", pictures, segment)
    if as_json:
        print(json.dumps({"done": done, "failed": failed, "crf": loaded.record.get("crf")}))
    else:
        _print(done)
    refuse_failed(failed, len(pictures))


def do_each(
    doing: str, pictures: list[tuple[Path, Path]], make: Callable[[Path, Path], dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Call `make` for each of the pictures of `find_pictures`, with progress: what it says of them, and which failed.

    A picture that fails is told at once, and the rest goes on; errors that say nothing about a picture are raised.
    """
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    with progress(doing, len(pictures)) as advance:
        for number, (picture, folder) in enumerate(pictures, start=1):
            try:
                done.append(make(picture, folder))
            except Exception as error:
                message = _complaint(picture, error)
                failed.append({"picture": str(picture), "error": message})
                print(f"pixelwise: {message}", file=sys.stderr)
            advance(number, picture.name)
    return done, failed


def refuse_failed(failed: list[dict[str, str]], pictures: int) -> None:
    """Leave with the exit code 2 if some of the pictures failed."""
    if failed:
        print(f"pixelwise: {len(failed)} of {pictures} pictures failed, the others are done", file=sys.stderr)
        raise typer.Exit(2)


def find_pictures(paths: list[str], out: Path, ending: str = ".png") -> list[tuple[Path, Path]]:
    """The pictures that files, folders and patterns stand for, each with the sub-folder of `out` its output goes to.

    In folders, hidden files are passed over, and so is what lies in `out`: the output of an earlier run. `ending` is that
    of the output, behind a picture's name. Raises `InputError` for a path that does not exist, a folder or pattern without
    pictures, two pictures whose output would have one name, and a picture that would be written over.
    """
    found: dict[Path, Path] = {}
    for word in paths:
        named = list(_pictures_of(word, out))
        if not named:
            expected = "no pictures in it" if Path(word).is_dir() else "no such file, folder or pattern with a match"
            raise InputError(f"{word or 'an empty path'}: {expected}; expected files ending in {_SUFFIXES}")
        found |= dict(named)
    originals = {_true_place(picture): picture for picture in found}
    places: dict[Path, Path] = {}
    for picture, folder in found.items():
        made = folder / f"{picture.stem}{ending}"
        if (first := places.setdefault(made, picture)) != picture:
            raise InputError(f"{picture} and {first} would both become {made}: give them apart")
        if (over := originals.get(_true_place(out / made))) is not None:
            raise InputError(f"{over}: would be written over by what is made of {picture}; choose another --out")
    return list(found.items())


_SUFFIXES = ", ".join(sorted(PICTURE_SUFFIXES))


def _pictures_of(word: str, out: Path) -> Iterator[tuple[Path, Path]]:
    path = Path(word)
    if word and path.is_dir():
        earlier = out.resolve() if path.resolve() in out.resolve().parents else None
        for picture in sorted(path.rglob("*")):
            inside = picture.relative_to(path)
            hidden = any(part.startswith(".") for part in inside.parts)
            ours = earlier is not None and picture.parent.resolve().is_relative_to(earlier)
            if picture.suffix.lower() in PICTURE_SUFFIXES and picture.is_file() and not (hidden or ours):
                yield picture, inside.parent
    elif word and path.exists():
        yield path, Path()
    else:
        for match in sorted(glob.glob(word, recursive=True)):  # a pattern may begin anywhere
            if Path(match).is_file():
                yield Path(match), Path()


def _true_place(path: Path) -> Path:
    """Where a file lies, however its folder was spelt; a link stays a link, for writing replaces it."""
    return path.parent.resolve() / path.name


def _write_classes(out: Path, model: Model) -> None:
    """Write what the label maps' values mean; raise `InputError` where they would come to lie beside others."""
    from pixelwise.labels import read_classes, write_classes

    path = out / CLASSES
    if path.exists() and read_classes(path).names != model.label_spec.names:
        raise InputError(f"{path}: holds other classes than the model has; choose another --out")
    write_classes(path, model.label_spec)


def _complaint(picture: Path, error: Exception) -> str:
    """What to say of a picture that failed; errors that say nothing about the picture are raised again."""
    if isinstance(error, InputError):
        return str(error)
    if is_out_of_memory(error):
        return f"{picture}: too large for the memory; scale it down"
    raise error


def _print(done: list[dict[str, Any]]) -> None:
    for entry in done:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in entry["areas"].items())
        print(f"{entry['labels']}  {shares}")
