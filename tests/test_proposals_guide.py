"""What docs/proposals.md tells people: the table is true, the commands and the lines of Python work, in their order."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pixelwise.data.shapes import Shapes
from pixelwise.proposals.edge_boxes import EdgeBoxes

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "proposals.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_every_number_stands_in_the_table_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| `(.*)` \| .* \|$", GUIDE, flags=re.MULTILINE)
    assert [(name, json.loads(default)) for name, default in rows] == list(EdgeBoxes().settings.items())


def test_extras_and_files_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (named,) = re.findall(r"\[([a-z,]+)\]'", GUIDE)
    assert set(named.split(",")) <= set(extras)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.slow
def test_the_commands_and_the_python_lines_work_in_their_order(tmp_path):
    shutil.copytree(ROOT / "examples" / "photographs", tmp_path / "photographs")
    Shapes(count=10, size=(72, 96)).write(tmp_path / "my-data")
    install, *commands = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    assert install[:2] == ["pip", "install"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for words in [["-m", *command] for command in commands] + [["-c", "\n".join(blocks("python"))]]:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment
        )
        assert done.returncode == 0, f"{words}\n{done.stderr}"
    assert len(json.loads((tmp_path / "boxes" / "cat.json").read_text())["boxes"]) > 1000
    assert len(json.loads((tmp_path / "few-boxes" / "cat.json").read_text())["boxes"]) == 100
    for made in ("recall.png", "stage1.npz", "stage2.npz"):
        assert (tmp_path / made).is_file()
