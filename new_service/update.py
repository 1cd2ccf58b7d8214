"""Brings a project what its sample has changed since the project was made."""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from new_service.errors import NewServiceError
from new_service.generation import format_python, write
from new_service.git import git, merged
from new_service.names import check
from new_service.origin import FOLDER, files_of, pristine, recorded_plan, remember
from new_service.sample import Sample, read_sample


@dataclasses.dataclass
class Update:
    """What became of the files whose origin has changed; each list has paths in the project."""

    merged: list[str] = dataclasses.field(default_factory=list)
    added: list[str] = dataclasses.field(default_factory=list)
    deleted: list[str] = dataclasses.field(default_factory=list)
    conflicts: list[str] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    """Files that one side deleted and the other changed: they stay as the project has them."""


def update(folder: Path, read: Callable[[str], Sample] = read_sample) -> Update:
    """Merges the sample, as `read` finds it now, into the project, three-way, file by file; commits nothing.

    Raises:
        NewServiceError: the folder is no such project, has uncommitted changes, or its names are taken in the
            sample now. Nothing is changed then.
    """
    plan = recorded_plan(folder, read)
    if git(folder, "status", "--porcelain").strip():
        raise NewServiceError(f"{folder} has changes that are not committed: commit or stash them first")
    check(plan.names, plan.sample)
    with tempfile.TemporaryDirectory() as temporary:
        (fresh := Path(temporary) / "fresh").mkdir()
        (scratch := Path(temporary) / "scratch").mkdir()
        write(fresh, plan.files())
        format_python(fresh)
        new, base = files_of(fresh), pristine(folder)
        result = Update()
        texts = {path: _merged(folder, path, base, new, scratch, result) for path in sorted({*base, *new})}
        for path, text in texts.items():
            _write(folder / path, text, fresh / path)
        remember(fresh, plan)
        shutil.rmtree(folder / FOLDER)
        shutil.copytree(fresh / FOLDER, folder / FOLDER)
    return result


def _merged(
    folder: Path, path: str, base: dict[str, str], new: dict[str, str], scratch: Path, result: Update
) -> str | None:
    """The text that the project gets, None for no file; `result` learns what happened to it."""
    current = (folder / path).read_text() if (folder / path).exists() else None
    before, now = base.get(path), new.get(path)
    if now in (before, current):
        return current
    if before == current:
        (result.deleted if now is None else result.added if before is None else result.merged).append(path)
        return now
    if current is None or now is None:
        result.kept.append(path)
        return current
    text, conflicts = merged(current, before or "", now, scratch)
    (result.conflicts if conflicts else result.merged).append(path)
    return text


def _write(target: Path, text: str | None, fresh: Path) -> None:
    if text is None:
        target.unlink(missing_ok=True)
    elif not target.exists() or target.read_text() != text:
        is_new = not target.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        if is_new:
            target.chmod(fresh.stat().st_mode)
