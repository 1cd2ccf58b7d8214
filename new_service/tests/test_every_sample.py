"""Each sample becomes a project twice, under awkward names, and passes its own tests both times."""

import itertools
import re
from pathlib import Path

import pytest

from new_service.__main__ import main
from new_service.properties import TYPES
from new_service.sample import read_sample
from new_service.tests.making import assert_passes_its_tests, made
from suite.table import SAMPLES

pytestmark = pytest.mark.long

NAMES = [sample.name for sample in SAMPLES]


@pytest.mark.parametrize("name", NAMES)
def test_readme_speaks_of_the_new_service_s_port_alone(name: str, tmp_path: Path) -> None:
    readme = (made(tmp_path / "hours", name, "--model=Hour", "--port=9321") / "README.md").read_text()
    assert {*re.findall(r"127\.0\.0\.1:(\d+)", readme)} == {"9321", "5984"}  # its own, and CouchDB's


@pytest.mark.parametrize("name", NAMES)
def test_sample_becomes_a_service_of_hours_that_keeps_its_color(name: str, tmp_path: Path) -> None:
    assert_passes_its_tests(made(tmp_path / "working-hours", name, "--model=Hour"))


@pytest.mark.parametrize("name", NAMES)
def test_sample_becomes_a_service_of_people_with_properties_of_all_types(name: str, tmp_path: Path) -> None:
    sample = read_sample(name)
    takes_properties = sample.has_color and not sample.has_versions
    properties = [f"--property={type_name.replace('-', '_')}_value:{type_name}" for type_name in TYPES]
    options = ["--model=Person", "--plural=people", *(properties if takes_properties else [])]
    assert_passes_its_tests(made(tmp_path / "people", name, *options))


ENCRYPTING = ["crud/basic", "crud/conditional", "crud/exp_backoff", "crud/group_commit", "crud/retry"]
HASHING = [*ENCRYPTING, "crud/tampering"]


@pytest.mark.parametrize("name", ENCRYPTING)
def test_sample_without_a_guard_gets_one_that_encrypts(name: str, tmp_path: Path) -> None:
    options = ("--model=OrderLine", "--property=secret:str:encrypted")
    assert_passes_its_tests(made(tmp_path / "order_lines", name, *options))


@pytest.mark.parametrize("name", HASHING)
def test_models_are_found_by_the_only_property_which_is_hashed(name: str, tmp_path: Path) -> None:
    options = ("--model=Person", "--plural=people", "--property=email:str:hashed")
    assert_passes_its_tests(made(tmp_path / "people", name, *options))


@pytest.mark.parametrize("name", [*HASHING, "crud/multi_master"])
def test_models_are_found_by_each_of_several_properties(name: str, tmp_path: Path) -> None:
    hashed = [
        f"--property={type_name.replace('-', '_')}_value:{type_name}:hashed"
        for type_name, kind in TYPES.items()
        if kind.text is not None
    ]
    assert_passes_its_tests(made(tmp_path / "hours", name, "--model=Hour", "--property=note:str", *hashed))


PROTECTIONS = ("", ":encrypted", ":hashed")


@pytest.mark.parametrize("name", NAMES)
def test_sample_takes_a_property_or_says_why_not(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (type_name, protection) in enumerate(itertools.product(TYPES, PROTECTIONS)):
        declared = f"some_value:{type_name}{protection}"
        arguments = [name, str(tmp_path / f"service{number}"), "--no-test", "--model=Invoice"]
        status = main([*arguments, f"--property={declared}"])
        error = capsys.readouterr().err
        is_hashable = type_name not in ("float", "bool")
        if name in HASHING and protection == ":hashed":
            assert (status == 0) == is_hashable, error
        if name in ENCRYPTING and protection != ":hashed":
            assert status == 0, error
        if status != 0:
            assert declared in error or f"sample {name} stores no model" in error
