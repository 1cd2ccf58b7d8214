"""Reports to systemd, for units with `Type=notify`. Elsewhere it does nothing."""

import contextlib
import os
import socket

READY, STOPPING = "READY=1", "STOPPING=1"


def notify(state: str) -> None:
    """Sends a state to the service manager, if one listens at $NOTIFY_SOCKET; see sd_notify(3).

    A service runs as well without its manager's notice, so an error is ignored.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # in the abstract namespace of Linux
        address = f"\0{address[1:]}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.connect(address)
        manager.send(state.encode())
