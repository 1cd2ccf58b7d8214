"""What there is to copy of a sample."""

import ast
import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from new_service.errors import NewServiceError
from new_service.expanding import is_model
from suite.table import ROOT, SAMPLES
from suite.table import Sample as Row

_DESIGN_DOCS = ROOT / "db_installer" / "design_docs"
_SEED_DOCS = ROOT / "db_installer" / "seed_docs"
_CONTRACT = ROOT / "tests.py"
# Every service wants to know its conflicts: CouchDB keeps them until somebody resolves them.
_ALWAYS = {"conflicts"}


@dataclasses.dataclass(frozen=True)
class Sample:
    """A sample as it is in this checkout, each part as text.

    `modules`, and `others` such as a page, are by their paths in the sample's folder, `design_docs` by their
    names.
    """

    row: Row
    modules: Mapping[str, str]
    others: Mapping[str, str]
    readme: str
    design_docs: Mapping[str, str]
    seed_doc: dict[str, Any] | None
    contract: str
    guard: str | None
    base: str | None
    """What its model derives from."""
    has_subject: bool
    is_superseding: bool
    """Whether its model keeps values that lost by their text, which only a string has."""
    has_versions: bool
    """Whether it has several versions of its model, which differ in their properties."""
    has_color: bool
    """Whether its model has the color, whose place properties take."""
    takes_bodies: bool
    """Whether clients send it what to store."""
    keeps_fingerprints: bool
    """Whether it stores hashes of what clients send, by which it recognizes a request that is repeated."""

    @property
    def name(self) -> str:
        """As in `crud/basic`."""
        return self.row.name

    @property
    def module(self) -> str:
        """The package of the sample, as in `samples.crud.basic`."""
        return self.row.module.removesuffix(".service")

    @property
    def needs_protection(self) -> bool:
        """Whether it imports what needs the extra `protection`."""
        modules = r"tor_async_(couchdb\.(protection|history)|service\.couchdb)\b"
        return any(re.search(rf"^\s*(from|import) {modules}", text, re.M) for text in self.modules.values())

    @property
    def is_about_fruits(self) -> bool:
        """Whether it answers at /v1.0/fruits."""
        return r"/v1\.0/fruits" in self.modules["service.py"]


def read_sample(name: str) -> Sample:
    """The sample in samples/`name`.

    Raises:
        NewServiceError: there is none.
    """
    name = name.removeprefix("samples/").strip("/")
    rows = {row.name: row for row in SAMPLES}
    if name not in rows:
        raise NewServiceError(f"there is no sample '{name}'; there are {', '.join(rows)}")
    folder = ROOT / "samples" / name
    modules = {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*.py"))
        if "__pycache__" not in path.parts
    }
    model = modules["model.py"]
    document_type, base = _model(model)
    return Sample(
        row=rows[name],
        modules=modules,
        others={path.name: path.read_text() for path in sorted(folder.iterdir()) if _is_other(path)},
        readme=(folder / "README.md").read_text(),
        design_docs=_design_docs(modules),
        seed_doc=_seed_doc(document_type),
        contract=_CONTRACT.read_text(),
        guard=_guard(modules["service.py"]),
        base=base,
        has_subject=bool(re.search(r"\bSubject\(\)", model)),
        is_superseding=bool(re.search(r"\bdict\[Color\b", model)),
        has_versions=bool(re.search(r"^    reads\b", model, re.MULTILINE)),
        has_color=bool(re.search(r"^    color: ", model, re.MULTILINE)),
        takes_bodies="self.json_body(" in modules["service.py"],
        keeps_fingerprints="self.idempotency_key(" in modules["service.py"],
    )


def _is_other(path: Path) -> bool:
    return path.is_file() and path.suffix != ".py" and path.name != "README.md"


def _model(module: str) -> tuple[str | None, str | None]:
    """The type of the model's documents and the name of its base class; None for both without a model."""
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.ClassDef) and is_model(node):
            tags = [keyword.value for keyword in node.keywords if keyword.arg == "tag"]
            document_type = next(str(tag.value) for tag in tags if isinstance(tag, ast.Constant))
            return document_type, ast.unparse(node.bases[0])
    return None, None


def _guard(service: str) -> str | None:
    match = re.search(r"^    run\(.*\bguard=(\w+)", service, re.M | re.DOTALL)
    return match[1] if match else None


def _design_docs(modules: Mapping[str, str]) -> dict[str, str]:
    """The design documents whose views the sample asks."""
    strings = {
        node.value
        for text in modules.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    paths = sorted(_DESIGN_DOCS.glob("*.json"))
    return {path.stem: path.read_text() for path in paths if path.stem in strings | _ALWAYS}


def _seed_doc(document_type: str | None) -> dict[str, Any] | None:
    """The first seed document that fits; those of samples without a model of their own fit all others'."""
    for path in sorted(_SEED_DOCS.glob("*.json")):
        document: dict[str, Any] = json.loads(path.read_text())
        if document_type in (None, document["type"]):
            return document
    return None


def project_files() -> dict[str, str]:
    """The files of each new project that are not the sample's, by their paths in it."""
    folder = Path(__file__).parent / "project"
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
