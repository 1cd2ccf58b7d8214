"""The diffs that READMEs show: `python -m samples.tests.readme_diffs` brings them up to date.

A README names the two files, from its own folder, in front of the block:

    <!-- diff: ../basic/async_action.py async_action.py -->
    ```diff
    ```
"""

import difflib
import re
from pathlib import Path

from samples.tests.folders import SAMPLES

COMMAND = "python -m samples.tests.readme_diffs"

_BLOCK = re.compile(r"(<!-- diff: (\S+) (\S+) -->\n+```diff\n)(.*?)(```\n)", re.DOTALL)


def refreshed(readme: Path) -> str:
    """The text of a README with the diffs as they are now."""

    def block(match: re.Match[str]) -> str:
        before, after = ((readme.parent / match[i]).read_text().splitlines(keepends=True) for i in (2, 3))
        return match[1] + "".join(difflib.unified_diff(before, after, match[2], match[3])) + match[5]

    return _BLOCK.sub(block, readme.read_text())


if __name__ == "__main__":
    for path in SAMPLES.rglob("README.md"):
        path.write_text(refreshed(path))
