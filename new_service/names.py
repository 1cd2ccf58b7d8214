"""What the new service, its model and its properties are called, and whether these names can be had."""

import builtins
import dataclasses
import importlib.util
import io
import keyword
import re
import sys
import tokenize
from collections.abc import Iterable, Sequence

from new_service.errors import NewServiceError
from new_service.properties import Property, noun_of
from new_service.renaming import Renaming
from new_service.sample import Sample
from new_service.words import COLOR, Noun, Word
from tor_async_couchdb import Model

_MODEL = re.compile(r"[A-Z][A-Za-z0-9]*")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_FOLDERS = {"database", "deploy", "tests"}  # what else is in a project
_TAKEN = {name for name in dir(builtins) if not name.startswith("_")} | {*keyword.kwlist, *keyword.softkwlist}


@dataclasses.dataclass(frozen=True)
class Names:
    """The names that a user chose."""

    package: str
    model: Noun
    properties: tuple[Property, ...]

    @property
    def host(self) -> str:
        """The package's name where no underscore may be: in the names of hosts, containers and units."""
        return self.package.replace("_", "-")

    @property
    def renaming(self) -> Renaming:
        """What changes a sample's names into these."""
        if not self.properties:
            return Renaming(self.model, COLOR.one, COLOR.one)
        return Renaming(self.model, self.properties[0].word, noun_of(self.properties))


def model_of(name: str, plural: str | None) -> Noun:
    """The model's noun; `plural` is in lower case, with underscores between its words.

    Raises:
        NewServiceError: one of them is no name of this form.
    """
    if not _MODEL.fullmatch(name):
        raise NewServiceError(f"--model {name}: must be a class name, such as Invoice or OrderLine")
    one = Word.from_camel(name)
    if one.camel != name:
        raise NewServiceError(f"--model {name}: write it as {one.camel}, so that its other forms are clear")
    if plural is not None and not _SNAKE.fullmatch(plural):
        raise NewServiceError(
            f"--plural {plural}: must be a name in lower case, such as people or order_lines"
        )
    several = one.plural() if plural is None else Word.from_snake(plural)
    if several == one:
        raise NewServiceError(
            f"--plural {plural}: must differ from one {one.prose}, as there is a class for each"
        )
    return Noun(one, several)


def package_of(folder_name: str) -> str:
    """The name of the package in a project's folder.

    Raises:
        NewServiceError: there can be no package of this name.
    """
    name = folder_name.replace("-", "_")
    what = f"the folder's name is the package's, and '{folder_name}'"
    if not _SNAKE.fullmatch(name):
        raise NewServiceError(f"{what} is no name in lower case, such as invoices or order-lines")
    if name in _TAKEN | _FOLDERS:
        raise NewServiceError(f"{what} is reserved")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise NewServiceError(f"{what} is a package that exists already")
    return name


def check(names: Names, sample: Sample) -> None:
    """Returns if a service can be made of the sample under these names.

    Raises:
        NewServiceError: it can't.
    """
    _check_properties(names.properties, sample)
    for option, word in (("--model", names.model.one), ("--plural", names.model.several)):
        _check_free(option, word.snake)
        _check_free(option, word.camel)
    for declared in names.properties:
        if declared.name in dir(Model):
            raise NewServiceError(f"--property {declared}: every model has '{declared.name}' already")
        _check_free(f"--property {declared}:", declared.name)
    modules = {**sample.modules, "tests.py": sample.contract}
    for file_name, text in modules.items():
        _check_module(file_name, text, names)


def _check_free(option: str, name: str) -> None:
    if name in _TAKEN:
        raise NewServiceError(f"{option} {name}: is a name of Python's own")


def _check_properties(properties: Sequence[Property], sample: Sample) -> None:
    if not properties:
        return
    if sample.has_versions:
        raise NewServiceError(
            f"--property {properties[0]}: the versions of the model in sample {sample.name} differ in its "
            "properties, so change these in model.py"
        )
    if not sample.has_color:
        raise NewServiceError(f"sample {sample.name} stores no model that could have a --property")
    seen = set()
    for declared in properties:
        if not _SNAKE.fullmatch(declared.name):
            raise NewServiceError(f"--property {declared}: its name must be in lower case, such as paid_on")
        for name in {declared.name, declared.stored_name}:
            if name in seen:
                raise NewServiceError(f"--property {declared}: '{name}' is given twice")
            seen.add(name)
        if declared.protection:
            _check_protection(declared, sample)
    _check_first(properties[0], sample)


def _check_first(first: Property, sample: Sample) -> None:
    if not sample.is_superseding:
        return
    wrong = f"--property {first}: sample {sample.name} keeps the values of the first property that lost, "
    if first.type_name != "str":
        raise NewServiceError(f"{wrong}by their text, so it has to be a str")
    if first.is_hashed:
        raise NewServiceError(f"{wrong}and shows them to clients: give one first that is not hashed")


def _check_protection(declared: Property, sample: Sample) -> None:
    wrong = f"--property {declared}: "
    if not sample.takes_bodies:
        raise NewServiceError(
            f"{wrong}sample {sample.name} reads what others have written, and without their keys"
        )
    if sample.has_subject:
        like = "email_hash" if declared.is_hashed else "email"
        raise NewServiceError(
            f"{wrong}in sample {sample.name} a person's properties are protected, by the key of that person, "
            f"and a document need not have one: declare it in the model as '{like}' is declared there"
        )
    if sample.keeps_fingerprints:
        raise NewServiceError(
            f"{wrong}sample {sample.name} stores a hash of each request's body, to recognize it when it is "
            "repeated; by that the value could be guessed"
        )
    if sample.base != "Model":
        raise NewServiceError(
            f"{wrong}sample {sample.name} stores each change in a document of its own, an {sample.base}, "
            + (
                "so it would be found by values that it had before"
                if declared.is_hashed
                else "which is not encrypted"
            )
        )
    if declared.is_encrypted and sample.guard is not None:
        raise NewServiceError(f"{wrong}the guard of sample {sample.name}, {sample.guard}, does not encrypt")


def _check_module(file_name: str, text: str, names: Names) -> None:
    """Compares the names in a module before and after: two that differ must not become one."""
    old_by_new: dict[str, str] = {}
    for old in sorted({*_names(text)}):
        new = names.renaming.name(old)
        if old_by_new.setdefault(new, old) != old:
            raise NewServiceError(
                f"'{new}' would stand for both {old_by_new[new]} and {old} in {file_name} of the sample: "
                "choose another name"
            )
    if file_name == "tests.py":  # there the names of properties are values
        return
    for declared in names.properties:
        for new in (declared.name, declared.stored_name, declared.word.camel):
            if old_by_new.get(new, "color").lower() != "color":
                raise NewServiceError(f"--property {declared}: '{new}' is taken in {file_name} of the sample")


def _names(text: str) -> Iterable[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.string
