"""The version and, in a checkout, the commit; in one place that imports nothing before it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__version__ = "0.1.0"


def commit() -> str | None:
    """The full hash of the commit this code runs from, with `-dirty` where tracked files differ from it.

    None for an installed package, and where git does not answer.
    """
    from pathlib import Path

    return commit_of(Path(__file__).resolve().parents[2])


def commit_of(checkout: Path) -> str | None:
    """The same for any folder; None if it is not the top of a checkout (it may lie in one that is somebody else's)."""
    import os
    import subprocess

    if not (checkout / ".git").exists():  # a folder, or in a further worktree a file
        return None
    words = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # A hook's GIT_DIR and GIT_INDEX_FILE would point git elsewhere.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(words, env=plain, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
