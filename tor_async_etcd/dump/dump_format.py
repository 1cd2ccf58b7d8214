"""Dumps: the files that etcd-export writes and etcd-import reads."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias

from tor_async_etcd.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Mapping

DataType: TypeAlias = Literal["utf8", "binary", "json"]

MAX_VALUE_BYTES = 16 << 20  # more than any etcd is configured to take


class DumpFormat(NamedTuple):
    """The types of keys and values, and the format of the file.

    "utf8" is text, "binary" is bytes, which are base64 in the file, and "json" is JSON. A dump keeps the
    meaning of JSON values, not their spelling: after an import, etcd's bytes may have other spaces than
    before.
    """

    key_type: DataType
    value_type: DataType
    file_format: Literal["json", "csv"]

    def write(self, items: Mapping[bytes, bytes]) -> str:
        """Return the file's text, sorted by key.

        Raises:
            InvalidDataError: a key or a value is not of its type.
        """
        rows = sorted((self.key_text(key), self.value_item(key, value)) for key, value in items.items())
        if self.file_format == "json":
            return json.dumps(dict(rows), indent=4, ensure_ascii=False) + "\n"
        text = io.StringIO(newline="")
        csv.writer(text).writerows((key, self._cell(item)) for key, item in rows)
        return text.getvalue()

    def read(self, text: str) -> dict[bytes, bytes]:
        """Return the keys and values of a file's text.

        Raises:
            InvalidDataError: the text is not of this format, or has a key twice.
        """
        items: dict[bytes, bytes] = {}
        for number, (key_text, item) in enumerate(self._rows(text), 1):
            try:
                key = _to_bytes(self.key_type, key_text)
                value = _to_bytes(self.value_type, item)
            except (TypeError, ValueError) as error:
                raise InvalidDataError(f"entry {number}, key {key_text!r}: {error}") from error
            if key in items or not key:
                raise InvalidDataError(f"entry {number}: the key {key_text!r} is there twice, or empty")
            items[key] = value
        return items

    def key_text(self, key: bytes) -> str:
        """Return a key as it is in the file. Raises InvalidDataError."""
        try:
            return str(_from_bytes(self.key_type, key))
        except ValueError as error:
            raise InvalidDataError(f"the key {key!r} is no {self.key_type}; try -k binary") from error

    def value_item(self, key: bytes, value: bytes) -> Any:
        """Return a value as it is in a file of JSON. Raises InvalidDataError."""
        try:
            return _from_bytes(self.value_type, value)
        except ValueError as error:
            hint = "try -v utf8 or -v binary" if self.value_type == "json" else "try -v binary"
            raise InvalidDataError(f"the value of {key!r} is no {self.value_type}; {hint}") from error

    def same(self, one: bytes, other: bytes) -> bool:
        """Return whether two values are the same in a dump."""
        if one == other or self.value_type != "json":
            return one == other
        try:
            return _canonical(_parse_json(one)) == _canonical(_parse_json(other))
        except ValueError:
            return False

    def _cell(self, item: Any) -> str:
        return json.dumps(item, ensure_ascii=False) if self.value_type == "json" else str(item)

    def _rows(self, text: str) -> list[tuple[str, Any]]:
        try:
            if self.file_format == "json":
                content = _parse_json(text)
                if not isinstance(content, dict):
                    raise InvalidDataError("the file is no JSON object of keys and values")
                return list(content.items())
            csv.field_size_limit(MAX_VALUE_BYTES * 2)
            rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
            if self.value_type == "json":
                return [(key, _parse_json(cell)) for key, cell in rows]
            return [(key, cell) for key, cell in rows]
        except (ValueError, csv.Error) as error:
            raise InvalidDataError(
                f"the file is no {self.file_format} of keys and values: {error}"
            ) from error


def _from_bytes(data_type: DataType, data: bytes) -> Any:
    if data_type == "binary":
        return base64.b64encode(data).decode("ascii")
    if data_type == "utf8":
        return data.decode()
    item = _parse_json(data)
    json.dumps(item, ensure_ascii=False).encode()  # refuses half a surrogate pair, which no file can hold
    return item


def _to_bytes(data_type: DataType, item: Any) -> bytes:
    if data_type == "json":
        return json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
    if not isinstance(item, str):
        raise TypeError(f"{item!r} is no text")
    return base64.b64decode(item, validate=True) if data_type == "binary" else item.encode()


def _parse_json(text: str | bytes) -> Any:
    """Read strict JSON. Raises ValueError for NaN, too large a number, a key twice, or too deep a nesting."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _canonical(item: Any) -> str:
    return json.dumps(item, sort_keys=True)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) < len(pairs):
        raise ValueError(f"an object has a key twice, among {', '.join(repr(key) for key, _ in pairs)[:200]}")
    return items
