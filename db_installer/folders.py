"""Where the documents of the samples' database are."""

from pathlib import Path

_FOLDER = Path(__file__).parent

DESIGN_DOCS_FOLDER = _FOLDER / "design_docs"
PYTHON_DESIGN_DOCS_FOLDER = _FOLDER / "design_docs_python"
SEED_DOCS_FOLDER = _FOLDER / "seed_docs"

# The samples change few documents very often. More than enough to tell whether a write without an answer was
# applied; see benchmarks/results/hot_document.md for what each further one costs. Databases that replicate
# need more: each change that one of them makes while they are apart.
REVS_LIMIT = 200
