"""A folder in which an evaluation keeps what is done, a line an image: one that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelwise.errors import InputError
from pixelwise.evaluation.evaluation import Evaluation


class Kept:
    """The counts of images, in JSON lines that are only ever appended to; the first line says what they belong to.

    folder  made where it is not there; each of several processes writes a file of its own, and all read all
    about   what must be the same for counts to belong together: classes, head, model, data and so on
    file    the name of the file to append to, `counts*.jsonl`

    A line that a kill cut short is dropped. Raises `InputError` for a folder that belongs to another evaluation, and
    for a file that cannot be read.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], file: str = "counts.jsonl") -> None:
        self.folder = folder
        self.about = json.loads(json.dumps(about))
        self._path = folder / file

    def read(self) -> dict[str, Evaluation]:
        """What is done, by the image's name; also makes the file to append to ready."""
        done: dict[str, Evaluation] = {}
        for path in sorted(self.folder.glob("counts*.jsonl")):
            whole = path.read_bytes().rpartition(b"\n")[0]
            for number, line in enumerate(whole.splitlines(), start=1):
                try:
                    record = dict(json.loads(line))
                    if number == 1:
                        self._refuse_others(path, record)
                    else:
                        one = Evaluation.from_json({**self.about, **record})
                        done[one.images[0]] = one
                except (ValueError, TypeError, LookupError) as error:
                    if isinstance(error, InputError):
                        raise
                    raise InputError(
                        f"{path}, line {number}: not what was written there; remove the file and begin again"
                    ) from error
        self._begin()
        return done

    def add(self, one: Evaluation) -> None:
        """Keep the counts of one image."""
        record = {name: value for name, value in one.to_json().items() if name not in self.about}
        with self._path.open("ab") as file:
            file.write(json.dumps(record).encode() + b"\n")

    def _begin(self) -> None:
        """A file with its first line, and no half line at its end to which the next would be glued."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            file.seek(0)
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
            if b"\n" not in content:
                file.write(json.dumps(self.about).encode() + b"\n")

    def _refuse_others(self, path: Path, record: Mapping[str, Any]) -> None:
        theirs, ours = _flat(record), _flat(self.about)
        for name in sorted(theirs.keys() | ours.keys()):
            if theirs.get(name) != ours.get(name):
                raise InputError(
                    f"{path}: belongs to another evaluation, its {name} is {theirs.get(name)} and not {ours.get(name)}; "
                    f"choose another folder, or remove this one"
                )


def _flat(about: Mapping[str, Any]) -> dict[str, Any]:
    """What counts belong to, with each of the facts by its own name, so that an error can tell which one differs."""
    return {**{name: value for name, value in about.items() if name != "facts"}, **about.get("facts", {})}
