"""What is in the archives that people install from."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WEIGHTS = (".safetensors", ".pth", ".pt", ".caffemodel", ".onnx")


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> tuple[list[str], list[str]]:
    """The names in the wheel and in the source archive, built from this checkout without a download."""
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--sdist",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        in_wheel = opened.namelist()
    with tarfile.open(source) as opened:
        in_source = [name.partition("/")[2] for name in opened.getnames()]
    return in_wheel, in_source


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_recipes_only(archives):
    wheel, _ = archives
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"pixelwise"}
    modules = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert modules <= set(wheel)
    assert "pixelwise/report/style.css" in wheel  # no page is made without it
    recipes = {f"pixelwise/recipes/{path.name}" for path in (ROOT / "recipes").iterdir()}
    assert recipes <= set(wheel)


@pytest.mark.slow
def test_the_source_archive_holds_what_its_tests_need(archives):
    _, source = archives
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "constraints.txt"} <= set(source)
    assert "tests/test_packaging.py" in source
    assert "src/pixelwise/models/__init__.py" in source


@pytest.mark.slow
def test_no_archive_holds_weights(archives):
    for names in archives:
        assert not [name for name in names if name.endswith(WEIGHTS) or name.startswith("models/")]


def test_every_extra_is_in_all_or_left_out_on_purpose():
    heavy = {"tensorboard"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(everything.removeprefix("pixelwise[").removesuffix("]").split(","))
    assert named == set(extras) - {"all", "dev"} - heavy
    developers_get = {canonical(requirement) for requirement in extras["dev"]}
    assert developers_get >= {canonical(requirement) for name in heavy for requirement in extras[name]}


def test_every_dependency_is_pinned():
    """Set-up is the same on every machine only if constraints.txt names whatever pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
    pinned = {canonical(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {canonical(line) for line in wanted} - {"pixelwise"} <= pinned


def canonical(requirement: str) -> str:
    """The name in a requirement, as registries compare names."""
    name = "".join(character if character.isalnum() or character in "-_." else " " for character in requirement)
    return name.split()[0].lower().replace("_", "-")
