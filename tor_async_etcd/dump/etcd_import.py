"""The command etcd-import: sets the keys of an etcd to the values in a file of etcd-export.

It writes only what differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tor_async_etcd.dump.command import Progress, connect, parser, run
from tor_async_etcd.dump.dump_format import DumpFormat
from tor_async_etcd.errors import ConflictError, Failed, InvalidDataError, OutcomeUnknownError
from tor_async_etcd.kv.keyset import KeySet
from tor_async_etcd.kv.transaction import CompModified, Op, OpDel, OpSet, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tor_async_etcd.kv.client import Client

BATCH_CHANGES = 128  # etcd's default --max-txn-ops
BATCH_BYTES = (
    1_000_000  # etcd's default --max-request-bytes is 1,572,864, for keys, values and what frames them
)


class _Change(NamedTuple):
    key: bytes
    seen_revision: int  # 0 if the key didn't exist
    value: bytes | None  # None to delete it

    @property
    def size_bytes(self) -> int:
        return 2 * len(self.key) + len(self.value or b"")


class Difference(NamedTuple):
    """What an import would change: keys to set, and keys that are not in the file."""

    to_update: list[_Change]
    to_delete: list[_Change]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parser("Set the keys of an etcd to the values in a file of etcd-export, and show what differs.")
    options.add_argument("input_file", type=Path)
    options.add_argument(
        "-f", "--input-format", choices=["json", "csv"], default="json", help="default: json"
    )
    options.add_argument("-d", "--dry-run", action="store_true", help="show what would be changed, as JSON")
    options.add_argument("-o", "--dry-output", type=Path, help="write what --dry-run shows to this file")
    options.add_argument("--delete", action="store_true", help="delete the keys that the file does not have")
    options.add_argument(
        "--verbosity",
        choices=["silent", "compact", "verbose"],
        default="compact",
        help="show nothing, how many keys differ (default), or which keys",
    )
    return run(import_file(options.parse_args(arguments)))


async def import_file(options: argparse.Namespace) -> None:
    """Compare the file with etcd and set the keys that differ; with --delete, delete those not in the file.

    A key is changed only if it is still as it was when it was compared. Up to 128 changes are one
    transaction. More are several transactions, so an import that fails may have written a part: import again
    for the rest.

    Raises:
        ConflictError: another client changed a key since it was compared.
        InvalidDataError: the file is not of the types and the format of the options.
    """
    dump_format = DumpFormat(options.key_type, options.value_type, options.input_format)
    wanted = dump_format.read(_content(options.input_file))
    async with connect(options) as client:
        difference = await compare(client, dump_format, wanted)
        if options.dry_run:
            _write_dry(options, dump_format, difference)
            return
        _report(options, dump_format, difference)
        await apply(client, difference.to_update + (difference.to_delete if options.delete else []))


def _content(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


async def compare(client: Client, dump_format: DumpFormat, wanted: dict[bytes, bytes]) -> Difference:
    """Return the difference between the keys of etcd and those that are wanted."""
    missing = dict(wanted)
    to_update, to_delete = [], []
    progress, count = Progress("keys compared"), 0
    async for page in client.pages(KeySet(b"", prefix=True)):
        for kv in page.kvs:
            value = missing.pop(kv.key, None)
            if value is None:
                to_delete.append(_Change(kv.key, kv.mod_revision, None))
            elif not dump_format.same(kv.value, value):
                to_update.append(_Change(kv.key, kv.mod_revision, value))
        count += len(page.kvs)
        progress.show(count)
    progress.end()
    to_update += [_Change(key, 0, value) for key, value in missing.items()]
    return Difference(sorted(to_update), to_delete)


async def apply(client: Client, changes: Sequence[_Change]) -> None:
    """Write changes, each only if its key is still as it was compared. Raises ConflictError."""
    progress, done = Progress("keys changed"), 0
    for batch in _batches(changes):
        guards = [CompModified(change.key, "==", change.seen_revision) for change in batch]
        try:
            await client.submit(Transaction(guards, [_operation(change) for change in batch]))
        except Failed as error:
            raise ConflictError(
                f"a key was changed by another since it was compared: {done} of {len(changes)} changes"
                " are done, import again for the rest"
            ) from error
        except OutcomeUnknownError as error:
            raise OutcomeUnknownError(
                f"{done} to {done + len(batch)} of {len(changes)} changes are done, import again: {error}"
            ) from error
        done += len(batch)
        progress.show(done)
    progress.end()


def _operation(change: _Change) -> Op:
    if change.value is None:
        return OpDel(change.key)
    return OpSet(change.key, change.value, keep_lease=change.seen_revision != 0)


def _batches(changes: Sequence[_Change]) -> Iterator[list[_Change]]:
    batch: list[_Change] = []
    size_bytes = 0
    for change in changes:
        if batch and (len(batch) == BATCH_CHANGES or size_bytes + change.size_bytes > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(change)
        size_bytes += change.size_bytes
    if batch:
        yield batch


def _write_dry(options: argparse.Namespace, dump_format: DumpFormat, difference: Difference) -> None:
    shown: dict[str, Any] = {
        "to_update": {
            dump_format.key_text(change.key): dump_format.value_item(change.key, change.value or b"")
            for change in difference.to_update
        },
        "to_delete": [_shown(dump_format, change.key) for change in difference.to_delete],
    }
    text = json.dumps(shown, indent=4, ensure_ascii=False) + "\n"
    if options.dry_output is None:
        sys.stdout.buffer.write(text.encode())
    else:
        options.dry_output.write_bytes(text.encode())


def _shown(dump_format: DumpFormat, key: bytes) -> str:
    """Return a key as a dump would show it, or else as Python does."""
    try:
        return dump_format.key_text(key)
    except InvalidDataError:
        return repr(key)


def _report(options: argparse.Namespace, dump_format: DumpFormat, difference: Difference) -> None:
    """Write the difference to the standard output."""
    if options.verbosity == "verbose":
        for change in difference.to_update:
            sys.stdout.write(f"{'~' if change.seen_revision else '+'} {_shown(dump_format, change.key)}\n")
        for change in difference.to_delete:
            sys.stdout.write(f"{'-' if options.delete else '?'} {_shown(dump_format, change.key)}\n")
    if options.verbosity != "silent":
        created = sum(change.seen_revision == 0 for change in difference.to_update)
        fate = "to delete" if options.delete else "not in the file, kept without --delete"
        sys.stdout.write(
            f"{created} to create, {len(difference.to_update) - created} to change,"
            f" {len(difference.to_delete)} {fate}\n"
        )


if __name__ == "__main__":
    sys.exit(main())
