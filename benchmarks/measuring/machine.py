"""The machine and the versions that a figure depends on."""

import importlib.metadata
import os
import platform
import re
from pathlib import Path

from suite.couchdb import CouchDB

_PACKAGES = ("tornado", "aiohttp", "msgspec")


def describe(couchdb: CouchDB, *others: str) -> list[str]:
    """Lines on the machine, the versions (`others` among them) and the database."""
    packages = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return [
        f"{hardware()}; shared by load, services and database.",
        "Versions: " + ", ".join([f"Python {platform.python_version()}", *packages, *others]) + ".",
        f"Database: {_database(couchdb)}.",
    ]


def hardware() -> str:
    """Cores, memory and system, for instance "Machine: 2 cores (AMD EPYC), 24 GiB, Linux"."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"Machine: {cores} cores ({_cpu_model()}), {memory_gib:.0f} GiB, {platform.system()}"


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def _database(couchdb: CouchDB) -> str:
    with couchdb.connect() as server:
        welcome = server.ask("GET", "")
    version = f"CouchDB {welcome.get('version', 'of an unknown version')}"
    return version if couchdb.stand_in is None else f"the stand-in for {version} (embedded_couchdb)"
