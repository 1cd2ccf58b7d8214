"""The command etcd-export: all keys and values of an etcd, as they are at one revision, into a file."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .command import Progress, connect, parser, run
from .dump import DumpFormat
from .keyset import KeySet
from .paging import pages

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parser("Write all keys and values of an etcd, as they are at one revision, to a file.")
    options.add_argument(
        "-f", "--output-format", choices=["json", "csv"], default="json", help="default: json"
    )
    options.add_argument("-o", "--output-file", type=Path, help="default: the standard output")
    return run(export(options.parse_args(arguments)))


async def export(options: argparse.Namespace) -> None:
    """Write the file; it appears complete or not at all.

    Raises:
        Compacted: etcd forgot the revision before all of it was read.
        InvalidDataError: a key or a value is not of the type that was asked for.
    """
    dump_format = DumpFormat(options.key_type, options.value_type, options.output_format)
    items: dict[bytes, bytes] = {}
    progress = Progress("keys")
    async with connect(options.address) as client:
        async for page in pages(client, KeySet(b"", prefix=True)):
            items.update((kv.key, kv.value) for kv in page.kvs)
            progress.show(len(items))
    progress.end()
    text = dump_format.write(items)
    if options.output_file is None:
        sys.stdout.buffer.write(text.encode())
    else:
        _replace(options.output_file, text.encode())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole: whoever opens it sees what was before or all of what is new."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


if __name__ == "__main__":
    sys.exit(main())
