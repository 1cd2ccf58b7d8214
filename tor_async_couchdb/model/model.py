"""Models: typed, immutable data that CouchDB stores as documents."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import msgspec

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model.properties import Deletes, Property, Protection, declared_properties
from tor_async_couchdb.protection.signing import SIGNATURE_PROPERTY_NAME

Document = dict[str, Any]

# Whoever resolves a conflict must be able to tell the name of a type from its version.
_TYPE_PATTERN = re.compile(r"[^\s]+_v\d+\.\d+", re.IGNORECASE)
_IDENTITY = frozenset({"_id", "_rev"})


class _ModelMeta(msgspec.StructMeta):
    """Checks a model's declarations when its class is made: at import, not at the first write."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> Any:
        cls: Any = super().__new__(mcs, name, bases, namespace, **config)
        tag = cls.__struct_config__.tag
        if bases != (msgspec.Struct,) and not (isinstance(tag, str) and _TYPE_PATTERN.fullmatch(tag)):
            raise TypeError(f'model {name} needs a type such as tag="fruit_v1.0", not {tag!r}')
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
        subjects = [declared.name for declared in cls.properties.values() if declared.subject is not None]
        cls.subject_name = subjects[0] if subjects else None
        return cls


class Model(
    msgspec.Struct,
    metaclass=_ModelMeta,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    rename={"id": "_id", "rev": "_rev"},
):
    """What a document is to a service. A change takes a copy (`msgspec.structs.replace`).

    The class names the documents' `type`, with its version, and declares the properties:

        class Fruit(Model, tag="fruit_v1.0", frozen=True, kw_only=True):
            color: Annotated[str, LatestBy("updated_on")]
            updated_on: Annotated[Timestamp, Latest()]

    `id` and `rev` are CouchDB's, and None until the model has been stored. `deletes` says what becomes of a
    document that one master deleted while another changed it.
    """

    properties: ClassVar[Mapping[str, Property]]
    unique_keys: ClassVar[Mapping[str, str]]  # the property's name, by the view's
    encrypted_names: ClassVar[Sequence[str]]
    subject_name: ClassVar[str | None]  # None: a document's id
    deletes: ClassVar[Deletes] = Deletes.LOSE

    id: str | None = None
    rev: str | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What of the model may be shown, in logs for instance: no value that is protected."""
        hidden = {
            declared.name
            for declared in self.properties.values()
            if declared.protection is not Protection.PUBLIC
        }
        return [(name, ... if name in hidden else getattr(self, name)) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    @classmethod
    def type_name(cls) -> str:
        """The `type` of the documents."""
        return str(cls.__struct_config__.tag)

    def as_doc_for_store(self) -> Document:
        """The document to store. Override it to store a property in another form."""
        document: Document = msgspec.to_builtins(self)
        return {name: value for name, value in document.items() if name not in _IDENTITY or value is not None}

    @classmethod
    def from_doc(cls, doc: Document) -> Self:
        """The model that a stored document holds. Override it to read a property in another form.

        Raises:
            InvalidDocumentError: a wrong or missing type, or a missing, unknown or wrong property.
        """
        document_id = doc.get("_id")
        if "type" not in doc:  # msgspec takes a document without a type for one of the right type
            raise InvalidDocumentError("missing", document_id=document_id, property_name="type")
        try:
            return msgspec.convert({name: doc[name] for name in doc if _is_own(name)}, cls)
        except msgspec.ValidationError as error:
            reason = str(error)
            if cls.encrypted_names:  # msgspec quotes some values, and this may be one that was decrypted
                _, separator, path = reason.rpartition(" - at ")
                reason = f"does not fit its model at {path}" if separator else "does not fit its model"
            raise InvalidDocumentError(reason, document_id=document_id) from None


def _is_own(name: str) -> bool:
    """Whether a member belongs to the model, and not to CouchDB (`_conflicts`, …) or to the signature."""
    return name in _IDENTITY or not (name.startswith("_") or name == SIGNATURE_PROPERTY_NAME)
