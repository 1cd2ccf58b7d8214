import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from new_service.__main__ import main, show
from new_service.errors import NewServiceError
from new_service.git import git
from new_service.origin import pristine
from new_service.sample import Sample, read_sample
from new_service.tests.making import made
from new_service.update import Update, update

ACTION, SERVICE = "async_action.py", "service.py"
Read = Callable[[str], Sample]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects") / "invoices"
    return made(folder, "crud/basic", "--model=Invoice", "--property=amount:int")


@pytest.fixture
def project(made_once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made_once, tmp_path / "invoices")


def changed(**modules: tuple[str, str]) -> Read:
    """Reads a sample in whose modules, named without their suffix, one text has become another."""

    def read(name: str) -> Sample:
        sample = read_sample(name)
        texts = dict(sample.modules)
        for module, (before, after) in modules.items():
            assert before in texts[f"{module}.py"]
            texts[f"{module}.py"] = texts[f"{module}.py"].replace(before, after)
        return dataclasses.replace(sample, modules=texts)

    return read


def edit(path: Path, before: str, after: str) -> None:
    """A change of the project's own, which is committed."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    git(path.parent, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "--quiet", "-am", "Edit")


MORE = {"service": ('version="1.0.0"', 'version="1.1.0"')}
OWN = ('"""All invoices."""', '"""All invoices of our own."""')


def test_sample_that_has_not_changed_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--update", str(project)]) == 0
    assert capsys.readouterr().out.endswith("The sample has not changed.\n")
    assert git(project, "status", "--porcelain", "--", ":!.origin/origin.json") == ""


def test_change_of_the_sample_arrives_in_the_project_s_words_beside_its_own_changes(project: Path) -> None:
    service = project / "invoices" / SERVICE
    edit(service, *OWN)
    read = changed(service=('"""One fruit."""', '"""One fruit, whose color may change."""'))
    assert update(project, read) == Update(merged=["invoices/service.py"])
    text = service.read_text()
    assert '"""One invoice, whose amount may change."""' in text
    assert OWN[1] in text
    assert OWN[1] not in pristine(project)["invoices/service.py"]
    assert "whose amount may change" in pristine(project)["invoices/service.py"]
    assert " M invoices/service.py" in git(project, "status", "--porcelain")


def test_second_update_brings_only_what_is_new(project: Path) -> None:
    update(project, changed(**MORE))
    edit(project / "invoices" / SERVICE, *OWN)
    assert update(project, changed(**MORE)) == Update()


def test_conflict_is_marked_and_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = project / "invoices" / SERVICE
    edit(service, 'version="1.0.0"', 'version="7.0.0"')
    result = update(project, changed(**MORE))
    assert result == Update(conflicts=["invoices/service.py"])
    assert show(result) == 1
    assert "CONFLICT, marked in the file: invoices/service.py\n" in capsys.readouterr().out
    text = service.read_text()
    for line in ("<<<<<<< this project", '"7.0.0"', '"1.1.0"', ">>>>>>> the sample now"):
        assert line in text


def test_file_that_the_project_deleted_stays_deleted_and_is_told(project: Path) -> None:
    action = project / "invoices" / ACTION
    action.unlink()
    git(project, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "--quiet", "-am", "Delete")
    read = changed(async_action=("Finds a fruit", "Looks for a fruit"))
    assert update(project, read) == Update(kept=["invoices/async_action.py"])
    assert not action.exists()


def test_file_that_the_sample_adds_or_deletes_follows(project: Path) -> None:
    def more(name: str) -> Sample:
        sample = read_sample(name)
        return dataclasses.replace(sample, modules={**sample.modules, "more.py": '"""More fruits."""\n'})

    more_path = project / "invoices" / "more.py"
    assert update(project, more) == Update(added=["invoices/more.py"])
    assert more_path.read_text() == '"""More invoices."""\n'
    git(project, "add", "--all")
    git(project, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "--quiet", "-am", "Update")
    assert update(project) == Update(deleted=["invoices/more.py"])
    assert not more_path.exists()


def test_uncommitted_changes_are_refused_and_kept(project: Path) -> None:
    service = project / "invoices" / SERVICE
    service.write_text("# mine\n")
    with pytest.raises(NewServiceError, match="not committed"):
        update(project, changed(**MORE))
    assert service.read_text() == "# mine\n"
    assert git(project, "status", "--porcelain") == " M invoices/service.py\n"


def test_update_to_a_sample_that_took_a_name_is_refused(project: Path) -> None:
    read = changed(model=("moment = now()", "moment = amount = now()"))
    with pytest.raises(NewServiceError, match="'amount' would stand for both"):
        update(project, read)
    assert git(project, "status", "--porcelain") == ""
