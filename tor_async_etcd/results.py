"""The contents of etcd's answers, as typed values."""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = dict[str, Any]


class Header(NamedTuple):
    """The cluster and the member that answered, and the revision of its store."""

    raft_term: int
    revision: int
    cluster_id: int
    member_id: int

    @classmethod
    def parse(cls, reply: Json) -> Header:
        """Read the header of a reply."""
        get = reply.get("header", {}).get
        return cls(
            int(get("raft_term", 0)),
            int(get("revision", 0)),
            int(get("cluster_id", 0)),
            int(get("member_id", 0)),
        )


class KeyValue(NamedTuple):
    """A key with its value. The value is empty if it was not asked for, or if the key was deleted.

    `create_revision` is the revision of its last creation, `mod_revision` that of its last change. `version`
    counts the changes since its creation. `lease` is the id of its lease, or 0.
    """

    key: bytes
    value: bytes
    version: int
    create_revision: int
    mod_revision: int
    lease: int

    @classmethod
    def parse(cls, kv: Json) -> KeyValue:
        """Read a key and its value; the gateway omits what is zero or empty."""
        get = kv.get
        return cls(
            a2b_base64(get("key", "")),
            a2b_base64(get("value", "")),
            int(get("version", 0)),
            int(get("create_revision", 0)),
            int(get("mod_revision", 0)),
            int(get("lease", 0)),
        )


class Revision(NamedTuple):
    """The result of a set: `header.revision` is the new revision, `previous` the key before, if asked for."""

    header: Header
    previous: KeyValue | None

    @classmethod
    def parse(cls, reply: Json) -> Revision:
        """Read the reply to a put."""
        previous = reply.get("prev_kv")
        return cls(Header.parse(reply), None if previous is None else KeyValue.parse(previous))


class Deleted(NamedTuple):
    """The result of a delete: the number of deleted keys, and the keys before, if asked for."""

    deleted: int
    header: Header
    previous: list[KeyValue]

    @classmethod
    def parse(cls, reply: Json) -> Deleted:
        """Read the reply to a delete."""
        previous = [KeyValue.parse(kv) for kv in reply.get("prev_kvs", ())]
        return cls(int(reply.get("deleted", 0)), Header.parse(reply), previous)


@dataclass(frozen=True, slots=True)
class Range:
    """The result of a get. `count` is the number of keys in the range, `more` whether the limit cut it."""

    kvs: list[KeyValue]
    header: Header
    count: int
    more: bool

    @classmethod
    def parse(cls, reply: Json) -> Range:
        """Read the reply to a range."""
        kvs = [KeyValue.parse(kv) for kv in reply.get("kvs", ())]
        return cls(kvs, Header.parse(reply), int(reply.get("count", 0)), bool(reply.get("more", False)))


class Success(NamedTuple):
    """The result of a transaction whose comparisons held: a response for each operation, in order."""

    header: Header
    responses: list[Response]


class Branch(NamedTuple):
    """The result of a transaction inside another: whether its comparisons held, and its responses."""

    succeeded: bool
    responses: list[Response]


class Status(NamedTuple):
    """The state of one member. `leader` is its leader's id, 0 if it has none; `db_size` is in bytes."""

    version: str
    db_size: int
    leader: int
    header: Header
    raft_term: int
    raft_index: int

    @classmethod
    def parse(cls, reply: Json) -> Status:
        """Read the reply to a status request."""
        return cls(
            str(reply.get("version", "")),
            int(reply.get("dbSize", 0)),
            int(reply.get("leader", 0)),
            Header.parse(reply),
            int(reply.get("raftTerm", 0)),
            int(reply.get("raftIndex", 0)),
        )


Response: TypeAlias = Revision | Deleted | Range | Branch


def parse_responses(reply: Json) -> list[Response]:
    """Read a transaction's responses, in the order of its operations."""
    return [_parse_response(response) for response in reply.get("responses", ())]


def _parse_response(response: Json) -> Response:
    [(kind, reply)] = response.items()
    match kind:
        case "response_put":
            return Revision.parse(reply)
        case "response_range":
            return Range.parse(reply)
        case "response_delete_range":
            return Deleted.parse(reply)
        case _:
            return Branch(bool(reply.get("succeeded", False)), parse_responses(reply))
