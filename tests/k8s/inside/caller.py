"""Calls a gateway continuously, in a pod: `python caller.py RECORD_FILE URL`. No request is retried.

Runs until /tmp/stop exists, and prints one line of JSON: how many requests succeeded, and how the others ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import aiohttp

STOP = Path("/tmp/stop")  # noqa: S108  # the pod's own
CALLERS = 8
PAUSE_SECONDS = 0.02


def stopped() -> bool:
    """Whether to stop."""
    return STOP.exists()


async def ask(session: aiohttp.ClientSession, url: str, body: bytes) -> str:
    """Send one request; return the status, or the kind of error."""
    try:
        async with session.post(url, data=body) as response:
            await response.read()
            return str(response.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__


async def call(session: aiohttp.ClientSession, url: str, body: bytes, ends: Counter[str]) -> None:
    """Send requests until stopped."""
    while not stopped():
        ends[await ask(session, url, body)] += 1
        await asyncio.sleep(PAUSE_SECONDS)


async def main(body: bytes, url: str) -> None:
    """Run some concurrent callers, each with a connection of its own."""
    ends: Counter[str] = Counter()
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        tasks = [asyncio.create_task(call(session, url, body, ends)) for _ in range(CALLERS)]
        while not stopped():
            print(json.dumps(ends), flush=True)
            await asyncio.sleep(1)
        await asyncio.gather(*tasks)
    print(json.dumps(ends), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes(), sys.argv[2]))
