"""The values of loadgen's own options."""

import argparse
import os
from pathlib import Path


def number_of_fruits(text: str) -> int:
    """At least one fruit.

    Raises:
        argparse.ArgumentTypeError: `text` is something else.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of fruits: 1 or more")
    return int(text)


def percentage(text: str) -> int:
    """A whole number from 0 to 100.

    Raises:
        argparse.ArgumentTypeError: `text` is something else.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage: a whole number from 0 to 100")
    return int(text)


def writable_file(text: str) -> Path:
    """A file that can be written; it isn't touched yet.

    Raises:
        argparse.ArgumentTypeError: its folder doesn't exist, or it or its folder can't be written.
    """
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder, not a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} can't be written")
    return path
