"""Where the documents of the samples' database are."""

from pathlib import Path

_FOLDER = Path(__file__).parent

DESIGN_DOCS_FOLDER = _FOLDER / "design_docs"
PYTHON_DESIGN_DOCS_FOLDER = _FOLDER / "design_docs_python"
SEED_DOCS_FOLDER = _FOLDER / "seed_docs"
