"""What a proxy says about the request that it forwards, and from which addresses that is believed."""

import dataclasses
import ipaddress
import re
from collections.abc import Sequence

from tornado.httputil import HTTPServerRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# A path of RFC 3986 without empty segments: a browser reads what follows "//" as a host.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+;=:@%-]+)+")
_MAX_PREFIX_SIZE = 256
_PORT = re.compile(r"(?:(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[^\]]*)\])(?::[0-9]{1,5})?")


@dataclasses.dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks of the proxies whose `X-Forwarded-*` headers are believed. By default there are none."""

    networks: Sequence[Network] = ()

    @classmethod
    def named(cls, text: str) -> "TrustedProxies":
        """From addresses and networks with commas between them: `10.0.0.0/8,127.0.0.1,::1`.

        Raises:
            ValueError: one of them is neither.
        """
        return cls(tuple(_network(name.strip()) for name in text.split(",")))

    def trust(self, address: Address) -> bool:
        """Whether this is the address of a trusted proxy."""
        return any(address in network for network in self.networks)

    def apply(self, request: HTTPServerRequest) -> str:
        """Gives the request the address, protocol and host that its client used; returns the path's prefix.

        Headers are ignored if another peer sent them, and so are malformed values. Each proxy adds a value at
        the end of a list, so what is left of the values that trusted proxies added is not believed.
        """
        peer = _address(request.remote_ip or "") if self.networks else None
        if peer is None or not self.trust(peer):
            return ""
        client, hops = self._client(peer, _values(request, "X-Forwarded-For"))
        request.remote_ip = str(client)
        protocol = _believed(_values(request, "X-Forwarded-Proto"), hops).lower()
        if protocol in ("http", "https"):
            request.protocol = protocol
        host = _believed(_values(request, "X-Forwarded-Host"), hops)
        if _HOST.fullmatch(host):
            request.host = host
        prefix = _believed(_values(request, "X-Forwarded-Prefix"), hops).rstrip("/")
        return prefix if len(prefix) <= _MAX_PREFIX_SIZE and _PREFIX.fullmatch(prefix) else ""

    def _client(self, peer: Address, forwarded_for: Sequence[str]) -> tuple[Address, int]:
        """The last address on the way back from `peer` that a trusted proxy vouches for, and their number."""
        address, hops = peer, 1
        for value in reversed(forwarded_for):
            before = _address(value)
            if before is None:
                break
            address = before
            if not self.trust(before):
                break
            hops += 1
        return address, hops


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is neither an address nor a network: {error}") from error


def _address(text: str) -> Address | None:
    """The address in a value of X-Forwarded-For, which some proxies give a port; None if there is none."""
    with_port = _PORT.fullmatch(text)
    if with_port is not None:
        text = with_port["ipv4"] or with_port["ipv6"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket that listens for IPv6 and IPv4 shows the peers of the latter so.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _values(request: HTTPServerRequest, name: str) -> list[str]:
    text = request.headers.get(name, "")
    return [value.strip() for value in text.split(",")] if text else []


def _believed(values: Sequence[str], hops: int) -> str:
    """Of values that `hops` trusted proxies have added to, or replaced, the first that is one of theirs."""
    return values[-min(hops, len(values))] if values else ""
