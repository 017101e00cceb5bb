"""A pytest plugin: where `CI=true`, a skip that tests/allowed_skips.txt does not list is a failure.

A skipped test proves nothing, and nobody reads a list of skips that is always long. A line of the file is a pattern and,
after `  # `, why such skips are allowed; a pattern without that is an error. The pattern is for the test's id as pytest
prints it (`tests/data/test_voc.py::test_counts*`, or a file for skips of whole modules), or, after `reason: `, for what
the skip itself gives as its reason. Of parametrised tests write `test_name*`: brackets have a meaning of their own.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ALLOWED_SKIPS = Path("tests", "allowed_skips.txt")


class SkipPolicy:
    """Turns skips that are not allowed into failures."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = tuple(allowed)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """One test, or its fixtures, was skipped."""
        report = yield
        if not hasattr(report, "wasxfail"):  # an expected failure is reported as skipped, too
            self.judge(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A whole module was skipped."""
        report = yield
        self.judge(report)
        return report

    def judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Make the report of a skip that is not allowed the report of a failure."""
        if not report.skipped:
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        names = (report.nodeid, f"reason: {reason}")
        if not any(fnmatchcase(name, pattern) for name in names for pattern in self.allowed):
            report.outcome = "failed"
            report.longrepr = (
                f"{report.nodeid} was skipped ({reason}), and {ALLOWED_SKIPS.as_posix()} does not allow it: "
                f"install what it needs, or list it there with the reason"
            )


def read_allowed_skips(path: Path) -> list[str]:
    """The patterns of the list; none where there is no list. Raises `pytest.UsageError` for a line with no reason."""
    patterns = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        pattern, _, reason = (part.strip() for part in line.partition("# "))
        if pattern and not reason:
            raise pytest.UsageError(f"{path}, line {number}: expected 'PATTERN  # reason', got '{line}'")
        if pattern:
            patterns.append(pattern)
    return patterns


def pytest_configure(config: pytest.Config) -> None:
    """Put the policy in force where `CI` is set to a true word."""
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        config.pluginmanager.register(SkipPolicy(read_allowed_skips(config.rootpath / ALLOWED_SKIPS)), "skip-policy")
