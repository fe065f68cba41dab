"""Exchanges on file: a recording of what went over a transport, which ``replay:`` and ``m43 sniff`` read.

JSON lines. The first names the format; each other one is a call and what came of it, or a sign of the transport. Bytes
are hexadecimal, times nanoseconds from the opening::

    {"format": "m43-exchange", "version": 1, "url": "sim:olympus-14-42", "name": "simulated olympus-14-42", ...}
    {"do": "power", "on": true, "woke": true, "t_ns": 0, "end_ns": 40011800}
    {"do": "transact", "command": "b0f20000", "data": "", "said": "a200", "start_ns": 40011800, "end_ns": 520712345}
    {"do": "frames", "t_ns": 535837095, "rate_hz": 60.0, "poll": "c1800106", "report": "all"}
    {"do": "poll", "command": "c1800106", "said": "48...", "alike": 0, "start_ns": ..., "end_ns": ...}
    {"do": "heartbeat", "t_ns": 2222863322, "alike": 60, "counters": {}}
    {"do": "stop", "t_ns": 4189529968, "end_ns": 4189529968}
    {"do": "lost", "t_ns": 4189529968, "error": "unplugged"}

A call that the transport could not do has the keys ``failed``, one of `FAILURES`, and ``error``, its text.
"""

from __future__ import annotations

import asyncio
import json
from typing import IO, TYPE_CHECKING, Any, TypeVar

from m43drivers.transport import (
    Abilities,
    Frames,
    Heartbeat,
    Outcome,
    Polled,
    Sign,
    Transport,
    TransportError,
    TransportLostError,
    TransportTimeoutError,
)
from m43proto.turns import Phase

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from m43proto.exchange import Transfer

__all__ = ["FAILURES", "FORMAT", "VERSION", "RecordingTransport", "written_data"]

FORMAT = "m43-exchange"
VERSION = 1

FAILURES: dict[str, type[TransportError] | None] = {
    "": None,
    "lost": TransportLostError,
    "timeout": TransportTimeoutError,
    "refused": TransportError,
}
"""How a call can fail: what stands in the file, and the error that it was."""

T = TypeVar("T")


def written_data(transfers: Sequence[Transfer]) -> bytes:
    """Return the data that the body writes in a transaction."""
    return b"".join(transfer.data for transfer in transfers if transfer.phase is Phase.WRITE_DATA)


class RecordingTransport(Transport):
    """Hands everything on to another transport, and writes down what came of it.

    Args:
        inner: the transport.
        path: the file; it is written line by line, so what was recorded survives whatever ends the recording.
    """

    def __init__(self, inner: Transport, path: Path) -> None:
        super().__init__(inner.url)
        self._inner = inner
        self._path = path
        self._file: IO[str] | None = None
        self._start_ns = 0
        self._poll = b""
        self._carrying: set[asyncio.Task[Any]] = set()

    def now_ns(self) -> int:
        """Return the time of the inner transport."""
        return self._inner.now_ns()

    async def open(self) -> Abilities:
        """Reach the other end, and begin the recording.

        Raises:
            TransportError: the file cannot be written, or the other end not reached.
        """
        try:
            self._file = self._path.open("w", encoding="utf-8")
        except OSError as error:
            raise TransportError(f"{self._path}: cannot record here: {error.strerror}") from None
        self._inner.tell = self._on_sign
        try:
            abilities = await self._inner.open()
        except BaseException:
            self._end()
            raise
        self._start_ns = self.now_ns()
        self._write(
            format=FORMAT,
            version=VERSION,
            url=self.url,
            name=abilities.name,
            firmware=abilities.firmware,
            boot_id=abilities.boot_id,
            longest_block=abilities.longest_block,
        )
        return abilities

    async def power(self, *, on: bool) -> bool:
        """Raise or drop SLEEP."""
        return await self._carried(self._power(on))

    async def _power(self, on: bool) -> bool:
        row = {"do": "power", "on": on, "t_ns": self._elapsed()}
        try:
            woke = await self._inner.power(on=on)
        except TransportError as error:
            self._write(**row, woke=False, end_ns=self._elapsed(), **_failure(error))
            raise
        self._write(**row, woke=woke, end_ns=self._elapsed())
        return woke

    async def transact(self, transfers: Sequence[Transfer]) -> Outcome:
        """Carry out one transaction."""
        return await self._carried(self._transact(transfers))

    async def _transact(self, transfers: Sequence[Transfer]) -> Outcome:
        row = {"do": "transact", "command": transfers[0].data.hex(), "data": written_data(transfers).hex()}
        start_ns = self.now_ns()
        try:
            outcome = await self._inner.transact(transfers)
        except TransportError as error:
            self._write(**row, **self._told(Outcome(start_ns, self.now_ns(), b"")), **_failure(error))
            raise
        self._write(**row, **self._told(outcome))
        return outcome

    async def _carried(self, call: Coroutine[Any, Any, T]) -> T:
        """Carry a call to its end, and write down what came of it, also when nobody waits for it any more."""
        task = asyncio.ensure_future(call)
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        return await asyncio.shield(task)

    async def start_frames(self, frames: Frames) -> None:
        """Begin to poll."""
        self._poll = frames.poll
        await self._inner.start_frames(frames)
        self._write(
            do="frames", t_ns=self._elapsed(), rate_hz=frames.rate_hz, poll=frames.poll.hex(), report=frames.report
        )

    async def stop_frames(self) -> None:
        """Stop polling."""
        t_ns = self._elapsed()
        await self._inner.stop_frames()
        self._write(do="stop", t_ns=t_ns, end_ns=self._elapsed())

    async def close(self) -> None:
        """End the recording, and let go of the other end."""
        await self._inner.close()
        self._end()

    def abort(self) -> None:
        """End the recording, and let go of the other end at once."""
        self._inner.abort()
        self._end()

    def _on_sign(self, sign: Sign) -> None:
        if isinstance(sign, Polled):
            self._write(do="poll", command=self._poll.hex(), alike=sign.alike, **self._told(sign.outcome))
        elif isinstance(sign, Heartbeat):
            self._write(do="heartbeat", t_ns=sign.t_ns - self._start_ns, alike=sign.alike, counters=dict(sign.counters))
        else:
            self._write(do="lost", t_ns=self._elapsed(), error=str(sign.error))
        self.tell(sign)

    def _elapsed(self) -> int:
        return self.now_ns() - self._start_ns

    def _told(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "said": outcome.said.hex(),
            "broke_off": outcome.broke_off,
            "start_ns": outcome.start_ns - self._start_ns,
            "end_ns": outcome.end_ns - self._start_ns,
        }

    def _write(self, **row: Any) -> None:
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def _end(self) -> None:
        for task in self._carrying:
            task.cancel()
        if self._file is not None:
            self._file.close()
            self._file = None


def _failure(error: TransportError) -> dict[str, str]:
    kind = next(name for name, failure in FAILURES.items() if failure is not None and isinstance(error, failure))
    return {"failed": kind, "error": str(error)}
