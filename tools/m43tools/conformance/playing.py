"""What a body meets: the lenses that the suite plays, and the stimuli that are made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m43tools.conformance.operations import MS, US, Operation, Play, Session
from m43tools.conformance.stimuli import Stimulus

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BODY_REVIVAL", "BODY_SANITY", "BODY_STIMULI", "LENSES", "SESSION", "PlayedLens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedLens:
    """A lens that the suite plays.

    Attributes:
        name: its stable name.
        doc: what it does.
        profile: which lens of `m43drivers.simulator.profiles` it is.
        faults: what it does wrong, as `m43drivers.simulator.faults.faults_named` takes it.
        pace: a name in `m43proto.timing.LENS_TIMINGS`.
        timing: what is changed in those delays.
        status: the status byte of its completions.
        capability: its answer to LinkCapability; None for the one on record.
        initialise_ns: how long Initialise takes; None for as long as in the profile.
        present: whether there is a lens at all.
    """

    name: str
    doc: str
    profile: str = "olympus-14-42"
    faults: tuple[str, ...] = ()
    pace: str = "bell_lens"
    timing: Mapping[str, int] = field(default_factory=dict)
    status: int = 0
    capability: bytes | None = None
    initialise_ns: int | None = None
    present: bool = True


_ROWS = (
    PlayedLens(name="good", doc="A lens in order, with the delays of the public lens program."),
    PlayedLens(name="long wake", doc="The wake pulse comes after 30 ms and is 40 ms long.", timing={"wake_ns": 30 * MS, "wake_width_ns": 40 * MS}),
    PlayedLens(name="half a second", doc="Initialise takes 0.5 s.", initialise_ns=500 * MS),
    PlayedLens(name="slow attention", doc="LENS_ACK rises 1 ms behind an attention.", timing={"answer_ns": MS}),
    PlayedLens(name="late acks", doc="LENS_ACK falls 40 us behind each byte of the body.", timing={"ack_ns": 40 * US}),
    PlayedLens(name="short acks", doc="LENS_ACK is low for 1 us in an acknowledge.", timing={"ack_width_ns": US}),
    PlayedLens(name="late bytes", doc="Each byte of the lens is ready after 1 ms.", timing={"sum_ns": MS, "reply_ns": MS}),
    PlayedLens(name="late release", doc="LENS_ACK falls 100 us behind BODY_ACK in a byte of the lens.", timing={"release_ns": 100 * US}),
    PlayedLens(name="slow", doc="Each delay of the lens is four times as long.", pace="slow"),
    PlayedLens(name="fast", doc="Each delay of the lens is a fifth.", pace="fast"),
    PlayedLens(name="long capability", doc="LinkCapability has eight data bytes.", capability=bytes.fromhex("0a10c40900000000")),
    PlayedLens(name="wrong command sum", doc="The sum of the sixth command is wrong.", faults=("wrong_command_sum@6",)),
    PlayedLens(name="wrong data sum", doc="The sum of the block of the sixth transaction is wrong.", faults=("wrong_data_sum@6",)),
    PlayedLens(name="long length", doc="The length word of the fourth transaction announces a byte too many.", faults=("length_off_by_one@4",)),
    PlayedLens(name="lost bit", doc="The lens misses a clock of the sixth command.", faults=("lost_bit",)),
    PlayedLens(name="reset", doc="The lens starts anew in the sixth command.", faults=("reset_mid_transaction",)),
    PlayedLens(name="spoilt byte", doc="The lens holds DATA in the first byte of the sixth command.", faults=("data_into_body_turn",)),
    PlayedLens(name="silent", doc="LENS_ACK does not rise any more from the sixth transaction on.", faults=("lens_ack_stuck_low",)),
    PlayedLens(name="stuck", doc="LENS_ACK does not fall any more from the sixth transaction on.", faults=("lens_ack_stuck_high",)),
    PlayedLens(name="busy", doc="The work of the first command never ends.", faults=("busy_for_ever@1",)),
    PlayedLens(name="taken off", doc="The lens is taken off in its 120th byte.", faults=("yanked",)),
    PlayedLens(name="none", doc="There is no lens, or one without contacts.", present=False),
    PlayedLens(name="status 1", doc="Each completion ends with the status byte 01.", status=1),
    PlayedLens(name="stranger", doc="The identity is that of no known lens.", faults=("wrong_identity",)),
    PlayedLens(name="stuck aperture", doc="The iris does not move, and the focus stops half-way.", faults=("aperture_stuck", "focus_stalls")),
)  # fmt: skip

LENSES: dict[str, PlayedLens] = {lens.name: lens for lens in _ROWS}
"""Every lens that the suite plays, by name."""


def _stimulus(lens: PlayedLens) -> Stimulus:
    operations: list[Operation] = [Play(lens.name), Session()]
    return Stimulus(f"{lens.name} lens", lens.doc, lambda known: list(operations))


BODY_STIMULI: dict[str, Stimulus] = {lens.name: _stimulus(lens) for lens in _ROWS}
"""A session with each of them, by the name of the lens; what a body does in it is its own affair."""

SESSION = BODY_STIMULI["good"]

BODY_SANITY: tuple[Operation, ...] = (Play("good"), Session())
"""A session with a good lens: what a body that is in order can do behind any stimulus."""

BODY_REVIVAL: tuple[Operation, ...] = BODY_SANITY
"""What is tried with a body that could not: the same once more."""
