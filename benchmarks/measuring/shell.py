"""Commands of the user, such as those that break and mend a node."""

import asyncio
import subprocess

from suite.errors import SuiteError


async def shell(command: str) -> None:
    """Runs a command of a shell.

    Raises:
        SuiteError: its exit status is not 0.
    """
    process = await asyncio.create_subprocess_shell(command, stdout=subprocess.DEVNULL)
    if await process.wait():
        raise SuiteError(f"the command failed: {command}")
