"""A secret in a file that may be replaced while the process runs."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

_logger = logging.getLogger(__name__)

_Version = tuple[int, ...]

Check = Callable[[str], None]


def _accept(text: str) -> None:
    """The check of a secret that may be any text."""


class SecretFile:
    """A secret of one line in a file; the line's end is no part of it.

    The file is read again when it changes. Kubernetes mounts secrets through symbolic links, and exchanges
    these: what a link leads to counts. If the new file can't be used, the secret stays as it was, and the log
    has a warning.

    `check` raises ValueError for a text that its use can't take; the message must not show it.

    Raises:
        ValueError: it can't be read, is empty, has more than one line, or fails the check. The message names
            the file.
    """

    def __init__(self, path: str | os.PathLike[str], check: Check = _accept) -> None:
        self.path = Path(path)
        self._check = check
        self._version = self._found_version()
        self._text = self._read()
        self._complaint = ""

    def __repr__(self) -> str:
        return f"SecretFile({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretFile) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def checked_by(self, check: Check) -> "SecretFile":
        """The secret of the same file, for a use that can't take each text.

        Raises:
            ValueError: as the constructor does.
        """
        return SecretFile(self.path, check)

    def current(self) -> str:
        """The secret as it is now."""
        try:
            version = self._found_version()
            if version != self._version:
                self._text = self._read()
                self._version = version
            self._complaint = ""
        except ValueError as error:
            if str(error) != self._complaint:  # once, and not with each request
                self._complaint = str(error)
                _logger.warning("the last secret stays in use: %s", error)
        return self._text

    def _found_version(self) -> _Version:
        try:
            status = self.path.stat()
        except OSError as error:
            raise ValueError(f"{self.path}: {error.strerror}") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _read(self) -> str:
        try:
            text = self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"{self.path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: it is not UTF-8") from error
        lines = text.splitlines()
        if not lines or not lines[0]:
            raise ValueError(f"{self.path}: it is empty, but should hold a secret")
        if len(lines) > 1:
            raise ValueError(f"{self.path}: it has more than one line, but should hold one secret")
        try:
            self._check(lines[0])
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None
        return lines[0]
