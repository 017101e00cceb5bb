"""`pixelwise doctor`: what is installed, missing and broken, and the line that mends it."""

import importlib.metadata
import json
import tomllib
from pathlib import Path

import pytest

from pixelwise.cli import doctor

VERSION = doctor._version


def findings(pixelwise) -> dict[str, dict[str, str]]:
    answer = pixelwise("doctor", "--json")
    found = json.loads(answer.out)
    assert answer.code == (2 if any(finding["state"] == "broken" for finding in found) else 0)
    return {finding["subject"]: finding for finding in found}


def test_what_is_installed(pixelwise):
    found = findings(pixelwise)
    assert found["torch"]["state"] == "ok"
    assert importlib.metadata.version("torch") in found["torch"]["detail"]
    assert found["pixelwise"]["detail"]
    assert found["GPU"]["state"] in ("ok", "absent")


def test_the_text_says_the_same(pixelwise):
    lines = pixelwise("doctor").out.splitlines()
    assert [line.split()[1] for line in lines if " -> " not in line] == list(findings(pixelwise))


def test_an_extra_that_is_absent(pixelwise, monkeypatch):
    _import(monkeypatch, {"scipy": ModuleNotFoundError("No module named 'scipy'", name="scipy")})
    found = findings(pixelwise)["sbd"]
    assert (found["state"], found["remedy"]) == ("absent", "pip install 'pixelwise[sbd]'")
    assert "-> pip install 'pixelwise[sbd]'" in pixelwise("doctor").out


def test_every_extra_for_users_is_named():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(doctor.EXTRAS) == set(project["optional-dependencies"]) - {"all", "dev"}


def test_a_package_that_is_a_part_of_a_namespace(pixelwise):
    assert findings(pixelwise)["caffe"]["detail"].endswith(
        f": google.protobuf {importlib.metadata.version('protobuf')}"
    )


@pytest.mark.parametrize("missing", ["google", "google.protobuf"])
def test_a_namespace_may_be_absent_with_its_part(missing, pixelwise, monkeypatch):
    _import(monkeypatch, {"google.protobuf": ModuleNotFoundError(f"No module named '{missing}'", name=missing)})
    found = findings(pixelwise)["caffe"]
    assert (found["state"], found["remedy"]) == ("absent", "pip install 'pixelwise[caffe]'")


def test_what_an_extra_needs_itself_may_be_absent(pixelwise, monkeypatch):
    _import(monkeypatch, {"scipy": ModuleNotFoundError("No module named 'scip'", name="scip")})
    found = findings(pixelwise)["sbd"]
    assert (found["state"], found["detail"]) == ("broken", "scipy: No module named 'scip'")


@pytest.mark.parametrize("error", [OSError("libfoo.so: cannot open\nmore"), AttributeError("no attribute 'x'")])
def test_an_extra_that_is_broken(error, pixelwise, monkeypatch):
    _import(monkeypatch, {"scipy": error})
    found = findings(pixelwise)["sbd"]
    assert found["state"] == "broken"
    assert found["detail"] == f"scipy: {str(error).splitlines()[0]}"
    text = pixelwise("doctor")
    assert "BROKEN  sbd" in text.out
    assert text.code == 2


def test_a_torchvision_of_another_torch(pixelwise, monkeypatch):
    _import(monkeypatch, {"torchvision": RuntimeError("operator torchvision::nms does not exist")})
    found = findings(pixelwise)["torchvision"]
    assert found["state"] == "broken"
    assert "pip uninstall -y torchvision" in found["remedy"]


def test_opencv_wheels_over_each_other(pixelwise, monkeypatch):
    wheels = ("opencv-python", "opencv-contrib-python-headless")
    monkeypatch.setattr(doctor, "_version", lambda name: "4.12.0" if name in wheels else VERSION(name))
    found = findings(pixelwise)["OpenCV"]
    assert found["state"] == "broken"
    assert "2 wheels overwrite each other" in found["detail"]
    assert found["remedy"].startswith("pip uninstall -y opencv-python opencv-contrib-python-headless &&")


def test_an_opencv_without_the_part_that_proposals_need(pixelwise, monkeypatch):
    monkeypatch.delattr("cv2.ximgproc")
    found = findings(pixelwise)["OpenCV"]
    assert found["state"] == "broken"
    assert "has no ximgproc" in found["detail"]
    assert found["remedy"].endswith("opencv-contrib-python-headless")


def _import(monkeypatch, errors: dict[str, Exception]) -> None:
    """Let the import of some modules fail."""
    importing = importlib.import_module

    def import_module(name: str):
        if name in errors:
            raise errors[name]
        return importing(name)

    monkeypatch.setattr(doctor.importlib, "import_module", import_module)
