"""What it takes to import an etcd client, in a process of its own: prints a line of JSON. Run by command.py.

    python weight.py MODULE

Only what every Python has loaded anyway is imported before the clock starts.
"""

import sys
import time


def main() -> None:
    """Import the module that the command line names."""
    before = set(sys.modules)
    began = time.perf_counter()
    __import__(sys.argv[1])
    took_ms = (time.perf_counter() - began) * 1000
    packages = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
    size_mb = sum(size_bytes(package) for package in packages) / 2**20
    sys.stdout.write(f'{{"import_ms": {took_ms}, "installed_mb": {size_mb}}}\n')


def size_bytes(package: str) -> int:
    """Return the size of a package's files, without compiled Python and tests."""
    from pathlib import Path  # here, so that a client that imports it pays for it

    left_out = {"__pycache__", "tests"}
    module = sys.modules[package]
    roots = [Path(root) for root in getattr(module, "__path__", ())]
    if not roots:
        file = getattr(module, "__file__", None)  # Cython's and Python's own modules have none
        return Path(file).stat().st_size if file else 0
    files = [file for root in roots for file in root.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files if not left_out & set(file.parts))


if __name__ == "__main__":
    main()
