"""What docs/systems.md tells people: the table is true, the commands, the file and the lines of Python work, in their order."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import yaml

from pixelwise.inference.published import PUBLISHED
from pixelwise.inference.systems import Node, read_system

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_the_table_has_every_published_system():
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (`.+?) \| (?:`(\w+)` )?\|? ?(.+) \|$", GUIDE, re.MULTILINE)
    told = {
        name: (title, tuple(networks.replace("`", "").split()), crf or None, source.removeprefix("| "))
        for name, title, networks, crf, source in rows
        if name not in Node.model_fields
    }
    assert told == {name: (one.title, one.networks, one.crf, one.source) for name, one in PUBLISHED.items()}

    assert f" {len(PUBLISHED)} systems of the papers" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_key_of_a_system_is_told():
    rows = re.findall(r"^\| `(\w+)` \| (?:a model|`of`)", GUIDE, re.MULTILINE)
    assert rows == list(Node.model_fields)


def test_links_lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / target).is_file(), target


def test_the_commands_the_file_and_the_lines_of_python_work(tmp_path, monkeypatch, pixelwise, model, data):
    for name in ("largefov", "deconvnet", "fcn8s"):
        shutil.copytree(model, tmp_path / "runs" / name)
    data.rename(tmp_path / "my-data")
    monkeypatch.chdir(tmp_path)
    (commands,) = blocks("sh")
    for line in commands.splitlines():
        answer = pixelwise(*shlex.split(line)[1:])
        assert answer.code == 0, answer
    (text,) = blocks("yaml")
    assert read_system("systems/edeconvnet") == Node.model_validate(yaml.safe_load(text))
    assert len(list(Path("predictions").glob("*.png"))) == 10
    (code,) = blocks("python")
    exec(code, names := {})
    assert names["model"].record["system"]["multi_scale"]["scales"] == [0.5, 0.75, 1.0]
