"""The few things that are asked of git."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from new_service.errors import NewServiceError

# Who commits where git does not know the user.
_COMMITTER = ("-c", "user.name=new_service.sh", "-c", "user.email=new_service@localhost")


def git(folder: Path, *arguments: str) -> str:
    """The output of a git command in a folder.

    Raises:
        NewServiceError: it failed, or there is no git.
    """
    completed = _run(folder, arguments)
    if completed.returncode != 0:
        reason = (completed.stderr or completed.stdout).strip()
        raise NewServiceError(f"git {arguments[0]} failed in {folder}: {reason}")
    return completed.stdout


def commit_of(folder: Path) -> str:
    """The commit that is checked out, with "-modified" behind it if files differ; "unknown" without git."""
    try:
        commit = git(folder, "rev-parse", "HEAD").strip()
        return f"{commit}-modified" if git(folder, "status", "--porcelain").strip() else commit
    except NewServiceError:
        return "unknown"


def commit_all(folder: Path, message: str) -> None:
    """Makes a repository of a folder, and its first commit.

    Raises:
        NewServiceError: git can't.
    """
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    knows_user = _run(folder, ("config", "user.email")).returncode == 0
    options = () if knows_user else _COMMITTER
    git(folder, *options, "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", message)


def merged(mine: str, base: str, theirs: str, folder: Path) -> tuple[str, int]:
    """The three-way merge of a file, and how many conflicts are marked in it.

    `folder` is an empty one for temporary files.

    Raises:
        NewServiceError: git can't merge them.
    """
    for name, text in (("mine", mine), ("base", base), ("theirs", theirs)):
        (folder / name).write_text(text)
    labels = [
        word for label in ("this project", "as it was made", "the sample now") for word in ("-L", label)
    ]
    completed = _run(folder, ("merge-file", "--stdout", *labels, "mine", "base", "theirs"))
    if not 0 <= completed.returncode < 128:  # more are errors: git-merge-file(1)
        raise NewServiceError(f"git merge-file failed: {completed.stderr.strip()}")
    return completed.stdout, completed.returncode


def _run(folder: Path, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 - fixed commands
            ["/usr/bin/env", "git", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise NewServiceError(f"git can't be run: {error.strerror}") from error
