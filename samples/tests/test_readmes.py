from pathlib import Path

import pytest

from samples.tests.folders import SAMPLES, name_of
from samples.tests.readme_diffs import COMMAND, refreshed


def test_diffs_in_readmes_are_those_of_the_files() -> None:
    for readme in SAMPLES.rglob("README.md"):
        text, name = readme.read_text(), name_of(readme)
        assert text == refreshed(readme), f"a diff in {name} is out of date: {COMMAND}"
        assert text.count("```diff\n") == text.count("<!-- diff: "), f"a diff in {name} names no files"


def test_diff_that_is_out_of_date_is_seen_and_mended(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\ntwo\n")
    (tmp_path / "b.py").write_text("one\nthree\n")
    readme = tmp_path / "README.md"
    before, after = "# It\n\n<!-- diff: a.py b.py -->\n```diff\n", "```\n\nMore.\n"
    readme.write_text(f"{before}-nothing\n{after}")
    mended = f"{before}--- a.py\n+++ b.py\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n{after}"
    assert refreshed(readme) == mended
    readme.write_text(mended)
    assert refreshed(readme) == mended


def test_diff_of_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- diff: a.py b.py -->\n```diff\n```\n")
    with pytest.raises(FileNotFoundError, match=r"a\.py"):
        refreshed(readme)
