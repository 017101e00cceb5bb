"""The commit that code runs from: in a checkout of one's own only, and with a mark where files were changed."""

import subprocess
from pathlib import Path

import pytest

from pixelwise.version import commit, commit_of


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_checkout_is_named_by_its_commit_even_where_a_tag_would_do(checkout):
    git(checkout, "tag", "v1")
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD")


def test_changed_files_are_told_and_new_ones_are_not(checkout):
    (checkout / "new").write_text("two")
    clean = commit_of(checkout)
    (checkout / "file").write_text("two")
    assert commit_of(checkout) == f"{clean}-dirty"


def test_a_further_worktree_is_a_checkout(checkout):
    git(checkout, "worktree", "add", "-q", "beside")
    assert commit_of(checkout / "beside") == commit_of(checkout)


def test_a_folder_inside_of_somebody_elses_checkout_has_none(checkout):
    (checkout / "site-packages").mkdir()
    assert commit_of(checkout / "site-packages") is None


def test_a_hook_in_another_repository_does_not_mislead(checkout, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("other")))
    assert commit_of(checkout) is not None


def test_no_answer_from_git_is_none(checkout, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    assert commit_of(checkout) is None


def test_a_repository_without_a_commit_has_none(tmp_path):
    (tmp_path / ".git").mkdir()
    assert commit_of(tmp_path) is None


def test_this_code_says_where_it_runs_from():
    told = commit()
    if (Path(__file__).parents[1] / ".git").exists():
        assert told is not None
        assert len(told.removesuffix("-dirty")) == 40
    else:
        assert told is None
