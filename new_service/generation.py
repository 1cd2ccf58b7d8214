"""All files of the new project, as text, made of a sample and names."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from new_service.contract import OWN_CONTRACT, contract
from new_service.deployment import Deployment, Place
from new_service.errors import NewServiceError
from new_service.expanding import expanded
from new_service.hashing import hashing_modules, hashing_path, hashing_views
from new_service.names import Names
from new_service.readme import readme_sections
from new_service.requirements import development_requirements, requirements
from new_service.sample import Sample, project_files
from new_service.words import shielded

# What the files in project/ are called after.
_PACKAGE, _HOST, _PORT = "my_service", "my-service", "8445"
_BODY = '{"color":"red"}'
_SEED_OPTION = re.compile(r"(?: |\s*- )--seed-docs[ =]database/seed_docs")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be made: of which sample, under which names, on which port, with which tor-async-suite.

    `suite` is a path or a git URL.
    """

    sample: Sample
    names: Names
    port: int
    suite: str

    @property
    def options(self) -> tuple[str, ...]:
        """The service's own options, with names in braces for what is made for it."""
        protected = ("--protection", "{protection}") if self._is_protecting else ()
        return (*self.sample.row.options, *protected)

    @property
    def _is_protecting(self) -> bool:
        return any(declared.protection for declared in self.names.properties)

    def files(self) -> dict[str, str]:
        """The text of each file, by its path in the project; the Python is not formatted yet."""
        return {
            **self._modules(),
            **self._database(),
            **self._contract(),
            **self._requirements(),
            **self._others(),
        }

    def _modules(self) -> dict[str, str]:
        package, module = self.names.package, self.sample.module
        modules = {}
        for path, text in self.sample.modules.items():
            if path.startswith("tests/") and not self._has_one_text:
                continue  # they speak of one text, and no rule could put other values in its place
            modules[path] = self.names.renaming.python(expanded(text, self.names.properties))
        modules = {
            f"{package}/{path}": text.replace(module, package)
            for path, text in hashing_modules(modules, self.names).items()
        }
        for path, text in self.sample.others.items():
            modules[f"{package}/{path}"] = self.names.renaming.code(text)
        modules[f"{package}/__init__.py"] = '"""A service: README.md says what it does."""\n'
        return modules

    @property
    def _has_one_text(self) -> bool:
        return [declared.type_name for declared in self.names.properties] in ([], ["str"])

    def _database(self) -> dict[str, str]:
        files = {f"database/design_docs/{name}.json": text for name, text in self._views().items()}
        if (document := self._seed_doc()) is not None:
            files["database/seed_docs/first.json"] = json.dumps(document, indent=4, ensure_ascii=False) + "\n"
        return files

    def _views(self) -> dict[str, str]:
        """The design documents, by their names."""
        renaming = self.names.renaming
        own = {renaming.name(name): renaming.code(text) for name, text in self.sample.design_docs.items()}
        return own | hashing_views(self.names)

    def _seed_doc(self) -> dict[str, object] | None:
        """The seed document; None if there is none. The installer can't encrypt or hash one."""
        if self.sample.seed_doc is None or self._is_protecting:
            return None
        renaming = self.names.renaming
        document: dict[str, object] = {}
        for name, value in self.sample.seed_doc.items():
            if name == "color" and self.names.properties:
                document |= {declared.name: declared.type.values[0] for declared in self.names.properties}
            else:
                document[renaming.name(name)] = renaming.name(value) if name == "type" else value
        return document

    def _contract(self) -> dict[str, str]:
        if not self.sample.row.meets_contract:
            return {"tests.py": self._named(OWN_CONTRACT)}
        renamed = contract(self.sample.contract, self.names, [*self._views()])
        return {"tests.py": self._named(renamed)}

    def _requirements(self) -> dict[str, str]:
        source = self.suite if "://" in self.suite else Path(self.suite).as_uri()
        is_protected = self.sample.needs_protection or self._is_protecting
        runtime = requirements(source, is_protected=is_protected)
        has_etcd = any("{etcd}" in option for option in self.options)
        return {
            "requirements.txt": runtime,
            "requirements-dev.txt": development_requirements(runtime, has_etcd=has_etcd),
        }

    def _others(self) -> dict[str, str]:
        renaming = self.names.renaming
        files = {}
        for path, text in project_files().items():
            own = self._without_absent(path, text)
            renamed = renaming.markdown(own) if path.endswith(".md") else renaming.code(own)
            files[self._named(path)] = self._filled(path, self._named(renamed))
        return files

    def _without_absent(self, path: str, text: str) -> str:
        """The text without what this service does not have: seed documents, or fruits at all.

        Where documents are signed, seed documents have to be, too: a deployment has none.
        """
        is_signed = any("{key_set}" in option for option in self.options)
        if self._seed_doc() is None or (is_signed and path.startswith("deploy/")):
            text = _SEED_OPTION.sub("", text)
        if not self.sample.is_about_fruits:
            text = "".join(line for line in text.splitlines(keepends=True) if "/v1.0/fruits" not in line)
        if self.names.properties:
            body = {shielded(declared.name): declared.type.values[0] for declared in self.names.properties}
            text = text.replace(_BODY, json.dumps(body, separators=(",", ":"), ensure_ascii=False))
        return text

    def _named(self, text: str) -> str:
        named = text.replace(_PACKAGE, self.names.package).replace(_HOST, self.names.host)
        return re.sub(rf"\b{_PORT}\b", str(self.port), named)

    def _filled(self, path: str, text: str) -> str:
        """The text with what the words in capitals stand for."""
        deployment = Deployment(self.options)
        in_unit, in_container = (
            [*map(self._named, options)]
            for options in (deployment.unit_options, deployment.container_options)
        )
        text = text.replace("SAMPLE_NAME", self.sample.name).replace(
            "SUITE_CONTEXT", build_context(self.suite)
        )
        text = text.replace("SAMPLE_SECTIONS", readme_sections(self.sample, self.names, self.port))
        if path.endswith(".service"):
            text = text.replace("OWN_OPTIONS", " ".join(in_unit)).replace(" \n", "\n")
        elif path.endswith("compose.yaml"):
            text = text.replace("OWN_OPTIONS", ", ".join(map(json.dumps, in_container)))
            text = text.replace(", ]", "]")
        elif path.endswith("kubernetes.yaml"):
            text = _lines(text, "OWN_OPTIONS", map(json.dumps, in_container))
        else:
            own = " ".join(map(shlex.quote, self.options))
            text = text.replace(" -- OWN_OPTIONS", f" -- {own}" if own else "")
        text = _lines(text, "FINDING_COMMANDS", self._finding_commands())
        for word, what in _WORDS.items():
            text = _lines(text, word, (self._named(line) for line in deployment.lines(what)))
        return text

    def _finding_commands(self) -> Iterator[str]:
        for declared in self.names.properties:
            if declared.is_hashed:
                url = f"http://127.0.0.1:{self.port}{hashing_path(self.names, declared)}"
                body = json.dumps({declared.name: declared.type.values[0]}, separators=(",", ":"))
                yield f"curl -s {url} -H 'Content-Type: application/json' -d '{body}'"


def build_context(suite: str) -> str:
    """A path, or pip's git URL, as a builder of images takes it: with "#" before a branch, tag or commit."""
    return re.sub(r"\.git@([^/@]+)$", r".git#\1", suite.removeprefix("git+"))


def _compose_volume(place: Place) -> str | None:
    return None if place.compose_volume is None else json.dumps(place.compose_volume)


_WORDS = {
    "UNIT_SECRETS": lambda place: place.unit_line,
    "COMPOSE_VOLUMES": _compose_volume,
    "SECRET_MOUNTS": lambda place: place.kubernetes_mount,
    "SECRET_VOLUMES": lambda place: place.kubernetes_volume,
    "DEPLOYMENT_NOTES": lambda place: place.note,
}


def _lines(text: str, word: str, values: Iterable[str]) -> str:
    """The text with the line of `word` once for each value, and without it if there is none."""
    found = re.search(rf"^(.*)\b{word}\b(.*)\n", text, re.M)
    if found is None:
        return text
    lines = "".join(f"{found[1]}{value}{found[2]}\n" for value in values)
    return text[: found.start()] + lines + text[found.end() :]


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Writes the files into a folder."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        if path.endswith(".sh"):
            target.chmod(0o755)


def format_python(folder: Path) -> None:
    """Formats the Python of a project as its own test.sh asks for.

    Raises:
        NewServiceError: it can't be formatted.
    """
    for arguments in (("check", "--fix", "--quiet", "--select", "I,F401"), ("format", "--quiet")):
        ruff = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if ruff.returncode != 0:
            raise NewServiceError(f"the new project can't be formatted:\n{ruff.stdout}{ruff.stderr}")
