"""The page and what it loads: all of it from this machine."""

import html
from pathlib import Path

from watch.access import TOKEN_HEADER
from watch.packages import FOLDER

_STATIC = FOLDER / "static"
_PACKAGES = FOLDER / "node_modules"
# What the page needs of uPlot; without it there are no charts, and the page says so.
_OF_PACKAGES = {"uplot.js": "uplot/dist/uPlot.esm.js", "uplot.css": "uplot/dist/uPlot.min.css"}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

# No inline code, nothing from elsewhere, and no page of another site may frame this one.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def page(token: str) -> bytes:
    """The page, with the token that its changes need."""
    text = (_STATIC / "index.html").read_text()
    meta = f'<meta name="token" data-header="{TOKEN_HEADER}" content="{html.escape(token)}">'
    return text.replace("<!-- token -->", meta).encode()


def static_files() -> dict[str, Path]:
    """The files that the page may load, by their names."""
    files = {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}
    of_packages = {name: _PACKAGES / path for name, path in _OF_PACKAGES.items()}
    return files | {name: path for name, path in of_packages.items() if path.exists()}


def content_type(path: Path) -> str:
    """The media type of a file that `static_files` has."""
    return f"{_TYPES[path.suffix]}; charset=utf-8"
