"""Analysers at the other end of a pseudo terminal, written from the facts of their protocols."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import select
import threading
import tty
from typing import TYPE_CHECKING

from m43drivers.bridge.protocol import Decoder, Frame, encode
from tests.analyser.encoders import pico_narrow, pico_wide, sump_buffer

if TYPE_CHECKING:
    from types import TracebackType

    from m43drivers.bridge.protocol import LinkMessage


class Model:
    """What is at the other end."""

    def take(self, data: bytes) -> bytes | None:
        """Answer what the host sent; None to be unplugged."""
        raise NotImplementedError

    def more(self) -> bytes | None:
        """Return what comes unasked; None to be unplugged."""
        return b""


class Plugged:
    """A model behind a serial port, which is at `path`."""

    def __init__(self, model: Model) -> None:
        self._master, slave = pty.openpty()
        self.path = os.ttyname(slave)
        tty.setraw(slave)
        self._slave = slave
        self._model = model
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ending.is_set():
                readable, _, _ = select.select([self._master], [], [], 0.01)
                answer = self._model.take(os.read(self._master, 4096)) if readable else b""
                more = None if answer is None else self._model.more()
                if answer is None or more is None:
                    break
                self._send(answer + more)
        for descriptor in (self._master, self._slave):
            os.close(descriptor)

    def _send(self, data: bytes) -> None:
        while data and not self._ending.is_set():
            _, writable, _ = select.select([], [self._master], [], 0.05)
            if writable:
                data = data[os.write(self._master, data[:1024]) :]


class Sump(Model):
    """A SUMP analyser with a small memory.

    Attributes:
        buffers: the samples of each buffer that it sent, in the order of time.
    """

    MEMORY = 64

    def __init__(
        self,
        *,
        identity: bytes = b"1ALS",
        before: bytes = b"",
        deaf_resets: int = 0,
        cut: dict[int, int] | None = None,
        silent_from: int | None = None,
        unplug_at: int | None = None,
    ) -> None:
        self.identity = identity
        self.before = before
        self.deaf_resets = deaf_resets
        self.cut = cut or {}
        self.silent_from = silent_from
        self.unplug_at = unplug_at
        self.buffers: list[list[int]] = []
        self.commands: dict[int, int] = {}
        self.arms = 0
        self._waiting = b""
        self._identifies = 0
        self._random = random.Random(8)

    @property
    def groups(self) -> int:
        return 4 - (self.commands[0x82] >> 2 & 0xF).bit_count()

    @property
    def entries(self) -> int:
        return (self.commands[0x81] & 0xFFFF) * 4 + 4

    def take(self, data: bytes) -> bytes | None:
        self._waiting += data
        answer = b""
        while self._waiting and (self._waiting[0] < 0x80 or len(self._waiting) >= 5):
            if self._waiting[0] >= 0x80:
                self.commands[self._waiting[0]] = int.from_bytes(self._waiting[1:5], "little")
                self._waiting = self._waiting[5:]
                continue
            more = self._short(self._waiting[0])
            if more is None:
                return None
            answer += more
            self._waiting = self._waiting[1:]
        return answer

    def _short(self, command: int) -> bytes | None:
        if command == 0x02:
            self._identifies += 1
            return self.before + (self.identity if self._identifies > self.deaf_resets else b"")
        if command == 0x04:
            return b"\x01model\0\x21" + self.MEMORY.to_bytes(4, "big") + b"\x40\x08\x00"
        return self._armed() if command == 0x01 else b""

    def _armed(self) -> bytes | None:
        if 0x81 not in self.commands:
            return b""
        number, self.arms = self.arms, self.arms + 1
        if number == self.unplug_at:
            return None
        if self.silent_from is not None and number >= self.silent_from:
            return b""
        rle = bool(self.commands[0x82] & 0x100)
        runs = self.entries // 2 if rle else self.entries
        top = (1 << 8 * self.groups - rle) - 1
        samples: list[int] = []
        last = -1
        for _ in range(runs):
            value = self._random.choice([one for one in (0, 1, 2, top) if one != last])
            samples += [value] * (self._random.randint(2, 128) if rle else 1)
            last = value
        self.buffers.append(samples)
        sent = sump_buffer(samples, self.groups, rle=rle)
        assert len(sent) == self.entries * self.groups
        return sent[: self.cut.get(number, len(sent))]


class Pico(Model):
    """A board with sigrok-pico.

    Attributes:
        parts: what it sends after each start: lists of samples, or bytes as they are.
        starts: how often it was started.
    """

    def __init__(
        self,
        *parts: list[list[int] | bytes],
        identity: bytes = b"SRPICO,A031D21,02",
        before: bytes = b"",
        refuses: bytes = b"",
        miscount: int = 0,
        unplug_after: int | None = None,
    ) -> None:
        self.parts = list(parts)
        self.identity = identity
        self.before = before
        self.refuses = refuses
        self.miscount = miscount
        self.unplug_after = unplug_after
        self.starts = 0
        self.orders: list[bytes] = []
        self._line = b""
        self._on: set[int] = set()
        self._due: list[list[int] | bytes] = []
        self._sent = 0
        self._sending = False

    def take(self, data: bytes) -> bytes:
        answer = b""
        for at in range(len(data)):
            answer += self._character(data[at : at + 1])
        return answer

    def more(self) -> bytes | None:
        if not self._due:
            return None if self._sending and self.unplug_after == self.starts else b""
        part = self._due.pop(0)
        sent = part if isinstance(part, bytes) else self._encoded(part)
        self._sent += len(sent)
        return sent

    def _encoded(self, samples: list[int]) -> bytes:
        return pico_narrow(samples) if len(self._on) <= 4 else pico_wide(samples, len(self._on))

    def _character(self, one: bytes) -> bytes:
        if one == b"*":
            self._due, self._sending = [], False
            return b""
        if one == b"+":
            self._due, was = [], self._sending
            self._sending = False
            return b"$%d+" % (self._sent + self.miscount) if was else b""
        if one != b"\n":
            self._line += one
            return b""
        line, self._line = self._line, b""
        return self._order(line)

    def _order(self, line: bytes) -> bytes:
        self.orders.append(line)
        if line == b"i":
            return self.before + self.identity
        if line == b"C":
            self._due = list(self.parts[self.starts]) if self.starts < len(self.parts) else []
            self.starts += 1
            self._sent, self._sending = 0, True
            return b""
        if self.refuses and line.startswith(self.refuses):
            return b""
        if line[:1] == b"D":
            (self._on.add if line[1:2] == b"1" else self._on.discard)(int(line[2:]))
        return b"*"


class Answering(Model):
    """A bridge that answers by a table; what is not in it stays unanswered."""

    def __init__(self, answers: dict[type[LinkMessage], LinkMessage | list[LinkMessage]], noise: bytes = b"") -> None:
        self.answers = answers
        self.noise = noise
        self.asked: list[LinkMessage] = []
        self._decoder = Decoder()

    def take(self, data: bytes) -> bytes | None:
        out = self.noise
        for frame in self._decoder.feed(data):
            if not isinstance(frame, Frame):
                continue
            self.asked.append(frame.message)
            answer = self.answers.get(type(frame.message), [])
            for message in answer if isinstance(answer, list) else [answer]:
                out += encode(frame.seq if message.kind & 0x80 else 0, message)
        return out
