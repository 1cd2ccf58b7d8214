"""What a project remembers of how it was made: its origin, and each file as it was then."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from new_service.errors import NewServiceError
from new_service.generation import Plan, write
from new_service.git import commit_of
from new_service.names import Names, model_of
from new_service.properties import parse_property
from new_service.sample import Sample, read_sample
from suite.table import ROOT

FOLDER = ".origin"
_RECORD = f"{FOLDER}/origin.json"
_PRISTINE = f"{FOLDER}/pristine"
_OWN = {".git", ".venv", FOLDER}


def remember(folder: Path, plan: Plan) -> None:
    """Writes the record of a project that was just made, and a copy of each of its files."""
    write(folder / _PRISTINE, files_of(folder))
    record = {
        "sample": plan.sample.name,
        "commit": commit_of(ROOT),
        "suite": plan.suite,
        "package": plan.names.package,
        "model": plan.names.model.one.camel,
        "plural": plan.names.model.several.snake,
        "properties": [str(declared) for declared in plan.names.properties],
        "port": plan.port,
    }
    (folder / _RECORD).write_text(json.dumps(record, indent=4) + "\n")


def recorded_plan(folder: Path, read: Callable[[str], Sample] = read_sample) -> Plan:
    """The plan that a project was made by, with its sample as `read` finds it now.

    Raises:
        NewServiceError: the folder is no such project, or the sample is gone.
    """
    path = folder / _RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        return Plan(
            sample=read(record["sample"]),
            names=Names(
                package=record["package"],
                model=model_of(record["model"], record["plural"]),
                properties=tuple(map(parse_property, record["properties"])),
            ),
            port=record["port"],
            suite=record["suite"],
        )
    except FileNotFoundError:
        raise NewServiceError(f"{folder} was not made by new_service.sh: it has no {_RECORD}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise NewServiceError(f"{path} is not as new_service.sh wrote it: {error!r}") from error


def pristine(folder: Path) -> dict[str, str]:
    """Each file as it was made or last updated, by its path in the project."""
    return files_of(folder / _PRISTINE)


def files_of(folder: Path) -> dict[str, str]:
    """The text of each file of a project that was just made, by its path there."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _OWN.intersection(path.relative_to(folder).parts)
    }
