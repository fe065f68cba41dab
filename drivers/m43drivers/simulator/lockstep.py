"""One end of the mount in lockstep with somebody else's simulator: of instructions, or Verilator, or cocotb.

The other simulator owns the time. It tells what it drives whenever that changes, and is told what this end drives from
that moment, and when this end will act by itself if nothing changes. It never steps past that. specs/8-lockstep.md
states the line protocol.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from m43proto.errors import M43Error
from m43proto.pins import LINES, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import BinaryIO

    from m43proto.ends import PinEnd

__all__ = ["LONGEST_LINE", "Lockstep", "LockstepError", "lines_of", "serve"]

LONGEST_LINE = 1_000
"""Characters of the longest line of text that is taken."""

_TIME = re.compile(r"[0-9]{1,18}")
_ASSIGNMENT = re.compile(r"([A-Z_]+)=([01z])")
_LEVELS = {"0": 0, "1": 1, "z": None}


class LockstepError(M43Error):
    """A step that cannot be taken; nothing has changed."""


class Lockstep:
    """One end, stepped by somebody else.

    Args:
        end: the lens or the body.

    Attributes:
        now_ns: the time of the last step.
        next_ns: when the end will act by itself, or None for never.
    """

    def __init__(self, end: PinEnd) -> None:
        self._end = end
        self._own = end.drives & ~Line.DATA.mask
        self.now_ns = 0
        self.next_ns: int | None = 0

    def step(
        self, now_ns: int, lines: Mapping[Line, int | None] | None = None
    ) -> tuple[dict[Line, int | None], int | None]:
        """Let the time come to `now_ns`, from when on the other side drives lines as given.

        Args:
            now_ns: nanoseconds from the start; never earlier than before, never later than the time returned last.
            lines: levels of the lines that the other side drives, 0 or 1; None releases one. Lines that are left out
                stay as they were.

        Returns:
            the lines that this end can drive with their levels, None for released, and when it will act by itself if
            nothing changes, or None for never.

        Raises:
            LockstepError: the time goes back, or past the time at which this end was to act; or the other side drives a
                line that only this end drives.
        """
        if now_ns < self.now_ns:
            raise LockstepError(f"time {now_ns} is before {self.now_ns}; time does not go back")
        if self.next_ns is not None and now_ns > max(self.next_ns, self.now_ns):
            raise LockstepError(f"time {now_ns} is past {self.next_ns}, when this end acts; step there first")
        theirs = dict(lines or {})
        stolen = [line for line, level in theirs.items() if level is not None and line.mask & self._own]
        if stolen:
            raise LockstepError(f"{', '.join(stolen)}: only this end drives that; leave it out")
        self.now_ns = now_ns
        outputs, self.next_ns = self._end.step(now_ns, theirs)
        return outputs, self.next_ns

    @property
    def outputs(self) -> dict[Line, int | None]:
        """The lines that this end can drive, with their levels; None for released."""
        return self._end.driven

    def take_line(self, text: str) -> str:
        """Take one line of the protocol and return the answer, an error line included; see specs/8-lockstep.md."""
        try:
            now_ns, lines = _parsed(text)
            outputs, next_ns = self.step(now_ns, lines)
        except LockstepError as error:
            return f"error: {error}"
        shown = " ".join(f"{line}={'z' if level is None else level}" for line, level in outputs.items())
        return f"{now_ns} {shown} next={'never' if next_ns is None else next_ns}"


def serve(lockstep: Lockstep, lines: Iterable[str], write: Callable[[str], object]) -> None:
    """Hold a session of the line protocol, until there are no more lines.

    Args:
        lockstep: the end.
        lines: what the other side says, as from `lines_of`; empty lines are passed over.
        write: takes each answer, without a line end, and must bring it to the other side at once.
    """
    for line in lines:
        if line.strip(" \t\r\n"):
            write(lockstep.take_line(line))


def lines_of(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a stream of bytes, whatever they are: bytes beyond ASCII stay visible, as characters.

    A line that is too long is yielded as far as shows that it is; what is left of it is passed over. The end of the
    stream ends the last line.
    """
    whole = True
    while piece := stream.readline(LONGEST_LINE + 2):
        if whole:
            yield piece.decode("latin-1").rstrip("\r\n")
        whole = piece.endswith(b"\n")


def _parsed(text: str) -> tuple[int, dict[Line, int | None]]:
    if len(text) > LONGEST_LINE:
        raise LockstepError(f"{_shown(text)}: a line has at most {LONGEST_LINE} characters")
    if not text.isascii():
        raise LockstepError(f"{_shown(text)}: a line is of ASCII characters")
    time_text, *words = text.split() or [""]
    if not _TIME.fullmatch(time_text):
        raise LockstepError(f"{_shown(text)}: a line begins with the time in nanoseconds, such as 1500 CLK=0")
    lines: dict[Line, int | None] = {}
    for line, level in map(_assignment, words):
        if line in lines:
            raise LockstepError(f"{_shown(text)}: {line} stands twice; give its last level only")
        lines[line] = level
    return int(time_text), lines


def _assignment(word: str) -> tuple[Line, int | None]:
    match = _ASSIGNMENT.fullmatch(word)
    if match is None or match[1] not in LINES:
        raise LockstepError(f"{_shown(word)}: write LINE=0, LINE=1 or LINE=z; lines: {', '.join(LINES)}")
    return Line(match[1]), _LEVELS[match[2]]


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:37] + "...")
