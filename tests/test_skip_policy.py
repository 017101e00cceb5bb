"""With CI=true a skip fails unless it is listed: run on small suites of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_passes(): pass

def test_skips(): pytest.skip("no weights")

@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.skipif(True, reason="no data")
def test_marked(size): pass

@pytest.mark.xfail(reason="known")
def test_expected_failure(): assert False
"""
MODULE = "import pytest\npytest.importorskip('no_such_module')\ndef test_inside(): pass\n"


def run(folder: Path, *, ci: str, allowed: str = "", options: tuple[str, ...] = ()) -> tuple[int, str]:
    (folder / "tests").mkdir()
    (folder / "tests" / "test_suite.py").write_text(SUITE)
    (folder / "tests" / "test_module.py").write_text(MODULE)
    (folder / "tests" / "allowed_skips.txt").write_text(allowed)
    (folder / "tests" / "skip_policy.py").write_text((Path(__file__).parent / "skip_policy.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = -p tests.skip_policy\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", *options],
        cwd=folder,
        env={**environment, "CI": ci},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_skips_are_skips_outside_ci(tmp_path):
    code, output = run(tmp_path, ci="false")
    assert code == 0
    assert "1 passed, 4 skipped, 1 xfailed" in output


@pytest.mark.parametrize(
    "options",
    [pytest.param((), id="one process"), pytest.param(("-n", "2"), id="two processes", marks=pytest.mark.slow)],
)
def test_unlisted_skips_fail_in_ci(tmp_path, options):
    code, output = run(tmp_path, ci="true", allowed="tests/test_module.py  # optional", options=options)
    assert code == 1
    assert "tests/test_suite.py::test_skips was skipped" in output
    assert "no weights" in output
    assert "test_marked[2] was skipped" in output
    assert "1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors" in output


def test_a_skipped_module_fails_in_ci(tmp_path):
    code, output = run(tmp_path, ci="true", allowed="tests/test_suite.py::*  # optional")
    assert code != 0
    assert "tests/test_module.py was skipped" in output


def test_listed_skips_pass_in_ci(tmp_path):
    allowed = "# what may be skipped\n\ntests/test_suite.py::test_*  # no data\ntests/test_module.py  # optional\n"
    code, output = run(tmp_path, ci="true", allowed=allowed)
    assert code == 0
    assert "1 passed, 4 skipped, 1 xfailed" in output


def test_reasons_can_be_listed(tmp_path):
    allowed = "reason: no *  # not here\nreason: could not import 'no_such_module'*  # optional\n"
    code, output = run(tmp_path, ci="true", allowed=allowed)
    assert code == 0
    assert "1 passed, 4 skipped, 1 xfailed" in output


def test_a_line_without_a_reason_is_refused(tmp_path):
    code, output = run(tmp_path, ci="true", allowed="tests/test_suite.py::*\n")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "line 1: expected 'PATTERN  # reason'" in output


def test_a_stale_pattern_is_found():
    """Every pattern of the real list names a file that exists."""
    from tests.skip_policy import ALLOWED_SKIPS, read_allowed_skips

    root = Path(__file__).parents[1]
    patterns = read_allowed_skips(root / ALLOWED_SKIPS)
    for pattern in (pattern for pattern in patterns if not pattern.startswith("reason: ")):
        assert list(root.glob(pattern.split("::")[0])), pattern
