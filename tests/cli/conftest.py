"""The command line in this process: what it exits with and prints, a small model, and small data sets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from pixelwise.cli.main import run
from pixelwise.data.shapes import LABEL_SPEC, Shapes
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

NARROW = NetworkConfig("fcn32s_vgg16", len(LABEL_SPEC), {"width": 0.05})
FAST = (
    f"network={NARROW.name}", "options={width: 0.05}", "init=none", "steps=2", "batch_size=2", "crop=48", "workers=0",
    "hold_out=0", "warmup=0",
)  # fmt: skip


class Answer(NamedTuple):
    """What a command left: its exit code, and the texts on its two streams."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that a mistake is answered with: the last on stderr, where no traceback is."""
        assert self.code == 2, self
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("pixelwise: ")]
        assert lines, self
        assert lines[-1] == self.err.splitlines()[-1]
        return lines[-1].removeprefix("pixelwise: ")


Command = Callable[..., Answer]


@pytest.fixture
def pixelwise(monkeypatch, capsys) -> Command:
    """Runs the command line in this process."""

    def command(*words: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["pixelwise", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run()
        written = capsys.readouterr()
        code = end.value.code or 0
        assert isinstance(code, int)
        return Answer(code, written.out, written.err)

    return command


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A model's directory, of the classes of the generated shapes; one class never wins, the others do by chance."""
    folder = tmp_path_factory.mktemp("models") / "narrow"
    torch.manual_seed(0)
    network = NARROW.build()
    for layer in network.decoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.1)
    save_checkpoint(folder, Checkpoint(network, NARROW, LABEL_SPEC, {"recipe": {}}))
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    """A good data set in a folder, to be spoiled: 8 images for `train` and 2 for `val`."""
    folder = tmp_path / "data"
    Shapes(count=10, size=(48, 64)).write(folder)
    return folder


def placed(word: str, places: dict[str, str]) -> str:
    """The word, or the path that its first part stands for, with the rest behind it: `DATA/images`."""
    first, slash, rest = word.partition("/")
    return places.get(first, first) + slash + rest


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, hidden files included, with its content: to compare before and after."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
