"""What is in a data folder: pictures by name, lists of ids, and the sentences for what is missing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pixelwise.errors import InputError, near

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

ALL = "all"
"""The split that is everything; `None` means the same."""


def picture_files(folder: Path) -> dict[str, Path]:
    """The pictures in a folder and its sub-folders, by name: the path inside the folder with `/`, without the suffix.

    In the order of the names; hidden files and folders are passed over. Raises `InputError` where two pictures have
    one name.
    """
    found: dict[str, Path] = {}
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            path = Path(place, file)
            if file.startswith(".") or path.suffix.lower() not in PICTURE_SUFFIXES:
                continue
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                first, second = sorted((found[name].name, file))
                raise InputError(
                    f"{path.parent}: '{first}' and '{second}' have one name; rename or remove one of them, "
                    f"for masks belong to images by name"
                )
            found[name] = path
    return dict(sorted(found.items()))


def read_list(path: Path) -> tuple[str, ...]:
    """Read a list of ids, one a line; empty lines are skipped.

    Raises `InputError` if the file cannot be read, is empty, or lists an id twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable list of ids ({error}); write one id a line") from error
    ids = tuple(stripped for line in lines if (stripped := line.strip()))
    if not ids:
        raise InputError(f"{path}: the list is empty; write one id a line, or remove the file")
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise InputError(f"{path}: lists {len(twice)} ids twice, first {twice[0]}; keep one line each")
    return ids


def read_lists(folder: Path) -> dict[str, tuple[str, ...]]:
    """The lists `*.txt` of a folder by their stem, in the order of the names; none if there is no such folder."""
    return {path.stem: read_list(path) for path in sorted(folder.glob("*.txt")) if not path.name.startswith(".")}


def named_lists(folder: Path, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Of the lists `NAME.txt` of a folder those that there are, in the order of `names`."""
    return {name: read_list(path) for name in names if (path := folder / f"{name}.txt").is_file()}


def counted(lists: Mapping[str, Sequence[str]]) -> str:
    """Each list's name with the number of its ids, as people are told them."""
    return ", ".join(f"{name} {len(ids):,}" for name, ids in lists.items())


def ids_of(where: Path | str, split: str, lists: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The ids of the list `split`, or of every list once for "all".

    Raises `InputError` for a split that does not exist, and for a training list with ids of another.
    """
    if split == ALL:
        return tuple(dict.fromkeys(item for items in lists.values() for item in items))
    refuse_unknown_split(where, split, lists)
    refuse_leak(where, split, lists)
    return lists[split]


def refuse_unknown_split(where: Path | str, split: str, known: Iterable[str]) -> None:
    """Raise `InputError` with the splits there are, and the nearest, if `split` is none of them."""
    names = list(known)
    if split in names:
        return
    meant = near(split, names)
    hint = "" if meant is None else f"did you mean '{meant}'? "
    raise InputError(f"{where}: no split '{split}'; {hint}there are: {', '.join([*names, ALL])}")


def refuse_leak(where: Path | str, split: str, lists: Mapping[str, Sequence[str]]) -> None:
    """Raise `InputError` if the training list `split` holds ids of the list `val` or `test`.

    Lists named `trainval...` hold both on purpose.
    """
    if not split.startswith("train") or split.startswith("trainval"):
        return
    ids = set(lists[split])
    for other in ("val", "test"):
        if common := [name for name in lists.get(other, ()) if name in ids]:
            raise InputError(
                f"{where}: {len(common)} ids of {split} are also in {other}, first {common[0]}; "
                f"numbers on {other} would be worthless: take them out of one of the two lists"
            )


def refuse_missing(where: Path | str, split: str, wanted: Sequence[str], there: Mapping[str, Collection[str]]) -> None:
    """Raise one `InputError` that counts the ids without a file and names the first, for each kind of file.

    `there` is kind of file with its place ("image in JPEGImages") -> ids that have one.
    """
    complaints = []
    for kind, ids in there.items():
        if missing := [name for name in wanted if name not in ids]:
            complaints.append(f"{len(missing)} have no {kind} (first {missing[0]})")
    if complaints:
        raise InputError(
            f"{where}: of the {len(wanted)} ids of split '{split}', {' and '.join(complaints)}; "
            f"add the files, or take the ids off the list"
        )
