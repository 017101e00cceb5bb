"""Import and help are quick, and do not load what only the work itself needs."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

LIMIT_SECONDS = 0.3
ATTEMPTS = 3
RUNS = 5
HEAVY = ("torch", "accelerate", "numba", "scipy", "pandas", "matplotlib", "cv2", "onnxruntime")
# Checking a recipe needs it, saying which verbs there are does not.
UNNEEDED = (*HEAVY, "pydantic", "PIL", "yaml")

CONSOLE_SCRIPT = Path(sys.executable).with_name("pixelwise")
COMMANDS = {
    "import": [sys.executable, "-c", "import pixelwise"],
    "module": [sys.executable, "-m", "pixelwise", "--help"],
    "console script": [str(CONSOLE_SCRIPT), "--help"],
}


def quickest(command: list[str]) -> tuple[float, float]:
    """The least of several runs, in seconds: wall-clock time, and processor time of the process and its children."""
    walls, processors = [], []
    for _ in range(RUNS):
        wall, before = time.perf_counter(), os.times()
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        after = os.times()
        walls.append(time.perf_counter() - wall)
        processors.append(after.children_user - before.children_user + after.children_system - before.children_system)
    return min(walls), min(processors)


@pytest.mark.parametrize("name", COMMANDS)
def test_start_is_quick(name):
    subprocess.run(COMMANDS[name], check=True, capture_output=True, timeout=60)  # the first run writes bytecode
    for _ in range(ATTEMPTS):
        wall, processor = quickest(COMMANDS[name])
        if wall <= LIMIT_SECONDS:
            return
    # On a machine with more to do than cores, waiting for a core is no defect of ours.
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1):
        wall = processor
    assert wall <= LIMIT_SECONDS, f"{name}: at best {wall:.2f} s"


def modules_after(code: str) -> set[str]:
    """The top-level names of all modules that are loaded after running `code`."""
    report = "import sys, json; sys.stderr.write(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_import_loads_nothing_that_is_not_needed():
    loaded = modules_after("import pixelwise")
    assert "pixelwise" in loaded
    assert loaded.isdisjoint({*UNNEEDED, "numpy", "typer", "rich"}), loaded & {*UNNEEDED, "numpy", "typer", "rich"}


def modules_after_command(*words: str) -> set[str]:
    """The same after the command line was run with `words`."""
    return modules_after(
        f"import sys\nfrom pixelwise.cli.main import run\nsys.argv = ['pixelwise', *{words!r}]\n"
        "try:\n    run()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )


def test_help_loads_nothing_that_is_not_needed():
    loaded = modules_after_command("--help")
    assert loaded.isdisjoint(UNNEEDED), loaded & set(UNNEEDED)


def test_help_of_every_verb_loads_nothing_heavy():
    """The verbs are those that the help lists."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    listing = subprocess.run(
        [sys.executable, "-m", "pixelwise", "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    ).stdout
    verbs = re.findall(r"^  ([a-z][a-z-]*)(?: {2,}.*)?$", listing, flags=re.MULTILINE)
    assert {"train", "evaluate", "predict"} <= set(verbs), listing
    for verb in verbs:
        loaded = modules_after_command(verb, "--help")
        assert loaded.isdisjoint(HEAVY), (verb, loaded & set(HEAVY))
