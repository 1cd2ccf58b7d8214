"""The option for etcd. A service without it does not import the etcd client."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tor_async_couchdb import deadline
from tor_async_service.app.options import Option

if TYPE_CHECKING:
    from tor_async_etcd import Client

_TIMEOUT_S = 10.0


def etcd_client(text: str) -> Client:
    """A client, not yet connected, of the members at these URLs, which are separated by commas.

    The first URL may have a user and a password, which are used for all members.

    Raises:
        ValueError: a part is not the URL of a member, or the user has no password.
    """
    from tor_async_etcd import Client

    urls = text.split(",")
    first = urlsplit(urls[0])
    urls[0] = first._replace(netloc=first.netloc.rpartition("@")[2]).geturl()
    if first.username is None:
        return Client(urls, timeout_s=_remaining_s)
    if first.password is None:
        raise ValueError("etcd's user needs a password")
    username, password = unquote(first.username), unquote(first.password)
    return Client(urls, username=username, password=password, timeout_s=_remaining_s)


def _remaining_s() -> float:
    """How long a call to etcd may take: no longer than the request that is being handled."""
    return max(0.0, min(_TIMEOUT_S, deadline.current().remaining_s()))


ETCD = Option(
    "etcd",
    "URL",
    "etcd that elects which process reconciles the database; several members: separated by commas",
    "RECONCILER_ETCD",
    etcd_client,
    is_optional=True,
)
