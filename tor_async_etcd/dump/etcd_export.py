"""The command etcd-export: writes all keys and values of an etcd, at one revision, to a file."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tor_async_etcd.dump.command import Progress, connect, parser, run
from tor_async_etcd.dump.dump_format import DumpFormat
from tor_async_etcd.kv.keyset import KeySet

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tor_async_etcd.kv.client import Client


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parser("Write all keys and values of an etcd, as they are at one revision, to a file.")
    options.add_argument(
        "-f", "--output-format", choices=["json", "csv"], default="json", help="default: json"
    )
    options.add_argument("-o", "--output-file", type=Path, help="default: the standard output")
    return run(_export_to_file(options.parse_args(arguments)))


async def _export_to_file(options: argparse.Namespace) -> None:
    """Write the file, complete or not at all.

    Raises:
        Compacted: etcd forgot the revision before all of it was read.
        InvalidDataError: a key or a value is not of the type that was asked for.
    """
    dump_format = DumpFormat(options.key_type, options.value_type, options.output_format)
    async with connect(options) as client:
        content = (await export(client, dump_format)).encode()
    if options.output_file is None:
        sys.stdout.buffer.write(content)
    else:
        _replace(options.output_file, content)


async def export(client: Client, dump_format: DumpFormat) -> str:
    """Return the text of a file with all keys and values of one revision.

    Raises:
        Compacted: etcd forgot the revision before all of it was read.
        InvalidDataError: a key or a value is not of the type that was asked for.
    """
    items: dict[bytes, bytes] = {}
    progress = Progress("keys")
    async for page in client.pages(KeySet(b"", prefix=True)):
        items.update((kv.key, kv.value) for kv in page.kvs)
        progress.show(len(items))
    progress.end()
    return dump_format.write(items)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees the old content or all of the new."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


if __name__ == "__main__":
    sys.exit(main())
