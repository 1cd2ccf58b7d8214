"""Does a signature still verify after a random document was stored and read back? Counts false alarms.

Uses a database of its own, which it deletes. Exit status 1: an alarm.

The documents hold what a JSON round trip is hard on: doubles with random bits, integers at the edge of what
is exact, characters of all planes, combining forms, controls. What signing refuses is drawn again.
"""

import argparse
import json
import math
import os
import random
import struct
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measuring import settings
from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer, running_couchdb

_BATCH = 1000
_LARGEST_EXACT_INTEGER = 2**53 - 1
_EDGES: tuple[Any, ...] = (
    *(0, -0.0, 1.0, 1e21, 1e-7, 1e-6, 123456789012345680.0, 1.7976931348623157e308, 2.2250738585072014e-308),
    *(_LARGEST_EXACT_INTEGER, -_LARGEST_EXACT_INTEGER, 2**53, 5e-324, 0.1, 1 / 3, 1e22, 9007199254740991.0),
    *(
        "",
        "\u00e9",
        "e\u0301",
        "\u212b",
        "\U0001f600",
        "\ufffe\uffff",
        "\x00\x1f\x7f",
        "\u2028\u2029",
        '\\/"',
    ),
    *(None, True, False, [], {}),
)
# The names and values are for chance to choose, not for secrets.
_random = random.Random()  # noqa: S311


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--documents", type=settings.count, default=100_000, help="how many")
    parser.add_argument("--seed", type=int, default=_random.randrange(2**32), help="to repeat a run")


def run(options: argparse.Namespace) -> int:
    """The exit status: 0 if no document raised a false alarm."""
    _random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder, running_couchdb(Path(folder)) as couchdb:
        alarms = _alarms(couchdb, Path(folder), options.documents)
        where = "CouchDB" if "COUCHDB_URL" in os.environ else "the stand-in for CouchDB"
        where += f" {couchdb.succeed('GET', '').json()['version']}"
    for document_id in alarms:
        print(f"false alarm: {document_id}")
    print(f"{options.documents} documents on {where}, seed {options.seed}: {len(alarms)} false alarms")
    return 1 if alarms else 0


def _alarms(couchdb: CouchDBServer, folder: Path, count: int) -> list[str]:
    signing.new_key_set(folder / "keys.json")
    signer = TamperingSigner.from_file(folder / "keys.json")
    alarms: list[str] = []
    with couchdb.new_database() as url:
        name = url.rpartition("/")[2]
        for first in range(0, count, _BATCH):
            documents = [_signed(signer, i) for i in range(first, min(first + _BATCH, count))]
            couchdb.succeed("POST", f"{name}/_bulk_docs", data=json.dumps({"docs": documents}), **_JSON)
            keys = {"keys": [document["_id"] for document in documents]}
            answer = couchdb.succeed("POST", f"{name}/_all_docs?include_docs=true&conflicts=true", json=keys)
            stored = [msgspec.json.decode(answer.content)["rows"], answer.json()["rows"]]
            alarms += [row["id"] for rows in stored for row in rows if not signing.verify(signer, row["doc"])]
    return alarms


_JSON: dict[str, Any] = {"headers": {"Content-Type": "application/json"}}


def _signed(signer: TamperingSigner, number: int) -> dict[str, Any]:
    while True:
        members = {_name(): _value(0) for _ in range(_random.randrange(1, 6))}
        document = members | {"_id": f"{number:08d}", "type": "fuzz_v1.0"}
        try:
            return signing.sign(signer, document)
        except InvalidDocumentError:
            continue


def _name() -> str:
    while True:
        name = _text()
        # CouchDB keeps the underscore for itself; and the stand-in, being JavaScript, drops __proto__.
        if name and not name.startswith("_"):
            return name


def _value(depth: int) -> Any:
    kind = _random.randrange(5 if depth > 3 else 7)
    match kind:
        case 0:
            return _random.choice(_EDGES)
        case 1:
            return _random.randint(-_LARGEST_EXACT_INTEGER, _LARGEST_EXACT_INTEGER)
        case 2:
            return _double()
        case 3:
            return round(_random.uniform(-1e6, 1e6), _random.randrange(8))
        case 4:
            return _text()
        case 5:
            return [_value(depth + 1) for _ in range(_random.randrange(4))]
        case _:
            return {_name(): _value(depth + 1) for _ in range(_random.randrange(4))}


def _double() -> float:
    while True:
        number: float = struct.unpack("<d", _random.randbytes(8))[0]
        if math.isfinite(number):
            return number


def _text() -> str:
    planes = (0x80, 0x300, 0xD800, 0x10000, 0x110000)
    characters = (_random.randrange(_random.choice(planes)) for _ in range(_random.randrange(8)))
    return "".join(chr(character) for character in characters if not 0xD800 <= character < 0xE000)
