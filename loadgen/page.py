"""What loadgen adds to locust's page: the books, a choice of services, and refusals with a reason."""

import html
import ipaddress
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, request

from loadgen.metrics import LoadMetrics
from loadgen.report import Summary
from loadgen.session import Form, Session

logger = logging.getLogger(__name__)

_BAR = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
_START_TIMEOUT_S = 5.0
_MAX_USERS = 10_000
_TAB = "conflicts"
_COLUMNS = {
    "name": "Service",
    "conflicts_met": "Conflicts met",
    "resolved": "Resolved",
    "given_up": "Given up",
    "unknown": "Outcome unknown",
    "acknowledged": "Acknowledged",
    "in_database": "In the database",
    "lost": "Lost",
    "verdict": "Verdict",
}
_FIELDS = {"user_count", "spawn_rate", "run_time", "host", "services", "fruits", "percent_put"}
_LOCUSTS_FIELDS = {"profile", "user_classes", "shape_class"}
_HIDDEN_HOST = '<style>form div:has(> div > input[name="host"]) { display: none; }</style>'


class Page:
    """Extends locust's page by the loads of a session.

    It links to `watch_url`. `base_path` goes before all paths of the page, such as "/locust".
    """

    def __init__(self, web_ui: Any, session: Session, *, watch_url: str | None, base_path: str) -> None:
        self._web_ui = web_ui
        self._session = session
        self._one_at_a_time = threading.Lock()
        link = f'<a href="{html.escape(watch_url)}">Watch what happens</a>' if watch_url else ""
        self._bar = _BAR.replace("{links}", link) + (_HIDDEN_HOST if session.has_choice else "")
        web_ui.template_args["extended_tabs"] = [{"title": "Conflicts", "key": _TAB}]
        structure = [{"key": key, "title": title} for key, title in _COLUMNS.items()]
        web_ui.template_args["extended_tables"] = [{"key": _TAB, "structure": structure}]
        app: Flask = web_ui.app
        app.before_request(self._refuse_other_sites)
        app.after_request(self._extend)
        app.add_url_rule(
            f"{base_path}/books", "loadgen_books", web_ui.auth_required_if_enabled(self._show_books)
        )
        app.add_url_rule(
            f"{base_path}/metrics", "loadgen_metrics", web_ui.auth_required_if_enabled(self._show_metrics)
        )
        self._metrics = LoadMetrics(self._figures)
        self._swarm: Callable[[], Any] = app.view_functions["locust.swarm"]
        app.view_functions["locust.swarm"] = web_ui.auth_required_if_enabled(self._start)

    def _figures(self) -> Mapping[str, Summary]:
        loads = self._session.loads
        return loads.figures() if loads else {}

    def _show_metrics(self) -> Response:
        text, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        return Response(text, content_type=content_type)

    def _show_books(self) -> Response:
        loads = self._session.loads
        return jsonify(
            {
                "services": {name: summary.as_books() for name, summary in self._figures().items()},
                "is_running": loads is not None and loads.is_running,
                "verdict": loads.verdict if loads else None,
            }
        )

    def _start(self) -> Any:
        """Answer as locust does: with 200 also if the load can't start. Its page shows `message` then."""
        with self._one_at_a_time:
            form = request.form
            problem = _unknown_fields(form) or _too_much(form) or self._session.prepare_from(form)
            if problem:
                logger.warning("%s", problem)  # the form to edit a load closes and shows no answer
                return jsonify({"success": False, "message": problem, "host": self._web_ui.environment.host})
            answer = self._swarm()
            if not answer.get_json()["success"]:
                self._session.discard()
            elif self._session.loads is not None:
                # Locust starts it in another greenlet. Until then a second form would take it back.
                self._session.loads.wait_until_started(timeout_s=_START_TIMEOUT_S)
            return answer

    def _refuse_other_sites(self) -> tuple[str, int] | None:
        """Locust's page answers whoever asks. So any page in the same browser could start a load."""
        host = urlsplit(f"//{request.host}").hostname or ""
        if host not in ("localhost", self._web_ui.host) and not _is_address(host):
            return f"Ask for this page by its address, not as {host!r}.", 403
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return f"Requests from {origin} are refused.", 403
        return None

    def _extend(self, response: Response) -> Response:
        if response.status_code != 200:
            return response
        if request.endpoint == "locust.index":
            response.set_data(response.get_data(as_text=True).replace("<body>", f"<body>{self._bar}", 1))
        elif request.endpoint == "locust.request_stats":
            self._add_conflicts(response)
        return response

    def _add_conflicts(self, response: Response) -> None:
        """Add the rows of the tab. The page asks until the state isn't "running": then the verdict is in."""
        loads = self._session.loads
        report = response.get_json()
        report["state"] = self._web_ui.environment.runner.state
        rows = []
        if loads is not None:
            if loads.is_running and report["state"] not in ("ready", "spawning"):
                report["state"] = "running"
            for name, summary in loads.figures().items():
                verdict = summary.problems[0] if summary.problems else "none lost"
                books = summary.as_books()
                rows.append({"name": name, **books, "verdict": "running" if loads.is_running else verdict})
        report["extended_stats"] = [{"key": _TAB, "data": rows}]
        response.set_data(self._web_ui.app.json.dumps(report))


def _unknown_fields(form: Form) -> str:
    """Locust would set any of its options by a field of that name, also those that name files to write."""
    unknown = sorted(form.keys() - _FIELDS - _LOCUSTS_FIELDS)
    return f"there is no {', '.join(unknown)}: the fields are {', '.join(sorted(_FIELDS))}" if unknown else ""


def _too_much(form: Form) -> str:
    """Locust takes any number of users, "nan" and "inf" a second among them, and then never ends to start."""
    for name in ("user_count", "spawn_rate"):
        try:
            number = float(form.get(name, "0"))
        except ValueError:
            continue  # locust refuses it
        if not number <= _MAX_USERS:
            return f"{name} can't be more than {_MAX_USERS}"
    return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
