"""What docs/recipes.md tells people: its tables are what the files say, and its commands work, in their order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pixelwise.data.shapes import LABEL_SPEC, Shapes
from pixelwise.training.recipe import list_recipes

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
QUICK = ("options={width: 0.05}", "steps=2", "batch_size=2", "crop=65", "workers=0")


def test_the_tables_hold_what_the_files_say():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", GUIDE, re.MULTILINE)
    told = {}
    for name, path in list_recipes().items():
        if path.parent.name != "recipes":
            lines = path.read_text(encoding="utf-8").splitlines()
            expected = next(line for line in lines if line.startswith("# Expected: "))
            told[name] = (lines[0].removeprefix("# "), expected.removeprefix("# Expected: "))
    assert {name: (what, expected) for name, what, expected in rows} == told
    assert len(rows) == len(told)
    counted = re.search(r"Recipes of the papers: (\d+) trainings", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert counted is not None
    assert int(counted[1]) == len(told)


@pytest.mark.slow
def test_the_commands_work_in_their_order(tmp_path):
    from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

    (block,) = re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)
    made, *trainings = [shlex.split(line) for line in block.splitlines()]
    Shapes(count=10, size=(48, 64)).write(tmp_path / "my-data")
    # A classifier's file is half a gigabyte; that the first command reads one is held by the tests of import-weights.
    assert made[:2] == ["pixelwise", "import-weights"]
    config = NetworkConfig(made[made.index("--to") + 1], len(LABEL_SPEC), {"width": 0.05})
    save_checkpoint(tmp_path / made[made.index("--out") + 1], Checkpoint(config.build(), config, LABEL_SPEC))
    for command in trainings:
        done = subprocess.run(
            [sys.executable, "-m", *command, *QUICK], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "msc" / "model" / "model.safetensors").is_file()
