"""What people see of a training: the note, the recent speed, one voice of several processes, curves and board."""

import os
import pty
import re
import subprocess
import sys

import pytest

from pixelwise.cli.display import Pace, progress
from pixelwise.cli.main import run
from pixelwise.cli.watching import Watcher, note
from pixelwise.training.loop import Progress

FAST = (
    "network=fcn32s_vgg16", "options={width: 0.05}", "init=none", "steps=2", "batch_size=2", "crop=48", "workers=0",
    "validate_every=1", "warmup=0",
)  # fmt: skip


def at(step, *, score=None, best=None, parts=None, seconds=None) -> Progress:
    parts = {"pixels": 0.5} if parts is None else parts
    return Progress(
        step, 100, sum(parts.values()), parts, 0.012, score, best, float(step if seconds is None else seconds)
    )


@pytest.fixture
def train(monkeypatch, capsys):
    def train(*words):
        monkeypatch.setattr(sys, "argv", ["pixelwise", "train", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            run()
        written = capsys.readouterr()
        return end.value.code or 0, written.out, written.err

    return train


def test_speed_is_of_recent_steps_and_a_validation_between_them_does_not_count():
    pace = Pace(recent=3)
    told = [pace.steps_per_second(step, seconds) for step, seconds in ((1, 0), (2, 2), (3, 4), (4, 60), (5, 60.5))]
    assert told == [None, 0.5, 0.5, 0.5, 0.5]
    assert pace.steps_per_second(6, 61) == 2


def test_speed_of_a_resumed_run_is_that_of_its_own_steps():
    pace = Pace()
    assert pace.steps_per_second(1000, 5.0) is None
    assert pace.steps_per_second(1001, 7.0) == 0.5


def test_a_clock_that_begins_anew_between_two_stages_does_not_count():
    pace = Pace(recent=1)
    told = [pace.steps_per_second(step, seconds) for step, seconds in ((1, 10), (2, 12), (3, 2), (4, 6))]
    assert told == [None, 0.5, 0.5, 0.25]


def test_the_note_says_what_there_is():
    assert note(at(1), None, None) == "loss 0.500  rate 0.012"
    two = at(7, score=0.5, best=0.6, parts={"pixels": 0.25, "image": 0.5})
    assert note(two, 12.34, 0.5) == (
        "loss 0.750 (pixels 0.250, image 0.500)  rate 0.012  12.3 images/s  mIoU 0.5000, best 0.6000"
    )
    assert note(at(8, best=0.6), 12.34, None).endswith("mIoU best 0.6000")


def test_the_latest_score_stays_in_sight_and_counts_are_told():
    told = []
    watcher = Watcher(lambda done, said: told.append((done, said)), images_a_step=4)
    watcher.tell(at(1))
    watcher.tell(at(2, score=0.5, best=0.5))
    watcher.tell(at(3, best=0.5))
    assert told[-1] == (3, "loss 0.500  rate 0.012  4.0 images/s  mIoU 0.5000, best 0.5000")


def test_lines_come_at_most_every_thirty_seconds(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr("pixelwise.cli.display.time.monotonic", lambda: clock[0])
    with progress("training", 500) as advance:
        for step in range(401, 501):
            clock[0] += 1
            advance(step, "x")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"training {step}/500" for step in (430, 460, 490, 500)]
    assert "0.5 min, 1.2 min left  x" in lines[0]  # 29 steps in 30 seconds: the 400 before are not this session's


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
def test_the_live_bar_fits_into_80_columns():
    program = (
        "from pixelwise.cli.display import progress\n"
        "with progress('training', 12000) as advance:\n"
        "    advance(1, ''); advance(11000, 'loss 0.5  ' * 20)\n"
    )
    mine, theirs = pty.openpty()
    plain = os.environ | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", program], stderr=theirs, env=plain) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(mine, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not part:
                break
            written += part
        assert process.wait(60) == 0
    os.close(mine)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode()))
    assert max(map(len, lines)) <= 80
    last = [line for line in lines if line.strip()][-2:]
    assert re.match(r"training ━.* 11000/12000 0:00:\d\d left \S+", last[0])
    assert last[1].startswith("loss 0.5")
    assert last[1].rstrip().endswith("…")


def test_only_the_first_of_several_processes_speaks(monkeypatch, capfd):
    """A process that is not the first is silent up to its error, which it tells."""
    from pixelwise.cli.main import app

    monkeypatch.setenv("RANK", "1")
    app(["train", "shapes:10", *FAST, "select=train", "hold_out=0.99999"], standalone_mode=False)
    silent = capfd.readouterr()
    assert silent.out == ""
    assert re.fullmatch(r"pixelwise: cannot hold .*\n", silent.err)


def test_curves_at_the_end(train, tmp_path):
    code, out, err = train("shapes:10", *FAST, "--out", tmp_path / "run")
    assert (code, out) == (0, f"{tmp_path / 'run' / 'model'}\n")
    assert f"curves: {tmp_path / 'run' / 'curves.png'}" in err
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_run_without_matplotlib_is_as_good(train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = train("shapes:10", *FAST, "--out", tmp_path / "run")
    assert (code, out) == (0, f"{tmp_path / 'run' / 'model'}\n")
    assert "pip install 'pixelwise[report]'" in err.splitlines()[-1]
    assert not (tmp_path / "run" / "curves.png").exists()


def test_the_board_on_request_leaves_the_training_as_it_is(train, tmp_path):
    (plain, _, _), (watched, _, _) = (
        train("shapes:10", *FAST, "--out", tmp_path / name, *more)
        for name, more in (("plain", ()), ("watched", ("--tensorboard",)))
    )
    assert (plain, watched) == (0, 0)
    assert len(list((tmp_path / "watched" / "tensorboard").iterdir())) == 1
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("plain", "watched")]
    assert weights[0] == weights[1]


def test_a_board_without_tensorboard_is_refused_before_any_work(train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    code, _, err = train("shapes:10", *FAST, "--tensorboard", "--out", tmp_path / "run")
    assert code == 2
    assert "pip install 'pixelwise[tensorboard]'" in err
    assert not (tmp_path / "run").exists()
