"""The checks and tests on each Python that the project supports and this machine has.

``nox`` runs all of them, ``nox -s tests-3.12`` one, ``nox -s tests -- couch_named_python -x`` some tests. A
Python that isn't installed is skipped; ``--error-on-missing-interpreters`` makes that a failure.
"""

import nox

nox.needs_version = ">=2025.2.9"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests of all packages; the samples as running services are ./test_all_samples.sh's."""
    _install(session)
    session.run("pytest", "-q", *session.posargs)


@nox.session(python=PYTHONS[0])
def lint(session: nox.Session) -> None:
    """Check style, formatting and the direction of imports."""
    _install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session(python=PYTHONS)
def types(session: nox.Session) -> None:
    """Check the types."""
    _install(session)
    session.run("mypy")


def _install(session: nox.Session) -> None:
    session.install("--no-deps", "-r", "requirements.txt")
