"""Files written whole or not at all: beside their final place, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it to `path` when the block ends well.

    The name given keeps the suffix, so that writers which choose a format by it work. If the block raises, the
    half-written file is removed and whatever stood at `path` before still stands.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{final.stem}.", suffix=final.suffix, dir=final.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(beside, final)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def directory_written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The same for a directory: an older one at `path` is replaced only when the new one is complete."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    retired = beside.with_name(beside.name + ".old")
    try:
        yield beside
        beside.chmod(0o777 & ~_umask())
        for file in beside.iterdir():  # some writers make files that only their owner can read
            file.chmod((0o777 if file.is_dir() else 0o666) & ~_umask())
        if final.exists():
            os.replace(final, retired)  # a directory cannot be renamed onto a full one
        try:
            os.replace(beside, final)
        except OSError:
            if retired.exists():
                os.replace(retired, final)
            raise
        shutil.rmtree(retired, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file (UTF-8) whole or not at all."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
