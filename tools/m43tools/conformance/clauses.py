"""The protocol as numbered requirements: the table `CLAUSES`.

The protocol is reverse engineered, so a clause says how binding it is taken (`Level`), how sure it is and where it
comes from. An id is ``C`` for what binds the lens or ``B`` for what binds the body, the part of the specification that
it belongs to, and a running number; ids are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from m43proto.evidence import Evidence
from m43tools.conformance.model import ClauseInfo

__all__ = ["CLAUSES", "SPEC_VERSION", "Clause", "Level", "clause_info"]

SPEC_VERSION = "2"
"""Version of this table; it grows when a clause changes its meaning or its level."""


class Level(StrEnum):
    """How binding a clause is."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    OBSERVED = "OBSERVED"

    @property
    def meaning(self) -> str:
        """One sentence for the reader of the specification."""
        return _MEANINGS[self]


_MEANINGS = {
    Level.MUST: "Without it the two ends cannot understand each other, by all that is known. A breach is FAIL.",
    Level.SHOULD: "One of the few ends that are known needs it, or this project advises it. A breach is WARN.",
    Level.OBSERVED: "What the few ends that are known did; others may differ. A breach is WARN.",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement.

    Attributes:
        id: its stable id.
        section: the section of ``specs/`` behind it.
        level: how binding it is.
        evidence: how sure it is.
        source: citation.
        text: one sentence.
        uncased: why no case judges it; empty where one does.
    """

    id: str
    section: str
    level: Level
    evidence: Evidence
    source: str
    text: str
    uncased: str = ""

    @property
    def role(self) -> str:
        """Whom it binds, ``"lens"`` or ``"body"``."""
        return "body" if self.id.startswith("B") else "lens"


def clause_info(clause: Clause) -> ClauseInfo:
    """Return a clause as a report shows it."""
    return ClauseInfo(clause.id, clause.section, str(clause.level), str(clause.evidence), clause.source, clause.text)


MUST, SHOULD, OBSERVED = Level


def _row(
    identity: str, section: str, level: Level, evidence: Evidence, source: str, text: str, uncased: str = ""
) -> Clause:
    return Clause(identity, section, level, evidence, source, text, uncased)


# fmt: off
_ROWS = (
    _row("C1.2-1", "1.2", SHOULD, Evidence.CONFIRMED, "BELL", "LENS_ACK is low within 1 ms of the fall of SLEEP, and stays low while SLEEP is low."),
    _row("C1.2-2", "1.2", MUST, Evidence.CONFIRMED, "BELL", "The lens drives neither CLK, BODY_ACK, SLEEP, FOCUS nor SHUTTER.", "A recording of levels does not tell who drives a line; a bench with current probes could."),
    _row("C2.1-1", "2.1", MUST, Evidence.CONFIRMED, "BELL", "While the lens speaks, DATA changes only between the fall of CLK and its rise."),
    _row("C2.1-2", "2.1", SHOULD, Evidence.INFERRED, "BELL, SIM", "While the lens speaks, DATA is stable for 50 ns or more before CLK rises."),
    _row("C2.1-3", "2.1", MUST, Evidence.OBSERVED, "BELL, BLOG", "A lens works with a clock of about 500 kHz."),
    _row("C2.1-4", "2.13", MUST, Evidence.INFERRED, "SIM", "A lens makes no demand on the clock's regularity: a phase of 28 us inside a byte does no harm."),
    _row("C2.1-5", "2.1", MUST, Evidence.CONFIRMED, "BELL, BLOG", "Bytes have eight bits, the least significant first.", "A byte in another order gives wrong sums and lengths, which C3.2-1 and C3.4-1 judge; bits alone do not tell their order."),
    _row("C2.2-1", "2.2", MUST, Evidence.CONFIRMED, "BELL", "The lens keeps off DATA while the body speaks."),
    _row("C2.2-2", "2.2", SHOULD, Evidence.INFERRED, "BELL", "The lens waits for a body that takes 5 ms for a step of the handshake."),
    _row("C2.3-1", "2.3", MUST, Evidence.CONFIRMED, "BELL", "The lens answers the attention of the body by raising LENS_ACK."),
    _row("C2.3-2", "2.3", SHOULD, Evidence.INFERRED, "SIM", "LENS_ACK rises within 1 ms of BODY_ACK at an attention."),
    _row("C2.3-3", "2.3", MUST, Evidence.CONFIRMED, "BELL", "The lens acknowledges each byte of the body by dropping LENS_ACK."),
    _row("C2.3-4", "2.3", MUST, Evidence.INFERRED, "SIM", "An acknowledge keeps LENS_ACK low for 0.8 us or more, a period of the fastest clock that is known."),
    _row("C2.3-5", "2.3", SHOULD, Evidence.INFERRED, "SIM", "An acknowledge keeps LENS_ACK low for 4 us or more, for bodies that look at it in a loop."),
    _row("C2.3-6", "2.12", SHOULD, Evidence.INFERRED, "SIM", "An acknowledge is over within 14.5 us of the last clock of its byte."),
    _row("C2.3-7", "2.3", MUST, Evidence.CONFIRMED, "BELL", "LENS_ACK falls only behind the eighth clock of a byte of the body."),
    _row("C2.3-8", "2.3", MUST, Evidence.CONFIRMED, "BELL", "Behind the last byte of a turn of the body LENS_ACK stays low until BODY_ACK has fallen."),
    _row("C2.3-9", "2.12", SHOULD, Evidence.INFERRED, "SIM", "Behind a turn of the body LENS_ACK rises no sooner than 1.1 us behind the fall of BODY_ACK."),
    _row("C2.3-10", "2.3", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A byte of the lens is ready within 1 ms of the fall of BODY_ACK, or of LENS_ACK behind the byte before."),
    _row("C2.3-11", "2.3", MUST, Evidence.CONFIRMED, "BELL", "A lens works with a body that does not watch the acknowledges but pauses 32.5 us behind each byte."),
    _row("C2.4-1", "2.4", MUST, Evidence.CONFIRMED, "BELL", "In a byte of the lens LENS_ACK stays high until BODY_ACK falls."),
    _row("C2.4-2", "2.12", SHOULD, Evidence.INFERRED, "SIM", "Behind a byte of the lens LENS_ACK falls within 4.1 us of BODY_ACK."),
    _row("C2.4-3", "2.12", SHOULD, Evidence.INFERRED, "SIM", "LENS_ACK is low for 1.0 us or more before the next byte of the lens."),
    _row("C2.4-4", "2.13", SHOULD, Evidence.INFERRED, "SIM", "LENS_ACK is low for 12 us or more before the next byte of the lens, for bodies that look at it in a loop."),
    _row("C2.5-1", "2.5", MUST, Evidence.CONFIRMED, "BELL", "In a completion LENS_ACK rises, stays high while the lens works, and falls before the status byte."),
    _row("C2.6-1", "2.6", SHOULD, Evidence.INFERRED, "BELL", "A lens takes a block that begins at once behind the sum of its command."),
    _row("C2.6-2", "2.6", MUST, Evidence.CONFIRMED, "BELL", "A lens takes a block that begins 250 us behind the sum of its command."),
    _row("C2.6-3", "2.6", SHOULD, Evidence.INFERRED, "BELL", "A lens takes a block that begins 5 ms behind the sum of its command."),
    _row("C2.7-1", "2.7", MUST, Evidence.OBSERVED, "BELL@ad79dd2", "A lens goes on behind a clock hold of 1 ms that follows SelectLinkMode."),
    _row("C2.7-2", "2.7", MUST, Evidence.CONFIRMED, "BELL@26929bd", "A lens goes on without a clock hold."),
    _row("C2.7-3", "2.7", SHOULD, Evidence.INFERRED, "BELL", "Clocks while BODY_ACK is low belong to no byte of the lens."),
    _row("C2.8-1", "2.8", SHOULD, Evidence.OBSERVED, "BLOG", "A lens goes on behind a pause in which the body holds CLK low."),
    _row("C2.9-1", "2.9", MUST, Evidence.CONFIRMED, "BELL", "A lens that is switched on answers BODY_ACK with a wake pulse."),
    _row("C2.9-2", "2.9", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The wake pulse begins within 40 ms of BODY_ACK."),
    _row("C2.9-3", "2.9", SHOULD, Evidence.INFERRED, "BELL", "The wake pulse is 1 to 50 ms long; it has 10 ms in the one lens program known."),
    _row("C2.9-4", "2.9", SHOULD, Evidence.CONFIRMED, "BELL", "The wake pulse does not begin before BODY_ACK has risen."),
    _row("C3.1-1", "3.1", MUST, Evidence.CONFIRMED, "BELL", "A transaction that the lens has begun to answer comes to its end."),
    _row("C3.1-2", "3.1", MUST, Evidence.OBSERVED, "BELL, BLOG", "The lens says nothing that the body has not asked for: between transactions LENS_ACK does not rise."),
    _row("C3.2-1", "3.2", MUST, Evidence.CONFIRMED, "BELL", "The lens returns the sum of the four command bytes, modulo 256."),
    _row("C3.3-1", "3.3.1", MUST, Evidence.CONFIRMED, "BELL", "A transaction of shape set ends with the sum of the command."),
    _row("C3.3-2", "3.3.2", MUST, Evidence.CONFIRMED, "BELL", "A transaction of shape complete ends with one status byte."),
    _row("C3.3-3", "3.3.2", OBSERVED, Evidence.OBSERVED, "BELL, BLOG", "The status byte is 00."),
    _row("C3.3-4", "3.3", OBSERVED, Evidence.INFERRED, "BELL, BLOG, PROJECT", "A command of a known shape that the lens does not know keeps the shape that its first nibble tells; no source shows a real lens meet one, so this project allows that it is left unanswered, too."),
    _row("C3.4-1", "3.4", MUST, Evidence.CONFIRMED, "BELL", "The length word of a block counts its data and its sum, and not itself."),
    _row("C3.4-2", "3.4", MUST, Evidence.INFERRED, "BELL", "The length is a 16-bit word, the low byte first: a block of less than 255 data bytes has a high byte of 00."),
    _row("C3.5-1", "3.5", MUST, Evidence.CONFIRMED, "BELL", "The sum of a block that the lens sends is that of its data alone, modulo 256."),
    _row("C3.5-2", "3.5", MUST, Evidence.CONFIRMED, "BELL", "The lens returns the sum of the data of a written block alone, modulo 256."),
    _row("C3.6-1", "3.6", MUST, Evidence.INFERRED, "BELL, EXIFTOOL, EXIF-S", "Fields of two bytes are little-endian.", "A swapped field shows as an implausible value, which the cases on aperture, firmware and distance judge; no field has a mark of its order."),
    _row("C3.7-1", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens is back in step with the next command when the body drops BODY_ACK within a command."),
    _row("C3.7-2", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens is back in step with the next command when a byte of the body had fewer than eight clocks."),
    _row("C3.7-3", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens is back in step with the next command when a turn of the body had a byte too many."),
    _row("C3.7-4", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens is back in step with the next command behind a command whose shape nobody knows."),
    _row("C3.7-5", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens is back in step with the next command behind a block whose length word announces more than was sent."),
    _row("C3.7-6", "3.7", MUST, Evidence.INFERRED, "BELL", "The fall of SLEEP ends whatever was going on: switched on again, the lens gives its wake pulse and answers."),
    _row("C3.7-7", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens that was taken off in a transaction and put on again gives its wake pulse and answers."),
    _row("C3.7-8", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens stays in step behind an attention in which the body says nothing."),
    _row("C3.7-9", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens stays in step behind a drive with a block of another size than known, and does not move; it answers the block with its right sum, or not at all."),
    _row("C3.7-10", "4.8", MUST, Evidence.UNKNOWN, "PROJECT", "What a lens does about a wrong sum from the body.", "The body sends no sum: the lens sends them all, and the body judges. A block whose length word is wrong comes nearest (C3.7-5)."),
    _row("C3.7-11", "3.7", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A lens whose SLEEP was low for 1 ms in the middle of a transaction wakes, and carries out the next one."),
    _row("C4.2-1", "4.2", MUST, Evidence.CONFIRMED, "BELL", "A lens wakes each time that it is switched on."),
    _row("C4.3-1", "4.3", MUST, Evidence.CONFIRMED, "BELL@26929bd, BELL@da4f851", "The start-up of eight commands runs through in its order."),
    _row("C4.3-2", "4.3.2", MUST, Evidence.CONFIRMED, "BELL@046255c", "Both forms of the status command are answered."),
    _row("C4.3-3", "4.3", MUST, Evidence.CONFIRMED, "BELL@db29971", "A lens ends the work of Initialise within 2 s; real bodies are known to wait 0.5 s."),
    _row("C4.3-4", "4.3", SHOULD, Evidence.CONFIRMED, "BELL@db29971", "A lens ends the work of Initialise within 1 s, twice what a body is known to wait."),
    _row("C4.3-5", "4.3", SHOULD, Evidence.INFERRED, "BELL", "A lens ends the work of EnableDrive within 0.5 s."),
    _row("C4.3-6", "5.1.2", OBSERVED, Evidence.OBSERVED, "BLOG", "A lens completes B0 F0 as the first command."),
    _row("C4.4-1", "4.4", MUST, Evidence.CONFIRMED, "BELL", "A lens answers polls at 30 a second."),
    _row("C4.4-2", "4.4", MUST, Evidence.CONFIRMED, "BELL", "A lens answers polls at 60 a second."),
    _row("C4.4-3", "4.4", SHOULD, Evidence.INFERRED, "DCW", "A lens answers polls at 120 a second."),
    _row("C4.4-4", "4.4", SHOULD, Evidence.INFERRED, "BELL, SIM", "A poll takes at most a quarter of a frame of 60 a second."),
    _row("C4.4-5", "4.4.1", SHOULD, Evidence.OBSERVED, "BELL", "A lens answers whether or not SHUTTER and FOCUS move."),
    _row("C4.4-6", "4.8", SHOULD, Evidence.UNKNOWN, "PROJECT", "A lens answers behind seconds of silence, and with no more than 10 us between transactions."),
    _row("C4.7-1", "4.7", MUST, Evidence.UNKNOWN, "PROJECT", "How a lens parks when it is switched off.", "No command that parks a lens is public, and whether a lens parks by itself is unknown (OQ-16)."),
    _row("C5.1-1", "5.1.3", MUST, Evidence.CONFIRMED, "BELL@bb20aad", "LinkCapability has four data bytes."),
    _row("C5.1-2", "5.1.3", OBSERVED, Evidence.CONFIRMED, "BELL@bb20aad", "LinkCapability answers 0A 10 C4 09."),
    _row("C5.1-3", "5.1.3", SHOULD, Evidence.INFERRED, "BELL", "LinkCapability answers the same each time."),
    _row("C5.2-1", "5.2.1", MUST, Evidence.CONFIRMED, "BELL@44f0dea", "Identify has 20 data bytes."),
    _row("C5.2-2", "5.2.1", OBSERVED, Evidence.OBSERVED, "EXIFTOOL", "The maker is one that bodies have stored."),
    _row("C5.2-3", "5.2.1", MUST, Evidence.INFERRED, "BELL@44f0dea, EXIFTOOL", "The model is two BCD digits."),
    _row("C5.2-4", "5.2.1", MUST, Evidence.INFERRED, "BELL@44f0dea, EXIFTOOL", "The sub-model is two BCD digits, the first of them 0 (Four Thirds) or 1 (Micro Four Thirds)."),
    _row("C5.2-5", "5.2.1", MUST, Evidence.INFERRED, "BELL@44f0dea, EXIF-S", "The serial number is printable ASCII, padded with NUL, and not empty."),
    _row("C5.2-6", "5.2.1", MUST, Evidence.INFERRED, "BELL@44f0dea, EXIF-S", "The firmware version is four BCD digits, and not zero."),
    _row("C5.2-7", "5.2.1", MUST, Evidence.INFERRED, "BELL", "A lens gives the same identity each time, through power cycles, too."),
    _row("C5.2-8", "5.2.1", OBSERVED, Evidence.OBSERVED, "EXIFTOOL", "The identity is that of a lens that bodies have stored."),
    _row("C5.2-9", "5.2.1", OBSERVED, Evidence.OBSERVED, "BELL@44f0dea", "The two bytes behind the sub-model are 00 00."),
    _row("C5.2-10", "5.2.1", MUST, Evidence.PROVISIONAL, "PROJECT", "A lens is what its capability statement declares."),
    _row("C5.2-11", "5.5.2", MUST, Evidence.PROVISIONAL, "PROJECT", "A lens that is sent beyond its narrowest aperture stops at the one that its statement declares, within 2 %."),
    _row("C5.2-12", "5.2.1", MUST, Evidence.PROVISIONAL, "PROJECT", "A lens zooms where its statement declares so, and only there: by the zoom steps seen, or else by the lens on record."),
    _row("C5.2-13", "5.8.2", MUST, Evidence.PROVISIONAL, "PROJECT", "A lens has a stabiliser where its statement declares one, and only there: by what it answers to the placeholder."),
    _row("C5.2-14", "5.7.1", MUST, Evidence.PROVISIONAL, "PROJECT", "ReadLensData is as long as the statement of the lens declares."),
    _row("C5.2-15", "5.2.1", MUST, Evidence.UNKNOWN, "PROJECT", "A lens has the motors that its statement declares."),
    _row("C5.3-1", "5.3.1", MUST, Evidence.CONFIRMED, "BELL@f7123ba, BELL@0b15280", "BodyCapability is taken with four bytes of zeros, and with 00 D1 00 02."),
    _row("C5.4-1", "5.4.1", MUST, Evidence.CONFIRMED, "BELL@f7123ba", "Status has 30 data bytes."),
    _row("C5.4-2", "5.4.1", MUST, Evidence.INFERRED, "BELL@046255c, EXIFTOOL", "The aperture is between f/0.7 and f/91."),
    _row("C5.4-3", "5.4.1", SHOULD, Evidence.INFERRED, "EXIFTOOL, LUMIX", "The aperture is never wider than the lens's own by more than a sixth of an Av step."),
    _row("C5.4-4", "5.4.1", MUST, Evidence.INFERRED, "BELL@046255c, GH5-FORUM", "The focus distance rises, or falls, with the focus position all the way."),
    _row("C5.4-5", "5.4.1", SHOULD, Evidence.INFERRED, "BELL@046255c", "The same focus position goes with the same distance, within 5 mm or 2 %."),
    _row("C5.4-6", "5.4.1", SHOULD, Evidence.PROVISIONAL, "PROJECT", "At rest successive statuses agree."),
    _row("C5.4-7", "5.4.1", SHOULD, Evidence.INFERRED, "BELL@046255c, EXIF-S", "The zoom step is 0 to 31."),
    _row("C5.4-8", "5.4.1", OBSERVED, Evidence.INFERRED, "BELL@046255c", "Byte 5 of the status is the low byte of the focus position."),
    _row("C5.4-9", "5.4.1", MUST, Evidence.INFERRED, "BELL@046255c", "The focus distance is above 0."),
    _row("C5.4-10", "5.4.1", MUST, Evidence.INFERRED, "BELL@046255c", "While the focus moves, position and distance change together."),
    _row("C5.4-11", "5.4.1", SHOULD, Evidence.INFERRED, "BELL@046255c", "Both forms of the status command give the same block."),
    _row("C5.4-12", "5.4.1", SHOULD, Evidence.INFERRED, "BELL", "The zoom step stays while nobody turns the zoom ring."),
    _row("C5.5-1", "5.5.2", MUST, Evidence.CONFIRMED, "BELL@1c72da3", "An aperture drive takes effect: the aperture comes to rest within a third of an Av step of what was set."),
    _row("C5.5-2", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The aperture comes to rest within a twelfth of an Av step of what was set."),
    _row("C5.5-3", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The same aperture comes to rest at the same place, within a twelfth of an Av step, from both sides."),
    _row("C5.5-4", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "An aperture beyond the range of a lens brings it to the end of its range."),
    _row("C5.5-5", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The aperture comes to rest within 0.5 s."),
    _row("C5.5-6", "5.5.2", MUST, Evidence.INFERRED, "BELL@1c72da3", "A smaller aperture that is set gives a smaller aperture."),
    _row("C5.5-7", "5.5.2", MUST, Evidence.CONFIRMED, "BELL@bc3a33a", "A focus drive takes effect: the focus comes to rest within 20 counts of its target."),
    _row("C5.5-8", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The focus comes to rest within 4 counts of its target."),
    _row("C5.5-9", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The same target brings the focus to the same place, within 4 counts, from both sides."),
    _row("C5.5-10", "5.5.2", SHOULD, Evidence.OBSERVED, "BELL@0b15280", "A scan to 32767 comes to rest at the far end stop, the same place each time within 4 counts."),
    _row("C5.5-11", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A target beyond the near end stop brings the focus to that stop, the same place each time within 4 counts."),
    _row("C5.5-12", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The focus comes to rest within 2 s."),
    _row("C5.5-13", "5.5.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A drive to where the focus stands moves it by 4 counts at most."),
    _row("C5.5-14", "5.5.2", SHOULD, Evidence.UNKNOWN, "PROJECT", "A new target while the focus moves takes the place of the old one."),
    _row("C5.5-15", "5.5.2", MUST, Evidence.INFERRED, "BELL", "A drive that leaves the focus alone does not move it."),
    _row("C5.5-16", "5.5.2", MUST, Evidence.INFERRED, "BELL", "A drive that leaves the aperture alone does not move it."),
    _row("C5.5-17", "5.5.2", SHOULD, Evidence.CONFIRMED, "BELL@da4f851", "The set-up drive is taken, and moves nothing."),
    _row("C5.5-18", "5.5.2", SHOULD, Evidence.INFERRED, "BELL", "One drive can move focus and aperture."),
    _row("C5.5-19", "5.5.2", SHOULD, Evidence.INFERRED, "BELL", "On its way to a target the focus does not turn round."),
    _row("C5.5-20", "5.5.1", MUST, Evidence.CONFIRMED, "BELL@0b15280", "EnableDrive completes."),
    _row("C5.6-1", "5.6.1", MUST, Evidence.CONFIRMED, "BELL@0b15280", "SetFocusRing is taken in both directions."),
    _row("C5.6-2", "5.6.1", SHOULD, Evidence.INFERRED, "BELL@0b15280", "Reversed, the same turn of the focus ring moves the focus the other way."),
    _row("C5.6-3", "5.6.1", SHOULD, Evidence.INFERRED, "BELL@0b15280", "The focus follows the focus ring."),
    _row("C5.6-4", "5.4.1", SHOULD, Evidence.INFERRED, "BELL@046255c", "The zoom step follows the zoom ring."),
    _row("C5.6-5", "4.5", OBSERVED, Evidence.CONFIRMED, "BELL@1c72da3", "A lens keeps the aperture that was set while it is zoomed, as far as it can."),
    _row("C5.6-6", "4.4", MUST, Evidence.INFERRED, "BELL@1c72da3", "A lens answers polls while its zoom ring turns."),
    _row("C5.7-1", "5.7.1", OBSERVED, Evidence.OBSERVED, "BELL@0b15280", "ReadLensData answers 2,238 data bytes."),
    _row("C5.7-2", "5.7.1", SHOULD, Evidence.PROVISIONAL, "PROJECT", "ReadLensData answers the same each time."),
    _row("C5.7-3", "5.7.2", OBSERVED, Evidence.OBSERVED, "BELL@0b15280", "ReadC2F3 is answered with a block."),
    _row("C5.7-4", "5.7.3", OBSERVED, Evidence.UNKNOWN, "BELL@ad79dd2", "What a lens answers to CF F3.", "It is probably C2 F3 with a byte misread, and no answer is known."),
    _row("C5.8-1", "5.8.2", MUST, Evidence.PROVISIONAL, "PROJECT", "StabilisationStatus, a placeholder, has six data bytes with a known mode and state."),
    _row("C5.8-2", "5.8.1", MUST, Evidence.PROVISIONAL, "PROJECT", "A stabiliser, by the placeholders, takes the mode that is set."),
    _row("C5.8-3", "5.8.1", MUST, Evidence.PROVISIONAL, "PROJECT", "A stabiliser that is switched off, by the placeholders, comes to rest."),
    _row("B1.2-1", "1.2", SHOULD, Evidence.CONFIRMED, "BELL", "The body raises BODY_ACK only while SLEEP is high."),
    _row("B2.1-1", "2.1", MUST, Evidence.CONFIRMED, "BELL", "CLK rests high: it is high whenever BODY_ACK rises or falls."),
    _row("B2.1-2", "2.1", MUST, Evidence.CONFIRMED, "BELL, BLOG", "A byte of the body has eight clocks."),
    _row("B2.1-3", "2.1", SHOULD, Evidence.INFERRED, "SIM", "While the body speaks, DATA is stable for 50 ns or more before CLK rises."),
    _row("B2.1-4", "2.1", MUST, Evidence.CONFIRMED, "BELL", "While the body speaks, DATA changes only between the fall of CLK and its rise."),
    _row("B2.1-5", "2.1", MUST, Evidence.CONFIRMED, "BELL, BLOG", "The body sends the least significant bit first."),
    _row("B2.1-6", "2.1.1", SHOULD, Evidence.PROVISIONAL, "PROJECT, SIM", "The clock has a period of 0.7 us or more; the shortest that is known to have met a lens is 0.82 us."),
    _row("B2.1-7", "2.1.1", SHOULD, Evidence.PROVISIONAL, "PROJECT, SIM", "In a byte of the lens CLK is low for 0.35 us or more, for the lens to bring its bit; the body program known gives 0.44 us."),
    _row("B2.2-1", "2.3", MUST, Evidence.CONFIRMED, "BELL", "The body has released DATA when it drops BODY_ACK at the hand-over: it spoils no byte of the lens."),
    _row("B2.3-1", "2.3", MUST, Evidence.CONFIRMED, "BELL", "The body clocks nothing of its own before LENS_ACK has answered its attention."),
    _row("B2.3-2", "2.3", SHOULD, Evidence.INFERRED, "BELL", "The body clocks no further byte before the acknowledge of the last one is over; the one body program known pauses blindly instead."),
    _row("B2.3-3", "2.3", MUST, Evidence.CONFIRMED, "BELL@26929bd", "Behind its last byte the body keeps BODY_ACK high until LENS_ACK has fallen."),
    _row("B2.4-1", "2.4", MUST, Evidence.CONFIRMED, "BELL", "The body takes each byte of the lens with eight clocks and drops BODY_ACK behind it."),
    _row("B2.4-2", "2.4", MUST, Evidence.CONFIRMED, "BELL", "The body clocks a byte of the lens only once LENS_ACK has said that it is ready."),
    _row("B2.4-3", "2.4", SHOULD, Evidence.INFERRED, "BELL", "The body asks for a further byte of the lens only once LENS_ACK has fallen behind the last one; the one body program known pauses blindly instead."),
    _row("B2.4-4", "2.4", SHOULD, Evidence.PROVISIONAL, "PROJECT", "BODY_ACK falls within 1 ms of the last clock of a byte of the lens."),
    _row("B2.5-1", "2.5", SHOULD, Evidence.CONFIRMED, "BELL@da4f851", "The body carries a completion out: it asks for the work, waits for its end and takes the status byte; a lens survived a body that did not (BELL@26929bd)."),
    _row("B2.5-2", "2.5", SHOULD, Evidence.CONFIRMED, "BELL@db29971", "The body waits 0.5 s for the end of the work of a completion, as a real one did; how long a real lens works is not known."),
    _row("B2.6-1", "2.6", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A block begins within 5 ms of the sum of its command."),
    _row("B2.7-1", "2.7", OBSERVED, Evidence.OBSERVED, "BELL@ad79dd2", "Behind SelectLinkMode the body holds CLK low for 0.5 to 2 ms; one real body did so for about 1 ms."),
    _row("B2.7-2", "2.7", SHOULD, Evidence.INFERRED, "BELL", "But for such a hold the body moves CLK only while BODY_ACK is high."),
    _row("B2.9-1", "2.9", SHOULD, Evidence.PROVISIONAL, "PROJECT, BELL", "SLEEP is high for 1 ms or more before BODY_ACK rises; the body program known waits 10 ms."),
    _row("B2.9-2", "2.9", SHOULD, Evidence.CONFIRMED, "BELL", "The body keeps BODY_ACK high until the wake pulse is over."),
    _row("B2.9-3", "2.9", SHOULD, Evidence.PROVISIONAL, "PROJECT, BELL", "The first command comes 1 ms or more behind the wake pulse; the body program known waits 20 ms."),
    _row("B2.9-4", "2.9", SHOULD, Evidence.INFERRED, "BELL", "The body clocks nothing before the wake pulse."),
    _row("B3.1-1", "3.1", MUST, Evidence.CONFIRMED, "BELL", "A command has four bytes."),
    _row("B3.1-2", "3.1", MUST, Evidence.CONFIRMED, "BELL", "The body carries out a transaction that a lens in order answers, to its end."),
    _row("B3.3-1", "3.3", OBSERVED, Evidence.INFERRED, "BELL, BLOG", "The first nibble of a command is A, B, C or 6."),
    _row("B3.3-2", "5", OBSERVED, Evidence.OBSERVED, "BELL, BLOG", "The command is one on record; the catalogue is known to be incomplete (OQ-25)."),
    _row("B3.4-1", "3.4", MUST, Evidence.CONFIRMED, "BELL", "The length word of a block that the body writes counts its data and the sum of the lens, and not itself."),
    _row("B3.4-2", "3.3.3", SHOULD, Evidence.INFERRED, "BELL", "The body takes as many bytes of a block as its length word announces."),
    _row("B3.5-1", "3.2", SHOULD, Evidence.UNKNOWN, "PROJECT", "What a body makes of a block whose sum is wrong.", "The lines do not show what a body believes; how it goes on is B4.8-2."),
    _row("B4.3-1", "4.3.1", SHOULD, Evidence.CONFIRMED, "BELL@26929bd, BELL@da4f851", "The commands of the start-up come in the one order that is known."),
    _row("B4.3-2", "4.3.1", OBSERVED, Evidence.CONFIRMED, "BELL@26929bd, BELL@da4f851", "The start-up leaves no command out."),
    _row("B4.3-3", "4.3.1", SHOULD, Evidence.INFERRED, "BELL@45cf9b6, BELL@26929bd", "No drive comes before EnableDrive: a lens did not obey without steps 6 to 8."),
    _row("B4.3-4", "4.3.2", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The body keeps to one form of the status command."),
    _row("B4.3-5", "4.3.2", OBSERVED, Evidence.CONFIRMED, "BELL@046255c", "The form of the status command is 02 or 06."),
    _row("B4.4-1", "4.4", OBSERVED, Evidence.INFERRED, "BELL, DCW", "While it polls, the body asks for the status 25 to 130 times a second."),
    _row("B4.4-2", "4.4.1", OBSERVED, Evidence.CONFIRMED, "BELL", "A pulse on SHUTTER ends less than 5 ms before each poll."),
    _row("B4.4-3", "4.4.1", OBSERVED, Evidence.CONFIRMED, "BELL", "FOCUS changes between two polls."),
    _row("B4.5-1", "4.5", OBSERVED, Evidence.CONFIRMED, "BELL", "A drive follows the status of its frame within 5 ms."),
    _row("B4.5-2", "4.5", OBSERVED, Evidence.CONFIRMED, "BELL@da4f851, BELL@bc3a33a", "The set-up drive comes before the first drive of the focus."),
    _row("B4.7-1", "4.7", SHOULD, Evidence.INFERRED, "BELL@bb20aad", "SLEEP falls between two transactions."),
    _row("B4.7-2", "4.7", SHOULD, Evidence.CONFIRMED, "BELL@bb20aad", "BODY_ACK is low within 1 ms of the fall of SLEEP."),
    _row("B4.8-1", "4.8", SHOULD, Evidence.PROVISIONAL, "PROJECT", "Behind a wrong sum of a command the body goes on in step, or switches the lens off, within 5 s."),
    _row("B4.8-2", "4.8", SHOULD, Evidence.PROVISIONAL, "PROJECT", "Behind a wrong sum of a block the body goes on in step, or switches the lens off, within 5 s."),
    _row("B4.8-3", "4.8", SHOULD, Evidence.PROVISIONAL, "PROJECT", "Behind a transaction that broke off the body goes on in step, or switches the lens off, within 5 s."),
    _row("B4.8-4", "4.10", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The body waits for no answer of the lens longer than 3 s."),
    _row("B4.8-5", "4.10", SHOULD, Evidence.PROVISIONAL, "PROJECT", "The body gives up work that does not end, within 10 s."),
    _row("B4.8-6", "4.8", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A body whose lens went away clocks nothing more before the next wake pulse."),
    _row("B4.8-7", "4.8", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A body that lost its lens wakes one that is put on, when it is switched on again."),
    _row("B4.8-8", "3.3.2", SHOULD, Evidence.UNKNOWN, "PROJECT", "Behind a status byte other than 00 the body goes on in step, or switches the lens off, within 5 s."),
    _row("B4.8-9", "5.2.1", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A body polls a lens that it does not know."),
    _row("B4.8-10", "4.8", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A body goes on polling a lens whose aperture and focus do not come to where they were sent."),
    _row("B4.9-1", "2.13", SHOULD, Evidence.INFERRED, "SIM", "A body gets on with a lens that is four times as slow as the lens program known."),
    _row("B4.9-2", "2.13", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A body gets on with a lens that is five times as fast as the lens program known."),
    _row("B4.9-3", "2.13", SHOULD, Evidence.INFERRED, "SIM", "A body gets on with acknowledges of 1 us; C2.3-4 lets a lens give them down to 0.8 us."),
    _row("B4.9-4", "2.13", SHOULD, Evidence.PROVISIONAL, "PROJECT", "A body gets on with a lens that takes 1 ms for each of its bytes, as C2.3-10 lets it."),
    _row("B5.3-1", "5.3.1", SHOULD, Evidence.CONFIRMED, "BELL@f7123ba, BELL@45cf9b6", "The data of BodyCapability have four bytes, those of a Drive nine."),
    _row("B5.5-1", "5.5.2", OBSERVED, Evidence.CONFIRMED, "BELL@0b15280, BELL@1c72da3", "The two operations of a Drive are on record."),
    _row("B5.5-2", "5.5.2", SHOULD, Evidence.INFERRED, "BELL@1c72da3, EXIFTOOL", "An aperture that is set is between f/0.7 and f/91."),
)
# fmt: on

CLAUSES: dict[str, Clause] = {clause.id: clause for clause in _ROWS}
"""Every clause by its id, in the order of the sections."""
