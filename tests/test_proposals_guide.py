"""What docs/proposals.md tells people: the table is true, the commands and the lines of Python work, in their order."""

from __future__ import annotations

import inspect
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
import yaml

from pixelwise.data.shapes import Shapes
from pixelwise.inference.proposal_wise import ProposalWise
from pixelwise.inference.systems import Node, Windows
from pixelwise.proposals.edge_boxes import EdgeBoxes

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "proposals.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_every_number_stands_in_the_table_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| `(.*)` \| .* \|$", GUIDE, flags=re.MULTILINE)
    assert [(name, json.loads(default)) for name, default in rows] == list(EdgeBoxes().settings.items())


def test_the_keys_of_proposal_wise_stand_in_the_guide_with_their_defaults():
    for block in blocks("yaml"):
        assert Node.model_validate(yaml.safe_load(block)).proposal_wise is not None
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^`|]*) \| .* \|$", GUIDE, flags=re.MULTILINE))
    keys = Windows.model_fields.keys() - {"weights"}
    assert rows.keys() == keys
    defaults = inspect.signature(ProposalWise).parameters
    for name in (keys & defaults.keys()) - {"fill"}:
        assert rows[name] == str(defaults[name].default)
    for name in ("edges", "precision"):
        assert rows[name] == Windows.model_fields[name].default


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
    for made in ("recall.png", "stage1.npz", "stage2.npz", "runs/deconvnet/model/config.json", "deconvnet.html"):
        assert (tmp_path / made).is_file()
