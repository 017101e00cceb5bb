"""`pixelwise propose`: pictures in, boxes that may hold an object out, as JSON and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.options import JsonOption, refuse_unwritable
from pixelwise.cli.predict import do_each, find_pictures, refuse_failed
from pixelwise.cli.proposing import GRADIENT, Edges, SetOption, WeightsOption, edge_boxes, find_edges
from pixelwise.errors import InputError
from pixelwise.files import write_text, written_beside

if TYPE_CHECKING:
    from pixelwise.proposals.edge_boxes import EdgeBoxes


def propose(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Pictures, folders of pictures, or patterns.")],
    out: Annotated[Path, typer.Option(help="Folder for the boxes.")],
    edges: Annotated[
        str,
        typer.Option(
            metavar="gradient|hed|FILE",
            help="Where edges come from; FILE: .npy or a grey picture, or a folder of them by the pictures' names.",
        ),
    ] = GRADIENT,
    weights: WeightsOption = None,
    settings: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Make also what is there already.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Propose boxes that may hold an object, by EdgeBoxes, best first.

    Writes NAME.json a picture, with all boxes, and NAME_boxes.jpg with the best ten drawn. What an earlier run made of
    the same picture with the same settings is kept, so an interrupted run goes on. A picture that cannot be read is
    reported, the others are done, and the exit code is 2.
    """
    pictures = find_pictures(images, out, ending=".json")
    refuse_unwritable(out)
    _refuse_between(pictures, out)
    search, found = edge_boxes(settings), find_edges(edges, weights)
    done, failed = do_each(
        "proposing", pictures, lambda picture, folder: _propose(picture, out / folder, search, found, force)
    )
    if as_json:
        print(json.dumps({"done": done, "failed": failed}))
    else:
        for entry in done:
            print(f"{entry['proposals']}  {entry['boxes']:,} boxes{', kept' if entry['kept'] else ''}")
    refuse_failed(failed, len(pictures))


def _refuse_between(pictures: list[tuple[Path, Path]], out: Path) -> None:
    """Raise `InputError` if drawn boxes would come to lie between the pictures, where a later run would find them."""
    made = {(out / folder).resolve() for _, folder in pictures}
    for picture, _ in pictures:
        if picture.parent.resolve() in made:
            raise InputError(
                f"{picture.parent}: holds the pictures, and boxes are drawn as pictures; choose another --out"
            )


def _propose(picture: Path, folder: Path, search: EdgeBoxes, edges: Edges, force: bool) -> dict[str, Any]:
    """Write the boxes of one picture, unless they are there; what to say of it."""
    from dataclasses import replace

    from PIL import Image

    from pixelwise.data.sample import read_image
    from pixelwise.report.proposals import draw_boxes

    target, drawn = folder / f"{picture.stem}.json", folder / f"{picture.stem}_boxes.jpg"
    made_by = {"edges": edges.words(picture), **search.settings}
    earlier = None if force or not drawn.is_file() else _earlier(target, picture, made_by)
    if earlier is not None:
        return {"picture": str(picture), "proposals": str(target), "boxes": earlier, "kept": True}
    image = read_image(picture)
    proposals = replace(search, edges=edges.detector(picture))(image)
    with written_beside(drawn) as beside:
        Image.fromarray(draw_boxes(image, proposals)).save(beside, quality=92)
    record = {
        "picture": str(picture), "size": list(image.shape[:2]), "made_by": made_by, "order": "y0 x0 y1 x1, half-open",
        "boxes": proposals.boxes.tolist(), "objectness": [round(float(score), 6) for score in proposals.objectness],
    }  # fmt: skip
    write_text(target, json.dumps(record) + "\n")  # last: where it is, all is there
    return {"picture": str(picture), "proposals": str(target), "boxes": len(proposals), "kept": False}


def _earlier(target: Path, picture: Path, made_by: dict[str, Any]) -> int | None:
    """How many boxes an earlier run wrote; None if it wrote none, or of an older picture or with other settings."""
    try:
        if target.stat().st_mtime_ns < picture.stat().st_mtime_ns:
            return None
        record = json.loads(target.read_text(encoding="utf-8"))
        return len(record["boxes"]) if record["made_by"] == made_by else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
