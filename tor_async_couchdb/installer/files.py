"""The design documents and the seed documents of a folder, read and checked before anything is written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.model.model import TYPE_PATTERN

if TYPE_CHECKING:
    from tor_async_couchdb.protection.signing import Signer


@dataclass(frozen=True)
class DocumentFile:
    """A document and the file that it was read from."""

    path: Path
    body: dict[str, Any]

    @property
    def document_id(self) -> str:
        """The document's `_id`."""
        document_id: str = self.body["_id"]
        return document_id


def read_design_documents(folder: str | os.PathLike[str]) -> list[DocumentFile]:
    """Reads each `NAME.json` in `folder` as the design document `_design/NAME`.

    Raises:
        InstallerError: the folder or a file can't be read, or a file holds no design document.
    """
    return [_design_document(path) for path in _json_files(folder)]


def read_seed_documents(folder: str | os.PathLike[str], signer: Signer | None = None) -> list[DocumentFile]:
    """Reads each `*.json` in `folder` as a document, and signs it if there is a signer.

    Raises:
        InstallerError: the folder or a file can't be read, a file holds no document with an `_id` and a
            `type` such as `fruit_v1.0`, two share an `_id`, or one can't be signed.
    """
    documents = [_seed_document(path, signer) for path in _json_files(folder)]
    path_by_id: dict[str, Path] = {}
    for document in documents:
        first = path_by_id.setdefault(document.document_id, document.path)
        if first != document.path:
            raise InstallerError(f"{document.path}: has the same '_id' as {first}")
    return documents


def _json_files(folder: str | os.PathLike[str]) -> list[Path]:
    if not Path(folder).is_dir():
        raise InstallerError(f"{os.fspath(folder)}: no such folder")
    return sorted(Path(folder).glob("*.json"))


def _design_document(path: Path) -> DocumentFile:
    body = {"_id": f"_design/{path.stem}"} | _read_object(path)
    if body["_id"] != f"_design/{path.stem}":
        raise InstallerError(
            f"{path}: '_id' must be '_design/{path.stem}', as the file is named, or be left out"
        )
    views = body.get("views", {})
    if not isinstance(views, dict):
        raise InstallerError(f"{path}: 'views' must be an object")
    for name, view in views.items():
        _check_view(path, body, name, view)
    return DocumentFile(path, body)


def _check_view(path: Path, body: dict[str, Any], name: str, view: object) -> None:
    """Refuses what CouchDB would refuse.

    https://docs.couchdb.org/en/stable/ddocs/views/intro.html
    """
    if name == "lib":  # modules that map functions `require`; only with a map function it is a view, too
        if not isinstance(view, dict):
            raise InstallerError(f"{path}: 'lib' in 'views' must be an object with modules")
    elif body.get("language") == "query":  # an index of Mango, which has no functions
        if not isinstance(view, dict) or not isinstance(view.get("map"), dict):
            raise InstallerError(f"{path}: index '{name}' must be an object with an object as its 'map'")
    elif not isinstance(view, dict) or not isinstance(view.get("map"), str):
        raise InstallerError(f"{path}: view '{name}' must be an object with its 'map' function as a string")


def _seed_document(path: Path, signer: Signer | None) -> DocumentFile:
    body = _read_object(path)
    if not isinstance(body.get("_id"), str) or not body["_id"]:
        raise InstallerError(
            f"{path}: '_id' must be a string, or each run would create the document once more"
        )
    if not isinstance(body.get("type"), str) or not TYPE_PATTERN.fullmatch(body["type"]):
        raise InstallerError(f"{path}: 'type' must be a name and a version, such as 'fruit_v1.0'")
    if signer is not None:
        # Only here, as an installation without signatures has no tink.
        from tor_async_couchdb.protection import signing

        try:
            signing.sign(signer, body)
        except InvalidDocumentError as error:
            raise InstallerError(f"{path}: {error}") from error
    return DocumentFile(path, body)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise InstallerError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InstallerError(f"{path}: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InstallerError(f"{path}: must hold one JSON object")
    for name in body:
        if name.startswith("_") and name != "_id":
            raise InstallerError(f"{path}: '{name}' is for CouchDB to set, not for a file")
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
