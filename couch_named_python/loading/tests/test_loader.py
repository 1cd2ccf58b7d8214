import sys
from pathlib import Path

import pytest

from couch_named_python.errors import FatalError, QueryServerError
from couch_named_python.loading.fingerprint import fingerprint
from couch_named_python.loading.loader import FunctionLoader
from couch_named_python.tests import functions
from couch_named_python.tests.driver import FUNCTIONS


def loader() -> FunctionLoader:
    return FunctionLoader([FUNCTIONS])


def test_a_function_is_found_by_its_name() -> None:
    assert loader().load(f"{FUNCTIONS}.emit_once") is functions.emit_once


def test_a_function_with_a_version_is_found_under_that_version_only() -> None:
    assert loader().load(f"{FUNCTIONS}.townmap|123") is functions.townmap


@pytest.mark.parametrize(
    ("path", "wanted", "installed"),
    [("townmap|122", "122", "123"), ("townmap", "none", "123"), ("emit_once|1", "1", "none")],
)
def test_another_version_is_fatal_and_says_both_and_how_to_mend_it(
    path: str, wanted: str, installed: str
) -> None:
    with pytest.raises(FatalError) as caught:
        loader().load(f"{FUNCTIONS}.{path}")
    reason = caught.value.reason
    assert f"wants version {wanted}, installed is version {installed}" in reason
    assert "upload the design document again" in reason


def test_a_fingerprint_is_a_version() -> None:
    current = fingerprint(functions.townmap)
    assert loader().load(f"{FUNCTIONS}.townmap|{current}") is functions.townmap
    with pytest.raises(FatalError, match=f"installed is version {current}"):
        loader().load(f"{FUNCTIONS}.townmap|source-0123456789abcdef")


@pytest.mark.parametrize(
    "path",
    [
        "asdf..fghj",
        "",
        ".",
        ".asdf.dfgh",
        "jkg.asdf.",
        "only_one_part",
        "a.b c",
        "|1",
        f"{FUNCTIONS}:emit_once",
    ],
)
def test_a_malformed_path_is_an_error(path: str) -> None:
    with pytest.raises(QueryServerError, match="is not package") as caught:
        loader().load(path)
    assert not isinstance(caught.value, FatalError)


@pytest.mark.parametrize(
    "path",
    ["os.system", "posix.system", "builtins.eval", f"{FUNCTIONS}x.f", "couch_named_python.tests.driver.f"],
)
def test_a_module_outside_of_the_allow_list_is_refused(path: str) -> None:
    with pytest.raises(QueryServerError, match="is not allowed") as caught:
        loader().load(path)
    assert not isinstance(caught.value, FatalError)


def test_without_an_allow_list_nothing_is_allowed() -> None:
    with pytest.raises(QueryServerError, match="allowed: nothing"):
        FunctionLoader([]).load(f"{FUNCTIONS}.emit_once")


def test_a_module_that_is_refused_is_not_imported(source_folder: Path) -> None:
    (source_folder / "cnp_evil.py").write_text("def f(doc): pass")
    with pytest.raises(QueryServerError, match="is not allowed"):
        loader().load("cnp_evil.f")
    assert "cnp_evil" not in sys.modules


@pytest.mark.parametrize(
    "path", ["system", "Iterator", "version", "contextlib.suppress", "Document", "__dict__"]
)
def test_what_an_allowed_module_imported_cannot_be_reached_through_it(path: str) -> None:
    with pytest.raises(QueryServerError):
        loader().load(f"{FUNCTIONS}.{path}")


def test_a_package_stands_for_what_is_below_it_and_may_re_export_that(source_folder: Path) -> None:
    (source_folder / "cnp_re/views").mkdir(parents=True)
    (source_folder / "cnp_re/__init__.py").write_text("from cnp_re.views.towns import townmap")
    (source_folder / "cnp_re/views/__init__.py").write_text(
        "import os\nfrom os import system\n"
        "from cnp_re.views.towns import townmap\nfrom cnp_re.tools import tool"
    )
    (source_folder / "cnp_re/views/towns.py").write_text("def townmap(doc): yield 1, 2")
    (source_folder / "cnp_re/tools.py").write_text("def tool(): pass")
    views = FunctionLoader(["cnp_re.views"])
    assert views.load("cnp_re.views.townmap") is views.load("cnp_re.views.towns.townmap")
    for path in ("cnp_re.townmap", "cnp_re.views.os.system", "cnp_re.views.system", "cnp_re.views.tool"):
        with pytest.raises(QueryServerError):
            views.load(path)


def test_what_a_fresh_process_may_find_is_fatal(source_folder: Path) -> None:
    (source_folder / "cnp_broken.py").write_text("raise SystemExit('broken')")
    allowed = FunctionLoader(["cnp_broken", "cnp_missing", FUNCTIONS])
    with pytest.raises(FatalError, match=r"cannot import 'cnp_broken'.*SystemExit: broken"):
        allowed.load("cnp_broken.f")
    with pytest.raises(FatalError, match="cannot import 'cnp_missing'"):
        allowed.load("cnp_missing.f")
    with pytest.raises(FatalError, match="has no function 'nothing'"):
        allowed.load(f"{FUNCTIONS}.nothing")


def test_replaced_code_is_fatal(source_folder: Path) -> None:
    source = source_folder / "cnp_replaced.py"
    source.write_text("def f(doc): pass")
    allowed = FunctionLoader(["cnp_replaced"])
    allowed.load("cnp_replaced.f")
    allowed.check_code()
    source.write_text("def f(doc): yield 1, 2")
    with pytest.raises(FatalError, match="newer than this process"):
        allowed.check_code()
