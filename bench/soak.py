"""The gateway's memory under mixed load: good and bad records, one and many, other protocols, callers who hang up.

Prints the resident memory every so often, with what was answered since.

example: python -m bench.soak --minutes 10 --callers 16
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from bench.cost import resident_mib
from bench.gateway import serving
from bench.load import tell
from bench.servers import SERVERS
from heartstream.demo.patients import FLAWS, real_patients
from heartstream.terminal.exit_codes import errors_to_exit_codes
from training.pipeline import TrainingRequest, train

_LINES: Final = {"Content-Type": "application/x-ndjson"}
_JSON: Final = {"Content-Type": "application/json"}
_GATEWAY: Final = next(server for server in SERVERS if server.name == "heartstream")


class Caller:
    """Asks the gateway for one thing after another, drawn at random."""

    def __init__(self, session: aiohttp.ClientSession, url: str, answers: Counter[str], seed: int) -> None:
        self._session, self._url, self._answers = session, url, answers
        self._rng = random.Random(seed)  # noqa: S311  # for variety
        self._patients = real_patients()
        self._bodies = [json.dumps(record).encode() for record in self._patients]
        self._bad = [flaw(self._patients[0]) or b"" for flaw in FLAWS.values()]

    async def call_until(self, end: float) -> None:
        """Go on until the monotonic clock says `end`."""
        deeds: Sequence[Callable[[], Awaitable[None]]] = (
            *[self._one] * 20,
            *[self._bad_one] * 5,
            self._array,
            self._lines,
            self._frame,
            self._hang_up,
            self._read,
        )
        while time.monotonic() < end:
            try:
                await self._rng.choice(deeds)()
            except aiohttp.ClientError as error:
                self._answers[type(error).__name__] += 1

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        async with self._session.post(self._url + path, data=body, headers=headers) as response:
            await response.read()
            self._answers[f"{path} {response.status}"] += 1

    async def _one(self) -> None:
        await self._post("/predict", self._rng.choice(self._bodies), _JSON)

    async def _bad_one(self) -> None:
        await self._post("/predict", self._rng.choice([*self._bad, self._rng.randbytes(200), b"x" * 90_000]), _JSON)

    async def _array(self) -> None:
        await self._post("/predict/batch", b"[" + b",".join(self._rng.choices(self._bodies, k=200)) + b"]", _JSON)

    async def _lines(self) -> None:
        chosen = self._rng.choices([*self._bodies, *self._bad, b"y" * 80_000], k=1000)
        await self._post("/predict/batch", b"\n".join(chosen), _LINES)

    async def _frame(self) -> None:
        rows = self._rng.choices(self._patients, k=50)
        await self._post("/invocations", json.dumps({"instances": rows}).encode(), _JSON)

    async def _hang_up(self) -> None:
        """Send a part of a request, and go."""
        host, port = self._url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(self._rng.choice([b"GE", b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"]))
        await writer.drain()
        writer.close()
        self._answers["hung up"] += 1

    async def _read(self) -> None:
        path = self._rng.choice(["/health", "/metrics", "/model/card", "/openapi.json", f"/{self._rng.random()}"])
        async with self._session.get(self._url + path) as response:
            await response.read()
            self._answers[f"GET {response.status}"] += 1


async def soak(url: str, pid: int, minutes: float, callers: int, every: float) -> list[float]:
    """Call for so long; returns the resident memory in MiB, every `every` seconds."""
    answers: Counter[str] = Counter()
    begin = time.monotonic()
    end = begin + minutes * 60
    sizes = []
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for seed in range(callers):
            tasks.create_task(Caller(session, url, answers, seed).call_until(end))
        while time.monotonic() < end:
            await asyncio.sleep(min(every, max(0.0, end - time.monotonic())))
            sizes.append(resident_mib(pid))
            told = ", ".join(f"{name}: {count:,}" for name, count in answers.most_common())
            tell(f"{time.monotonic() - begin:6.0f} s  {sizes[-1]:6.1f} MiB  {told}")
            answers.clear()
    return sizes


@errors_to_exit_codes()
def main() -> None:
    """Start a gateway, call it, and print what it took."""
    purpose, _, example = (__doc__ or "").rpartition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak",
        description=purpose,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heartstream-bench-") as scratch:
        folder = Path(scratch)
        train(TrainingRequest(output=folder / "model", model_version="bench", quick=True))
        with serving(_GATEWAY, folder / "model", folder) as (port, pid):
            sizes = asyncio.run(soak(f"http://127.0.0.1:{port}", pid, asked.minutes, asked.callers, asked.every))
    tell(f"{sizes[0]:.1f} MiB after {asked.every:.0f} s, {sizes[-1]:.1f} MiB at the end, {max(sizes):.1f} MiB at most")


if __name__ == "__main__":
    main()
