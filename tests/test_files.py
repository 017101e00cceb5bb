"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pixelwise.files import directory_written_beside, write_text, written_beside


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def write_half(path: Path) -> None:
    with written_beside(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt


def write_half_a_directory(path: Path) -> None:
    with directory_written_beside(path) as beside:
        (beside / "one").write_text("half")
        raise KeyboardInterrupt


def test_a_written_file_is_there_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "grüße\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "grüße\n"
    assert names_in(tmp_path / "a" / "b") == ["c.txt"]


def test_the_name_beside_keeps_the_suffix(tmp_path: Path) -> None:
    with written_beside(tmp_path / "mask.png") as beside:
        assert beside.suffix == ".png"
        assert beside.parent == tmp_path


def test_an_interrupted_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "new.txt")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_file_leaves_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "old.txt", "whole")
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "old.txt")
    assert (tmp_path / "old.txt").read_text() == "whole"
    assert names_in(tmp_path) == ["old.txt"]


def test_a_file_can_be_read_by_others_as_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "a")
        with directory_written_beside(tmp_path / "d"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


def test_a_directory_replaces_the_older_one_whole(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with directory_written_beside(tmp_path / "d") as beside:
            (beside / name).write_text(name)
    assert names_in(tmp_path / "d") == ["two"]
    assert names_in(tmp_path) == ["d"]


def test_an_interrupted_directory_leaves_the_older_one(tmp_path: Path) -> None:
    with directory_written_beside(tmp_path / "d") as beside:
        (beside / "old").write_text("whole")
    with pytest.raises(KeyboardInterrupt):
        write_half_a_directory(tmp_path / "d")
    assert (tmp_path / "d" / "old").read_text() == "whole"
    assert names_in(tmp_path) == ["d"]


def test_a_directory_that_cannot_be_moved_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "model"
    with directory_written_beside(final) as beside:
        (beside / "weights").write_text("old")
    rename = os.replace

    def full_disk(source: Path, target: Path) -> None:
        if (Path(source) / "weights").read_text() == "new":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"), directory_written_beside(final) as beside:
        (beside / "weights").write_text("new")
    assert (final / "weights").read_text() == "old"
    assert names_in(tmp_path) == ["model"]
