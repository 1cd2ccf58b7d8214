"""Files with secrets: only their owner can read them, and none replaces another."""

import os


def create_private_file(path: str | os.PathLike[str], content: bytes = b"") -> None:
    """Writes a new file that only its owner can read; it is on the disk when this returns.

    Raises:
        FileExistsError: there is such a file already; a key that is overwritten can't verify or decrypt.
        OSError: the file can't be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
