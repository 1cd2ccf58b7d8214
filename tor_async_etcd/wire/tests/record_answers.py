"""Record what an etcd answers, for `test_gateway`:

    python -m tor_async_etcd.wire.tests.record_answers FILE [ETCD_BINARY]

Each entry of the file has the name of a case, the path of its request, and the HTTP status and the body of
the answer. Of an answer that goes on it has the first line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tor_async_etcd.testing import EtcdServer, etcd_cluster
from tor_async_etcd.wire.transport import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRE_LEADER = {"Grpc-Metadata-hasleader": "true"}
TIMEOUT_S = 15.0


def text(value: str) -> str:
    """Return a key or a value as the gateway takes it."""
    return b64encode(value.encode()).decode()


def put(key: str, **options: object) -> dict[str, Any]:
    """Return the body of a put."""
    return {"key": text(key), "value": text("x"), **options}


class Recorder:
    """Keeps the answers of one etcd."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []

    async def record(
        self,
        server: EtcdServer,
        name: str,
        path: str,
        body: object,
        headers: Mapping[str, str] = REQUIRE_LEADER,
    ) -> dict[str, Any]:
        """Send a request, keep its answer, and return the answer's content."""
        transport = HttpTransport(server.url)
        try:
            if path == "watch":
                stream = await transport.open(path, headers, json.dumps(body).encode(), TIMEOUT_S)
                status, answer = stream.status, await stream.line()
                stream.close()
            else:
                status, answer = await transport.post(path, headers, json.dumps(body).encode(), TIMEOUT_S)
        finally:
            await transport.close()
        self.answers.append({"case": name, "path": path, "status": status, "body": answer.decode()})
        try:
            content: dict[str, Any] = json.loads(answer)
        except ValueError:
            return {}
        return content

    async def record_keys_and_leases(self, server: EtcdServer) -> None:
        """Record what needs no authentication."""

        async def record(name: str, path: str, body: object) -> dict[str, Any]:
            return await self.record(server, name, path, body)

        await record("status", "maintenance/status", {})
        await record("put", "kv/put", put("a"))
        await record("put that returns the previous value", "kv/put", put("a", prev_kv=True))
        await record("range", "kv/range", {"key": text("a")})
        await record("range of a missing key", "kv/range", {"key": text("missing")})
        await record("delete", "kv/deleterange", {"key": text("a")})
        await record("delete of a missing key", "kv/deleterange", {"key": text("a")})
        is_there = {"key": text("a"), "target": "VERSION", "result": "GREATER", "version": "0"}
        put_a, get_a = {"request_put": put("a")}, {"request_range": {"key": text("a")}}
        await record("transaction that succeeds", "kv/txn", {"success": [put_a]})
        await record("transaction that fails", "kv/txn", {"compare": [is_there | {"result": "EQUAL"}]})
        await record("transaction that reads", "kv/txn", {"compare": [is_there], "success": [get_a]})
        await record("lease", "lease/grant", {"TTL": "60", "ID": "7"})
        await record("lease kept alive", "lease/keepalive", {"ID": "7"})
        await record("missing lease kept alive", "lease/keepalive", {"ID": "8"})
        await record("time to live of a lease", "lease/timetolive", {"ID": "7", "keys": True})
        await record("time to live of a missing lease", "lease/timetolive", {"ID": "8"})
        await record("leases", "lease/leases", {})
        await record("lease that exists", "lease/grant", {"TTL": "60", "ID": "7"})
        await record("revocation", "lease/revoke", {"ID": "7"})
        await record("revocation of a missing lease", "lease/revoke", {"ID": "8"})
        await record("put with a missing lease", "kv/put", put("a", lease="8"))
        await record("lease that lives too long", "lease/grant", {"TTL": str(10**10)})
        await record("put without a key", "kv/put", {"value": text("x")})
        await record("key twice in a transaction", "kv/txn", {"success": [put_a, put_a]})
        many = [{"request_put": put(str(number))} for number in range(129)]
        await record("too many operations", "kv/txn", {"success": many})
        await record("too large a value", "kv/put", put("a") | {"value": text("x" * 1_600_000)})
        await record("larger than a message may be", "kv/put", put("a") | {"value": text("x" * 2_200_000)})
        await record("future revision", "kv/range", {"key": text("a"), "revision": "1000"})
        await record("body that is no JSON object", "kv/put", "nonsense")
        await record("unknown path", "kv/nonsense", {})
        await record("watch", "watch", {"create_request": {"key": text("a")}})
        newest = (await record("put", "kv/put", put("a")))["header"]["revision"]
        await record("compaction", "kv/compaction", {"revision": newest})
        await record("compacted revision", "kv/range", {"key": text("a"), "revision": "1"})
        await record("compaction of what is compacted", "kv/compaction", {"revision": "1"})
        await record(
            "authentication while it is off", "auth/authenticate", {"name": "root", "password": "secret"}
        )

    async def record_authentication(self, server: EtcdServer) -> None:
        """Record what depends on who asks."""
        for path, body in (
            ("auth/user/add", {"name": "root", "password": "secret"}),
            ("auth/user/add", {"name": "reader", "password": "weak"}),
            ("auth/role/add", {"name": "root"}),
            ("auth/role/add", {"name": "reading"}),
            ("auth/role/grant", {"name": "reading", "perm": {"key": text("a")}}),
            ("auth/user/grant", {"user": "root", "role": "root"}),
            ("auth/user/grant", {"user": "reader", "role": "reading"}),
            ("auth/enable", {}),
        ):
            await self.record(server, f"{path} {body.get('name', '')}".strip(), path, body)

        async def record(name: str, path: str, body: object, token: str | None = None) -> dict[str, Any]:
            headers = dict(REQUIRE_LEADER) if token is None else REQUIRE_LEADER | {"Authorization": token}
            return await self.record(server, name, path, body, headers)

        reader = {"name": "reader", "password": "weak"}
        token = (await record("authentication", "auth/authenticate", reader))["token"]
        await record("wrong password", "auth/authenticate", {"name": "reader", "password": "wrong"})
        await record("no token", "kv/put", put("a"))
        await record("bad token", "kv/put", put("a"), "nonsense")
        await record("put without permission", "kv/put", put("a"), token)
        await record("range with permission", "kv/range", {"key": text("a")}, token)
        watch = {"create_request": {"key": text("b")}}
        await record("watch without permission", "watch", watch, token)
        await record("watch without a token", "watch", watch)
        await record("watch with a bad token", "watch", watch, "nonsense")
        root = {"name": "root", "password": "secret"}
        roots_token = (await record("authentication of root", "auth/authenticate", root))["token"]
        await record("user added", "auth/user/add", {"name": "new", "password": "x"}, roots_token)
        await record("token of before", "kv/put", put("a"), roots_token)

    async def record_loss_of_the_leader(self) -> None:
        """Record what a member says that has lost its leader."""
        with etcd_cluster(2) as (member, other):
            other.kill()
            async with asyncio.timeout(60):
                while True:
                    answer = await self.record(member, "no leader", "kv/put", put("a"))
                    if "no leader" in str(answer):
                        break
                    self.answers.pop()
            await self.record(
                member, "watch without a leader", "watch", {"create_request": {"key": text("a")}}
            )


async def main(path: Path) -> None:
    """Write the file."""
    recorder = Recorder()
    with EtcdServer() as server:
        await recorder.record_keys_and_leases(server)
        await recorder.record_authentication(server)
    await recorder.record_loss_of_the_leader()
    version = json.loads(recorder.answers[0]["body"])["version"]
    content = {"etcd": version, "source": "recorded", "answers": recorder.answers}
    await asyncio.to_thread(path.write_text, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.environ["ETCD_BINARY"] = sys.argv[2]
    asyncio.run(main(Path(sys.argv[1])))
