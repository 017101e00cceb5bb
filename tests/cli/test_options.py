"""Checks that go with the options of several verbs."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Refuses

from pixelwise.cli.options import refuse_filled


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path, refuses: Refuses) -> None:
    refuse_filled(tmp_path / "new")
    refuse_filled(tmp_path)
    (tmp_path / ".lock").touch()
    refuse_filled(tmp_path, but=(".lock",))
    with refuses(f"{tmp_path}: holds other files", "choose another --out"):
        refuse_filled(tmp_path)
    (tmp_path / "a.txt").touch()
    with refuses(f"{tmp_path}: holds other files"):
        refuse_filled(tmp_path, but=(".lock",))
