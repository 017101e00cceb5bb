"""What docs/training.md tells people: the table of recipe keys is true, and the commands work, in their order."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from pixelwise.data.shapes import Shapes
from pixelwise.training.recipe import Recipe, read_recipe

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
QUICK = ("steps=2", "batch_size=2", "crop=64", "validate_every=2", "workers=0")
STARTERS = (["torchrun", "--nproc_per_node", "2", "-m"], ["accelerate", "launch", "--num_processes", "2", "-m"])


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def commands() -> list[list[str]]:
    return [shlex.split(line) for block in blocks("sh") for line in block.splitlines() if line.strip()]


def quick(command: list[str]) -> list[str]:
    """The command as this Python runs it, so that it takes seconds."""
    for starter in STARTERS:
        if command[: len(starter)] == starter:
            program = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.accelerate_cli"}
            command = [program[starter[0]], *command[1:]]
    words = ["0.1" if before == "--minutes" else word for before, word in zip(["", *command], command, strict=False)]
    short = [] if "train" not in words or "--resume" in words else QUICK
    return [sys.executable, "-m", *words, *short]


def shown(default: object) -> str:
    plain = list(default) if isinstance(default, tuple) else default
    return plain if isinstance(plain, str) and plain else json.dumps(plain)


def test_every_recipe_key_stands_in_the_table_with_its_default_and_meaning():
    rows = re.findall(r"^\| `(\w+)` \| `(.*)` \| (.*) \|$", GUIDE, flags=re.MULTILINE)
    fields = Recipe.model_fields
    assert [key for key, _, _ in rows] == list(fields)
    for key, default, meaning in rows:
        assert default == shown(fields[key].get_default(call_default_factory=True)), key
        assert meaning.strip(), key
        assert fields[key].description in (None, meaning), key


def test_keys_in_the_text_exist_and_take_the_values_shown():
    words = re.findall(r"\b([a-z_]+=[\w.]+)", GUIDE)
    assert len(words) > 10
    for word in words:
        read_recipe("laptop", (word,))


def test_the_recipe_of_ones_own_can_be_read(tmp_path):
    (text,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(text)
    assert read_recipe(tmp_path / "mine.yaml").steps == yaml.safe_load(text)["steps"]


def test_extras_and_files_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for match in re.findall(r"\[([a-z,]+)\]'", GUIDE) for extra in match.split(",")}
    assert named
    assert named <= set(extras)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target


def test_every_command_is_of_a_kind_that_is_tested():
    for command in commands():
        assert command[0] in ("pip", "pixelwise", "tensorboard") or any(
            command[: len(starter) + 1] == [*starter, "pixelwise"] for starter in STARTERS
        )


@pytest.mark.slow
def test_the_commands_work_in_their_order(tmp_path):
    Shapes(count=20, size=(48, 64)).write(tmp_path / "my-data")
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0])
    for command in commands():
        if command[0] == "pip":
            continue
        if command[0] == "tensorboard":
            assert list((tmp_path / command[-1]).glob("events.*"))
            continue
        done = subprocess.run(
            quick(command), cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if "--resume" in command:  # it ran to its end above, and that is what it says
            assert done.returncode == 2
            assert "has finished its" in done.stderr
        else:
            assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
    assert len(list((tmp_path / "predictions").rglob("*_overlay.jpg"))) == 20
