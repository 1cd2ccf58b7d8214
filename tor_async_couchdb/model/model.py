"""Models: typed, immutable data that CouchDB stores as documents."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, dataclass_transform

import msgspec

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model.properties import OnDeleteConflict, Property, Protection, declared_properties

Document = dict[str, Any]

# Makes the properties of one version of a model of those of another version.
Convert = Callable[[Document], Document]

# A type is a name and a version: conflict resolution must be able to tell them apart.
TYPE_PATTERN = re.compile(r"\S+_v[0-9]+\.[0-9]+", re.IGNORECASE)

# The property that holds a document's signature. No model sees it.
SIGNATURE_PROPERTY_NAME = "801dbe4659a641739cbe94fcf0baab03_tampering_v1.0_sig"

# The property that holds the nonces of a document's last writes; see documents/nonces.py. No model sees it.
NONCES_PROPERTY_NAME = "write_nonces_v1.0"

# Members that are no properties and that a change must send back: without its stubs CouchDB deletes the
# attachments, and without the nonces nothing shows which writes a document contains.
_COUCHDBS = frozenset({"_id", "_rev", "_attachments", NONCES_PROPERTY_NAME})


class _ModelMeta(msgspec.StructMeta):
    """Makes each model frozen and keyword-only, and checks its declarations at import."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> Any:
        cls: Any = super().__new__(mcs, name, bases, namespace, **{"frozen": True, "kw_only": True} | config)
        tag = cls.__struct_config__.tag
        if bases != (msgspec.Struct,) and not (isinstance(tag, str) and TYPE_PATTERN.fullmatch(tag)):
            raise TypeError(f'model {name} needs a type such as tag="fruit_v1.0", not {tag!r}')
        cls.document_type = str(tag)
        cls.document_types = frozenset({cls.document_type, *cls.reads})
        cls.properties = declared_properties(cls)
        cls.unique_keys = {
            declared.unique_key.view: declared.name
            for declared in cls.properties.values()
            if declared.unique_key is not None
        }
        cls.encrypted_names = tuple(
            declared.name
            for declared in cls.properties.values()
            if declared.protection is Protection.ENCRYPTED
        )
        cls.decrypted_names = (*dict.fromkeys((*cls.encrypted_names, *cls.encrypted_elsewhere)),)
        cls.shown_names = tuple(
            declared.name
            for declared in cls.properties.values()
            if declared.protection is not Protection.HASHED
        )
        subjects = [declared.name for declared in cls.properties.values() if declared.subject is not None]
        cls.subject_name = subjects[0] if subjects else None
        return cls


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Model(
    msgspec.Struct,
    metaclass=_ModelMeta,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    rename={
        "id": "_id",
        "rev": "_rev",
        "attachments": "_attachments",
        "write_nonces": NONCES_PROPERTY_NAME,
    },
):
    """What a document is to a service: immutable, so a change makes a copy (`replace`).

    The class names the documents' `type`, with its version, and declares the properties:

        class Fruit(Model, tag="fruit_v1.0"):
            fruit_id: Annotated[str, UniqueKey("fruit_by_fruit_id")]
            color: str

    `id`, `rev`, `attachments` and `write_nonces` are no properties and are None until the model is stored.
    `attachments` are the stubs of the document's attachments and `write_nonces` the names of its last writes:
    a change keeps both. `on_delete_conflict` says what becomes of a document that one master deleted while
    another changed it.

    A model can read documents that other versions of it have written. `reads` has their types, each with a
    function that gets such a document and returns one with the properties of this model; what else that has
    is left out. The model's own type may be among them, if not all versions write the same properties of it.
    A change always writes the model's own type. `encrypted_elsewhere` names the properties that another
    version encrypts and this one doesn't have.
    """

    document_type: ClassVar[str]
    document_types: ClassVar[frozenset[str]]  # all that it reads
    reads: ClassVar[Mapping[str, Convert]] = {}
    encrypted_elsewhere: ClassVar[Sequence[str]] = ()
    properties: ClassVar[Mapping[str, Property]]
    unique_keys: ClassVar[Mapping[str, str]]  # the property's name, by the view's
    encrypted_names: ClassVar[Sequence[str]]
    decrypted_names: ClassVar[Sequence[str]]  # these, and those that are encrypted elsewhere
    shown_names: ClassVar[Sequence[str]]  # of the properties that a representation has
    subject_name: ClassVar[str | None]  # None: each document is a subject of its own, by its id
    on_delete_conflict: ClassVar[OnDeleteConflict] = OnDeleteConflict.KEEP_CHANGE

    id: str | None = None
    rev: str | None = None
    attachments: dict[str, Any] | None = None
    write_nonces: Any = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The properties for logs and debuggers, without the values of protected ones and without nonces."""
        hidden = {
            declared.name
            for declared in self.properties.values()
            if declared.protection is not Protection.PUBLIC
        }
        return [
            (name, ... if name in hidden else getattr(self, name))
            for name in self.__struct_fields__
            if name != "write_nonces"
        ]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    @classmethod
    def type_name(cls) -> str:
        """The `type` of the documents."""
        return cls.document_type

    def replace(self, **changes: Any) -> Self:
        """A copy with other values for the properties that `changes` names."""
        return msgspec.structs.replace(self, **changes)

    def representation(self) -> dict[str, Any]:
        """What clients of a service see: all properties but hashes. Override it to show others."""
        return {name: getattr(self, name) for name in self.shown_names}

    def as_doc_for_store(self) -> Document:
        """The document to store. Override it to store a property in another form."""
        document: Document = msgspec.to_builtins(self)
        return {name: value for name, value in document.items() if name not in _COUCHDBS or value is not None}

    @classmethod
    def from_doc(cls, doc: Document) -> Self:
        """The model that a stored document holds. Override it to read a property in another form.

        Raises:
            InvalidDocumentError: the type is wrong or missing, or a property is missing, unknown or wrong.
        """
        document_id = doc.get("_id")
        if "type" not in doc:  # msgspec accepts a document without a type as one of the right type
            raise InvalidDocumentError("missing", document_id=document_id, property_name="type")
        try:
            return msgspec.convert(cls._in_own_form(doc), cls)
        except msgspec.ValidationError as error:
            reason = str(error)
            if cls.decrypted_names:  # msgspec quotes some values, and this may be a decrypted one
                _, separator, path = reason.rpartition(" - at ")
                reason = f"does not fit its model at {path}" if separator else "does not fit its model"
            raise InvalidDocumentError(reason, document_id=document_id) from None
        except RecursionError as error:
            raise InvalidDocumentError("is nested too deeply", document_id=document_id) from error

    @classmethod
    def _in_own_form(cls, doc: Document) -> Document:
        """What the document has for this model; converted if its type is in `reads`."""
        members = {name: doc[name] for name in doc if is_of_model(name)}
        convert = cls.reads.get(doc["type"]) if isinstance(doc["type"], str) else None
        if convert is None:
            return members
        try:
            converted = convert(members)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = (
                f"of type {doc['type']} can't be read as {cls.document_type}: {_why_unconvertible(error)}"
            )
            raise InvalidDocumentError(reason, document_id=doc.get("_id")) from None
        own = {name: value for name, value in converted.items() if name in cls.__struct_encode_fields__}
        return own | {"type": cls.document_type}


def _why_unconvertible(error: Exception) -> str:
    """The reason without the document's values, which may be decrypted ones."""
    return f"property {error} is missing" if isinstance(error, KeyError) else "a property has a wrong value"


def is_of_model(name: str) -> bool:
    """Whether a member is a property, or one of those members of CouchDB's that a model keeps."""
    return name in _COUCHDBS or not (name.startswith("_") or name == SIGNATURE_PROPERTY_NAME)
