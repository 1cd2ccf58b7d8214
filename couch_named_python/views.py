"""The rows of a map function."""

from typing import Any

from couch_named_python.helpers import STAGE, JSONObject
from couch_named_python.json_lines import encode_rows
from couch_named_python.versions import DesignFunction

Row = tuple[Any, Any]


def emitted_rows(function: DesignFunction, document: JSONObject) -> list[Row]:
    """Return the (key, value) pairs that a map function yields or emits for a document, in order.

    Raises:
        TypeError: the function returned or yielded something else.
        InvalidJSONError: JSON has no form for a key or value.
    """
    rows = collected_rows(function, document)
    encode_rows(rows)
    return rows


def collected_rows(function: DesignFunction, document: JSONObject) -> list[Row]:
    """Return the pairs that a map function yields or emits, whether or not they can be JSON.

    Raises:
        TypeError: the function returned or yielded something else.
    """
    rows: list[Row] = []
    STAGE.rows = rows
    try:
        result = function(document)
        if result is not None:
            if not hasattr(result, "__next__"):
                raise TypeError(f"a map function yields pairs or calls emit(), but this returned {result!r}")
            for item in result:
                if not isinstance(item, tuple):
                    rows.append((item, None))
                elif len(item) == 2:
                    rows.append(item)
                else:
                    raise TypeError(f"a map function yields (key, value) pairs, not {item!r}")
    finally:
        STAGE.rows = None
    return rows
