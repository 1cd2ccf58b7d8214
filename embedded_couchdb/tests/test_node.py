import hashlib
import json
import os
import stat
import uuid
from pathlib import Path

import pytest

from embedded_couchdb import node as node_module
from embedded_couchdb.errors import EmbeddedCouchDBError
from embedded_couchdb.node import SERVER_FOLDER, find_node, install


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def server_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "package-lock.json").write_text("{}")
    monkeypatch.setattr(node_module, "SERVER_FOLDER", folder)
    return folder


def fake_node(folder: Path, script: str) -> Path:
    """A node with an npm of its own, which does what the script says."""
    cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    cli.parent.mkdir(parents=True)
    cli.touch()
    return executable(folder / "bin" / "node", script)


def test_node_on_path_is_taken_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = fake_node(tmp_path, "echo v18.0.0")
    monkeypatch.setenv("PATH", f"{new.parent}{os.pathsep}{os.environ['PATH']}")
    assert find_node() == new


@pytest.mark.parametrize("version", ["v16.20.2", "v8.0.0", "nonsense"])
def test_node_that_is_too_old_is_replaced_by_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    old = fake_node(tmp_path, f"echo {version}")
    wheel = tmp_path / "wheel" / "bin" / "node"
    monkeypatch.setenv("PATH", str(old.parent))
    monkeypatch.setattr(node_module, "_wheel_node", lambda: wheel)
    assert find_node() == wheel


def test_missing_node_outside_of_a_virtual_environment_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(node_module, "_wheel_node", lambda: None)
    monkeypatch.setattr("sys.prefix", "/usr")
    monkeypatch.setattr("sys.base_prefix", "/usr")
    with pytest.raises(EmbeddedCouchDBError, match=r"No Node\.js >= 18 .*: install one"):
        find_node()


def test_wheel_that_cannot_be_installed_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(node_module, "_wheel_node", lambda: None)
    monkeypatch.setattr("sys.base_prefix", "/elsewhere")
    monkeypatch.setattr(
        "sys.executable", str(executable(tmp_path / "python", "echo 'ERROR: no network' >&2; exit 1"))
    )
    with pytest.raises(
        EmbeddedCouchDBError, match=r"could not be installed: check the network.*no network"
    ) as raised:
        find_node()
    assert "\n" not in str(raised.value)


def test_packages_are_installed_once_for_a_lock_file(server_folder: Path, tmp_path: Path) -> None:
    node = fake_node(tmp_path, f"mkdir -p '{server_folder}/node_modules'; echo \"$*\" >> '{tmp_path}/calls'")
    install(node)
    install(node)
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert call.endswith(
        "npm-cli.js ci --ignore-scripts --omit=optional --no-audit --no-fund --fetch-retries=1"
    )
    (server_folder / "package-lock.json").write_text('{"changed": true}')
    install(node)
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


@pytest.fixture
def checkout(server_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's folder in the checkout that the distribution says it was installed from."""
    folder = tmp_path / "my checkout" / server_folder.name
    (folder / "node_modules" / "pouchdb").mkdir(parents=True)
    (folder / "node_modules" / "pouchdb" / "index.js").write_text("// the checkout's")
    (folder / "package-lock.json").write_text("{}")
    (folder / "node_modules" / ".installed").write_text(hashlib.sha256(b"{}").hexdigest())
    installed = tmp_path / "site-packages" / "tor_async_suite-1.0.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tor-async-suite\nVersion: 1.0.0\n")
    (installed / "direct_url.json").write_text(json.dumps({"url": folder.parent.as_uri(), "dir_info": {}}))
    monkeypatch.syspath_prepend(installed.parent)
    return folder


def test_packages_of_the_checkout_are_copied(checkout: Path, server_folder: Path, tmp_path: Path) -> None:
    (server_folder / "node_modules").mkdir()
    (server_folder / "node_modules" / "older.js").touch()
    for _ in range(2):
        install(fake_node(tmp_path / uuid.uuid4().hex, "exit 1"))  # npm is not asked
    assert {path.name for path in (server_folder / "node_modules").iterdir()} == {"pouchdb", ".installed"}
    index = server_folder / "node_modules" / "pouchdb" / "index.js"
    assert index.read_text() == "// the checkout's"


@pytest.mark.parametrize("missing", ["package-lock.json", "node_modules/.installed"])
def test_packages_that_the_checkout_does_not_have_come_from_npm(
    checkout: Path, server_folder: Path, tmp_path: Path, missing: str
) -> None:
    (checkout / missing).unlink()
    install(fake_node(tmp_path, f"mkdir -p '{server_folder}/node_modules'"))
    assert [path.name for path in (server_folder / "node_modules").iterdir()] == [".installed"]


def test_packages_of_another_lock_file_come_from_npm(
    checkout: Path, server_folder: Path, tmp_path: Path
) -> None:
    (server_folder / "package-lock.json").write_text('{"newer": true}')
    install(fake_node(tmp_path, f"mkdir -p '{server_folder}/node_modules'"))
    assert [path.name for path in (server_folder / "node_modules").iterdir()] == [".installed"]


def test_npm_runs_with_its_node_first_and_the_environment_kept(
    server_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/certificates")
    node = fake_node(
        tmp_path, f"mkdir -p '{server_folder}/node_modules'; env > '{tmp_path}/env'; pwd > '{tmp_path}/pwd'"
    )
    install(node)
    environment = (tmp_path / "env").read_text()
    assert f"PATH={node.parent}{os.pathsep}" in environment
    assert "NODE_EXTRA_CA_CERTS=/certificates" in environment
    assert (tmp_path / "pwd").read_text().strip() == str(server_folder)


def test_failed_installation_is_reported_in_one_line_and_tried_again(
    server_folder: Path, tmp_path: Path
) -> None:
    node = fake_node(tmp_path, "echo 'npm error code ENOTFOUND' >&2; exit 1")
    for _ in range(2):
        with pytest.raises(EmbeddedCouchDBError, match=r"check the network.*ENOTFOUND") as raised:
            install(node)
        assert "\n" not in str(raised.value)


def test_lock_file_is_complete_and_names_no_registry(node: Path) -> None:
    lock = SERVER_FOLDER / "package-lock.json"
    assert '"resolved"' not in lock.read_text()
    assert "registry" not in lock.read_text()
    stamp = (SERVER_FOLDER / "node_modules" / ".installed").read_text()
    assert stamp == hashlib.sha256(lock.read_bytes()).hexdigest()
