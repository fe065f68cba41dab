"""How long each end takes for each step of the handshake: named delays with evidence (specs/2-link.md §2.11).

Times are integer nanoseconds. The defaults are those of the two public programs as they were measured in simulation
(SIM); nothing here was measured on a camera or a lens.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, TypeVar

from m43proto.evidence import Evidence
from m43proto.records import record
from m43proto.session import TIMEOUTS, Wait

__all__ = [
    "BODY_TIMINGS",
    "JITTERY",
    "LENS_TIMINGS",
    "BodyTiming",
    "Delay",
    "LensTiming",
    "body_timing",
    "delays_of",
    "jittery_body",
    "jittery_lens",
    "lens_timing",
    "replaced",
    "scaled",
]

_METADATA_KEY = "m43"


@record(frozen=True, slots=True)
class Delay:
    """What a delay is.

    Attributes:
        doc: from where to where it runs.
        evidence: how sure its default is.
        source: citation.
    """

    doc: str
    evidence: Evidence
    source: str


def _delay(default_ns: int, doc: str, source: str = "SIM", evidence: Evidence = Evidence.INFERRED) -> Any:
    return dataclasses.field(default=default_ns, metadata={_METADATA_KEY: Delay(doc, evidence, source)})


# fmt: off


@record(frozen=True, slots=True, kw_only=True)
class BodyTiming:
    """Delays of a body, in nanoseconds; the defaults are the medians of the public body program.

    Four are not, because the public lens program needs more time than that body gives, so the two cannot meet (SIM):
    `ready_ns`, `take_over_ns` and `byte_ns` keep LENS_ACK high for 10 us before CLK, the last behind an acknowledge that
    takes 22.3 us when a timer interrupt comes twice; `complete_ns` keeps BODY_ACK high for 8 us behind LENS_ACK.

    Attributes:
        steady: whether each delay is the same at every use.
        watches_acks: whether the body waits for each acknowledge; the public one pauses blindly instead.
    """

    steady: ClassVar[bool] = True
    watches_acks: bool    = False

    attention_ns: int     = _delay(10_000_000, "SLEEP rises to BODY_ACK rises", "BELL, SIM")
    wake_seen_ns: int     = _delay(7_300, "LENS_ACK falls behind the wake pulse to BODY_ACK falls")
    first_command_ns: int = _delay(20_000_000, "BODY_ACK falls behind the wake pulse to the first command", "BELL, SIM")
    ready_ns: int         = _delay(12_000, "LENS_ACK rises to CLK falls, before a byte of the body", "PROJECT, SIM", Evidence.PROVISIONAL)
    setup_ns: int         = _delay(280, "CLK falls to DATA changes")
    write_low_ns: int     = _delay(440, "CLK low, when the body speaks")
    write_high_ns: int    = _delay(375, "CLK high, when the body speaks")
    read_low_ns: int      = _delay(440, "CLK low, when the lens speaks")
    read_high_ns: int     = _delay(500, "CLK high, when the lens speaks")
    byte_ns: int          = _delay(32_500, "last CLK rise of a byte to the first CLK fall of the next, when the body does not watch the acknowledge", "PROJECT, SIM", Evidence.PROVISIONAL)
    hand_over_ns: int     = _delay(27_750, "last CLK rise of a turn to BODY_ACK falls")
    take_over_ns: int     = _delay(12_000, "LENS_ACK rises to BODY_ACK rises, before a byte of the lens", "PROJECT, SIM", Evidence.PROVISIONAL)
    read_ns: int          = _delay(1_375, "BODY_ACK rises to CLK falls, before a byte of the lens")
    done_ns: int          = _delay(7_310, "last CLK rise of a byte of the lens to BODY_ACK falls")
    block_ns: int         = _delay(250_000, "command sum taken to BODY_ACK rises for a block", "BELL")
    complete_ns: int      = _delay(12_000, "command sum taken to BODY_ACK rises for a completion; LENS_ACK falls to BODY_ACK falls", "PROJECT, SIM", Evidence.PROVISIONAL)
    answer_limit_ns: int  = _delay(TIMEOUTS[Wait.ANSWER].limit_ns, "how long the body waits for the lens", "PROJECT", Evidence.PROVISIONAL)
    busy_limit_ns: int    = _delay(TIMEOUTS[Wait.BUSY].limit_ns, "how long the body waits for a busy lens", "PROJECT", Evidence.PROVISIONAL)


@record(frozen=True, slots=True, kw_only=True)
class LensTiming:
    """Delays of a lens, in nanoseconds; the defaults are the medians of the public lens program.

    One is not: the body program needs LENS_ACK to fall within 4.1 us of BODY_ACK, and the lens program takes 4.63 us, so
    the two cannot meet (SIM). `release_ns` keeps what the body program needs.

    Attributes:
        steady: whether each delay is the same at every use.
    """

    steady: ClassVar[bool] = True

    wake_ns: int       = _delay(4_500, "BODY_ACK rises behind SLEEP to LENS_ACK rises for the wake pulse")
    wake_width_ns: int = _delay(10_000_000, "width of the wake pulse", "BELL, SIM")
    answer_ns: int     = _delay(4_560, "BODY_ACK rises to LENS_ACK rises: ready for a byte")
    ack_ns: int        = _delay(5_060, "last CLK rise of a byte to LENS_ACK falls")
    ack_width_ns: int  = _delay(4_560, "LENS_ACK low for the acknowledge")
    sum_ns: int        = _delay(4_500, "BODY_ACK falls to LENS_ACK rises: the sum is ready")
    data_ns: int       = _delay(250, "CLK falls to DATA changes", "PROJECT", Evidence.PROVISIONAL)
    release_ns: int    = _delay(3_500, "BODY_ACK falls to LENS_ACK falls", "PROJECT, SIM", Evidence.PROVISIONAL)
    reply_ns: int      = _delay(18_000, "LENS_ACK falls to LENS_ACK rises: the next byte of a block is ready")


# fmt: on

_Timing = TypeVar("_Timing", BodyTiming, LensTiming)


def delays_of(timing: type[BodyTiming] | type[LensTiming]) -> dict[str, Delay]:
    """Return what each delay of a kind of timing is, by its name."""
    return {field.name: field.metadata[_METADATA_KEY] for field in dataclasses.fields(timing) if field.metadata}


def scaled(timing: _Timing, factor: float) -> _Timing:
    """Return the same timing, slower by a factor; the limits of the body's patience stay."""
    names = [name for name in delays_of(type(timing)) if not name.endswith("_limit_ns")]
    return dataclasses.replace(timing, **{name: max(1, round(getattr(timing, name) * factor)) for name in names})


BODY_TIMINGS: dict[str, BodyTiming] = {
    "bell_body": BodyTiming(),
    "patient": BodyTiming(watches_acks=True),
    "fast": dataclasses.replace(
        scaled(BodyTiming(watches_acks=True, block_ns=2_000), 0.2),
        setup_ns=100,
        write_low_ns=400,
        write_high_ns=350,
        read_low_ns=400,
        read_high_ns=400,
    ),
    "slow": scaled(BodyTiming(watches_acks=True), 4),
}
"""Named timings of a body.

``patient`` has the times of ``bell_body``, but waits for each acknowledge and then `BodyTiming.ready_ns`: the public lens
program needs that between the bytes of a command, too (SIM). ``fast`` and ``slow`` are this project's own, and watch the
acknowledges.
"""

LENS_TIMINGS: dict[str, LensTiming] = {
    "bell_lens": LensTiming(),
    "fast": scaled(LensTiming(data_ns=100), 0.2),
    "slow": dataclasses.replace(scaled(LensTiming(), 4), data_ns=250),
}
"""Named timings of a lens; ``fast`` and ``slow`` are this project's own."""


# Timings that vary


class _Draws:
    """Fractions that look random and that a seed fixes for ever: Marsaglia's xorshift with 64 bits."""

    def __init__(self, seed: int) -> None:
        self._state = (seed * 0x9E3779B97F4A7C15 + 0x1234567) % 2**64 or 1

    def fraction(self) -> float:
        """Return a number from 0 to less than 1."""
        state = self._state
        state ^= state << 13 & 0xFFFF_FFFF_FFFF_FFFF
        state ^= state >> 7
        state ^= state << 17 & 0xFFFF_FFFF_FFFF_FFFF
        self._state = state
        return (state >> 11) / 2**53


JITTER = 0.1
"""By which fraction a jittery delay is longer, at most (provisional)."""

INTERRUPT_RATE = 1 / 130
"""How often a jittery delay is stretched by an interrupt: 72 of 9,782 bytes in the simulation of the public body (SIM)."""

INTERRUPT_NS = 6_500
"""How long that stretches it at most: a CLK phase of 0.4 us became one of 6.9 us there (SIM)."""

_OF_HARDWARE = {"setup_ns", "data_ns"}
"""Delays that no interrupt stretches: a shift register moves DATA."""


def _jittered(name: str, value_ns: int, draws: _Draws) -> int:
    longer_ns = value_ns * JITTER * draws.fraction()
    if name not in _OF_HARDWARE and draws.fraction() < INTERRUPT_RATE:
        longer_ns += INTERRUPT_NS * draws.fraction()
    return value_ns + round(longer_ns)


def _varies(name: str) -> bool:
    return name.endswith("_ns") and not name.endswith("_limit_ns")


class _JitteryBody(BodyTiming):
    steady: ClassVar[bool] = False
    _draws: _Draws

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return _jittered(name, value, self._draws) if _varies(name) else value


class _JitteryLens(LensTiming):
    steady: ClassVar[bool] = False
    _draws: _Draws

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return _jittered(name, value, self._draws) if _varies(name) else value


def jittery_body(seed: int) -> BodyTiming:
    """Return the timing of a body that watches the acknowledges, each delay a little longer at every use."""
    timing = _JitteryBody(watches_acks=True)
    object.__setattr__(timing, "_draws", _Draws(seed))
    return timing


def jittery_lens(seed: int) -> LensTiming:
    """Return the timing of a lens, each delay a little longer at every use."""
    timing = _JitteryLens()
    object.__setattr__(timing, "_draws", _Draws(seed))
    return timing


def replaced(timing: _Timing, **changes: int) -> _Timing:
    """Return the same timing with some delays changed; a jittery one goes on with the same draws."""
    held = {field.name: object.__getattribute__(timing, field.name) for field in dataclasses.fields(timing)}
    made = type(timing)(**(held | changes))
    if not timing.steady:
        object.__setattr__(made, "_draws", object.__getattribute__(timing, "_draws"))
    return made


JITTERY = "jittery"
"""The name of the timings that a seed decides."""


def body_timing(name: str, seed: int = 0) -> BodyTiming:
    """Return a timing of `BODY_TIMINGS` by its name, or the jittery one of a seed; KeyError for another name."""
    return jittery_body(seed) if name == JITTERY else BODY_TIMINGS[name]


def lens_timing(name: str, seed: int = 0) -> LensTiming:
    """Return a timing of `LENS_TIMINGS` by its name, or the jittery one of a seed; KeyError for another name."""
    return jittery_lens(seed) if name == JITTERY else LENS_TIMINGS[name]
