"""What docs/evaluation.md tells people: the rules and words are those of the code, and the commands work, in their order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.processes import in_two

from pixelwise.data.shapes import Shapes
from pixelwise.evaluation.confusion import ABSENT_RULES, ConfusionMatrix

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
QUICK = ("steps=2", "batch_size=2", "crop=64", "validate_every=2", "workers=0", "init=none")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def commands() -> list[list[str]]:
    return [shlex.split(line) for block in blocks("sh") for line in block.splitlines() if line.strip()]


def test_the_rules_for_absent_classes_are_all_there_and_do_what_the_table_says():
    rows = re.findall(r"^\| `(\w+)`[^|]* \| (.*) \| (.*) \|$", GUIDE, flags=re.MULTILINE)
    assert [rule for rule, *_ in rows] == list(ABSENT_RULES)
    counted = {"does not count": None, "counts as 0": 0.0, "counts as 1": 1.0}
    matrix = ConfusionMatrix(3)
    matrix.counts[0, 0] = 4
    for rule, neither, _ in rows:  # two classes in neither truth nor prediction beside one that is met
        means = [1.0, *[counted[neither]] * 2]
        there = [value for value in means if value is not None]
        assert matrix.measures(absent=rule).mean_iou == pytest.approx(sum(there) / len(there)), rule
    matrix.counts[0, 1] = 4  # half of it is predicted as the second
    for rule, neither, never_true in rows:
        means = [0.5, counted[never_true], counted[neither]]
        there = [value for value in means if value is not None]
        assert matrix.measures(absent=rule).mean_iou == pytest.approx(sum(there) / len(there)), rule


def test_links_lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target


def test_options_in_the_text_exist():
    from typer.main import get_command

    from pixelwise.cli.main import app

    known = {
        option for verb in get_command(app).commands.values() for parameter in verb.params for option in parameter.opts
    }
    named = set(re.findall(r"(?<![-\w])--[a-z][a-z-]*(?![-\w])", GUIDE))
    assert len(named) > 8
    assert named <= known


@pytest.mark.slow
def test_the_commands_and_the_python_lines_work_in_their_order(tmp_path):
    Shapes(count=20, size=(48, 64)).write(tmp_path / "my-data")
    trainings = [["pixelwise", "train", "my-data", "--out", f"runs/{name}", *QUICK] for name in ("mine", "longer")]
    (lines,) = blocks("python")
    (tmp_path / "lines.py").write_text(lines)
    for command in [*trainings, *commands()]:
        if command[:4] == ["torchrun", "--nproc_per_node", "2", "-m"]:
            alone = subprocess.run(
                [sys.executable, *command[3:]], cwd=tmp_path, capture_output=True, text=True, timeout=300
            )
            assert in_two(*command[3:], folder=tmp_path).stdout == alone.stdout != ""
            continue
        assert command[0] == "pixelwise"
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
    done = subprocess.run([sys.executable, "lines.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["both", "kept", "mine", "python"]
    assert len(list((tmp_path / "kept").glob("*.png"))) == 4
