"""A CouchDB double: one database, design documents with revisions, and views whose indexes take time."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class CouchDBDouble:
    """Serves the database "fruits" on a free port of 127.0.0.1.

    ``requests`` lists what was asked. The first ``slow_answers`` view queries aren't answered in time, and
    ``view_refusal`` answers them with a 500. ``content`` answers everything, with a 200.
    ``info`` is the state of each index.
    """

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.authorizations: set[str | None] = set()
        self.slow_answers = 0
        self.view_refusal: str | None = None
        self.content: bytes | None = None
        self.info: dict[str, Any] = {"view_index": {"updates_pending": {"total": 7}}}
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, url: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and body of an answer."""
        database, _, path = unquote(urlsplit(url).path).strip("/").partition("/")
        self.requests.append(f"{method} {path}")
        if database != "fruits":
            return 404, {"error": "not_found", "reason": "Database does not exist."}
        document_id = "/".join(path.split("/")[:2])
        if path.endswith("/_info"):
            return 200, self.info
        if "/_view/" in path:
            return self._query()
        if method == "PUT":
            return self._write(document_id, body)
        if document_id not in self.documents:
            return 404, {"error": "not_found", "reason": "missing"}
        return 200, self.documents.pop(document_id) if method == "DELETE" else self.documents[document_id]

    def _query(self) -> tuple[int, dict[str, Any]]:
        if self.slow_answers > 0:
            self.slow_answers -= 1
            self.stopping.wait(30)
        if self.view_refusal is not None:
            return 500, {"error": "compilation_error", "reason": self.view_refusal}
        return 200, {"rows": []}

    def _write(self, document_id: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        current = self.documents.get(document_id, {}).get("_rev")
        if body.get("_rev") != current:
            return 409, {"error": "conflict", "reason": "Document update conflict."}
        revision = f"{int((current or '0').partition('-')[0]) + 1}-a"
        self.documents[document_id] = {**body, "_id": document_id, "_rev": revision}
        return 201, {"ok": True, "rev": revision}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            def _respond(self) -> None:
                double.authorizations.add(self.headers["Authorization"])
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = double.answer(self.command, self.path, body)
                content = json.dumps(answer).encode()
                if double.content is not None:
                    status, content = 200, double.content
                self.send_response(status)
                self.send_header("ETag", f'"{answer.get("_rev", "")}"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_HEAD = do_DELETE = _respond  # noqa: N815 -- http.server's names

            def log_message(self, *_arguments: object) -> None:
                """Be quiet."""

        return Handler
