"""One measurement of one etcd client, in a process of its own: prints a line of JSON. Run by command.py."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

VALUE = b"x" * 256
KEYS = [b"benchmark/%04d" % number for number in range(1000)]
CLIENTS = ("ours", "coalescing", "aetcd", "etcd3gw")


def main() -> None:
    """Measure what the command line says."""
    options = argparse.ArgumentParser()
    options.add_argument("client", choices=CLIENTS)
    options.add_argument("what", choices=["put", "range", "delay", "replay", "contention"])
    options.add_argument("host")
    options.add_argument("port", type=int)
    options.add_argument("--connections", type=int, default=1)
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--events", type=int, default=0)
    options.add_argument("--revision", type=int, default=0)
    chosen = options.parse_args()
    measured = measure_threads(chosen) if chosen.client == "etcd3gw" else asyncio.run(measure(chosen))
    measured["rss_mb"] = highest_rss_mb()
    sys.stdout.write(json.dumps(measured) + "\n")


def highest_rss_mb() -> float:
    """Return this process's peak of memory, as Linux tells it; getrusage's includes the parent's."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


class Counter:
    """Operations and processor time between a start and an end."""

    def __init__(self, seconds: float) -> None:
        self.count = 0
        self.started = time.perf_counter()
        self.processor_started = time.process_time()
        self.end = self.started + seconds

    def result(self) -> dict[str, float]:
        """Return the operations a second, and the processor time of a thousand."""
        elapsed_s = time.perf_counter() - self.started
        processor_s = time.process_time() - self.processor_started
        return {"per_s": self.count / elapsed_s, "cpu_s_per_1000": processor_s / self.count * 1000}


async def measure(chosen: argparse.Namespace) -> dict[str, float]:
    """Measure an asynchronous client."""
    if chosen.client == "aetcd":
        import aetcd

        async with aetcd.Client(host=chosen.host, port=chosen.port) as client:
            return await WHAT[chosen.what](chosen, client, client.put, client.get)
    import tor_async_etcd

    url = f"http://{chosen.host}:{chosen.port}"
    async with tor_async_etcd.Client(url, coalesce=chosen.client == "coalescing") as client:
        return await WHAT[chosen.what](chosen, client, client.set, client.get)


Put = Callable[[bytes, bytes], Awaitable[Any]]
Get = Callable[[bytes], Awaitable[Any]]


async def throughput(chosen: argparse.Namespace, client: Any, put: Put, get: Get) -> dict[str, float]:
    """Put or get as fast as the connections allow."""

    async def work(number: int) -> None:
        while time.perf_counter() < counter.end:
            key = KEYS[(number * 7919 + counter.count) % len(KEYS)]
            if chosen.what == "put":
                await put(key, VALUE)
            else:
                await get(key)
            counter.count += 1

    await asyncio.gather(*[put(key, VALUE) for key in KEYS[:64]])  # connections are made
    counter = Counter(chosen.seconds)
    await asyncio.gather(*[work(number) for number in range(chosen.connections)])
    return counter.result()


async def delay(chosen: argparse.Namespace, client: Any, put: Put, get: Get) -> dict[str, float]:
    """Measure from the sending of a put to the arrival of its event, 300 puts a second."""
    delays_ms: list[float] = []
    sent: dict[bytes, float] = {}
    watch = client.watch(b"delay")
    watch = await watch if chosen.client == "aetcd" else await watch.__aenter__()
    reading = asyncio.create_task(note_delays(chosen.client, watch, sent, delays_ms))
    for number in range(int(chosen.seconds * 300)):
        value = b"%d" % number
        sent[value] = time.perf_counter()
        await put(b"delay", value)
        await asyncio.sleep(1 / 300)
    await asyncio.sleep(0.2)
    reading.cancel()
    await asyncio.wait([reading])
    cuts = statistics.quantiles(delays_ms, n=100)
    return {"count": len(delays_ms), "p50_ms": cuts[49], "p99_ms": cuts[98]}


async def note_delays(client: str, watch: Any, sent: dict[bytes, float], delays_ms: list[float]) -> None:
    """Add how long each event took."""
    async for change in watch:
        now = time.perf_counter()
        events = [change] if client == "aetcd" else change.events
        delays_ms.extend((now - sent[event.kv.value]) * 1000 for event in events)


async def replay(chosen: argparse.Namespace, client: Any, put: Put, get: Get) -> dict[str, float]:
    """Watch events that have happened, as fast as they come."""
    if chosen.client == "aetcd":
        watch = await client.watch_prefix(b"replay/", start_revision=chosen.revision)
    else:
        import tor_async_etcd

        keys = tor_async_etcd.KeySet(b"replay/", prefix=True)
        watch = await client.watch(keys, start_revision=chosen.revision).__aenter__()
    counter = Counter(0)
    async for change in watch:
        counter.count += 1 if chosen.client == "aetcd" else len(change.events)
        if counter.count >= chosen.events:
            break
    return counter.result()


async def contention(chosen: argparse.Namespace, client: Any, put: Put, get: Get) -> dict[str, float]:
    """Let many clients increment one number in transactions; the number tells how many were not lost."""
    from tor_async_etcd import Client, Database, DbTransaction, pmap

    numbers = pmap.MapStringOid(1)
    in_time: list[bool] = []

    async def increment(txn: DbTransaction) -> None:
        numbers[txn, "n"] = (await numbers[txn, "n"] or 0) + 1

    async def work() -> None:
        async with Client(f"http://{chosen.host}:{chosen.port}") as own:
            while time.perf_counter() < counter.end:
                await Database(own, b"contention").run(increment)
                counter.count += 1
                in_time.append(time.perf_counter() < counter.end)

    async with Database(client, b"contention").begin() as txn:
        before = await numbers[txn, "n"] or 0
    counter = Counter(chosen.seconds)
    await asyncio.gather(*[work() for _ in range(chosen.connections)])
    measured = counter.result() | {"per_s": sum(in_time) / chosen.seconds}
    async with Database(client, b"contention").begin() as txn:
        measured["lost"] = counter.count - ((await numbers[txn, "n"] or 0) - before)
    return measured


def measure_threads(chosen: argparse.Namespace) -> dict[str, float]:
    """Measure a blocking client, in as many threads as there are connections."""
    import etcd3gw

    def work(number: int) -> None:
        client = etcd3gw.client(host=chosen.host, port=chosen.port, api_path="/v3/")
        done = 0
        while time.perf_counter() < counter.end:
            key = KEYS[(number * 7919 + done) % len(KEYS)].decode()
            if chosen.what == "put":
                client.put(key, VALUE.decode())
            else:
                client.get(key)
            done += 1
        counts.append(done)

    counts: list[int] = []
    counter = Counter(chosen.seconds)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(chosen.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counter.count = sum(counts)
    return counter.result()


WHAT = {
    "put": throughput,
    "range": throughput,
    "delay": delay,
    "replay": replay,
    "contention": contention,
}

if __name__ == "__main__":
    main()
