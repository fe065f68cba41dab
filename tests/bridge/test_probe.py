"""Probes: programs and their interpreter, the firmware that streams them, and the coding of edges."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import m43bridge.bridge as firmware
from m43bridge.frames import encode as board_encode
from m43bridge.probe import Program as BoardProgram
from m43bridge.probing import ROOM, Probing
from m43drivers.bridge.assembly import Assembly, number
from m43drivers.bridge.edges import EdgeDecoder
from m43drivers.bridge.probe import (
    CUT,
    DATA_DRIVE,
    FOCUS,
    FRESH,
    INSERT,
    INSTRUCTIONS,
    MISSED,
    NEVER,
    REACHED,
    REMOVE,
    ZOOM,
    Interpreter,
    Pins,
    Program,
    ProgramError,
    number_at,
)
from m43drivers.bridge.protocol import (
    KINDS,
    Decoder,
    Edges,
    Frame,
    Load,
    Loaded,
    Power,
    Probe,
    ProbeBegun,
    Refusal,
    RefusalCode,
    SelfTest,
    StartFrames,
    StepDone,
    Stop,
    Stopped,
    Transact,
    encode,
)
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43drivers.simulator.stand import Stand
from m43drivers.transport import Report
from m43proto.ends import PinBody, Script
from m43proto.errors import DecodeError, EncodeError
from m43proto.messages import PUBLIC, Drive, Identify, Initialise, SetFocusRing, Status
from m43proto.mount import Mount
from m43proto.pins import Line
from m43proto.shapes import Shape
from m43proto.timing import LENS_TIMINGS
from m43tools.conformance.operations import MS, Cut, PowerUp, Remove
from m43tools.conformance.operations import Transact as TransactAtPins
from m43tools.conformance.probes import PACES, Prober

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.bridge.protocol import LinkMessage
    from m43tools.conformance.operations import Operation

CLK, DATA, BODY_ACK, SLEEP = Line.CLK.mask, Line.DATA.mask, Line.BODY_ACK.mask, Line.SLEEP.mask
END = Assembly()
END.put("END")
NOTHING = END.program()


class Told(Pins):
    """Pins that write down what is asked of them, and answer as they are told to."""

    def __init__(self) -> None:
        self.t_ns = 0
        self.did: list[tuple[object, ...]] = []
        self.waits: list[int] = []
        self.bytes: list[int] = []
        self.held: list[tuple[int, int]] = []
        self.gone = 0

    def now_ns(self) -> int:
        return self.t_ns

    def set(self, mask: int, levels: int) -> None:
        self.did.append(("set", mask, levels))

    def flip(self, mask: int) -> None:
        self.did.append(("flip", mask))

    def rate(self, *times_ns: int) -> None:
        self.did.append(("rate", *times_ns))

    def delay(self, pause_ns: int, until_ns: int) -> bool:
        self.did.append(("delay", pause_ns))
        cut = until_ns != NEVER and self.t_ns + pause_ns > until_ns
        self.t_ns = until_ns if cut else self.t_ns + pause_ns
        return not cut

    def wait(self, mask: int, levels: int, limit_ns: int, until_ns: int) -> int:
        self.did.append(("wait", mask, levels, limit_ns))
        return self.waits.pop(0)

    def clock_out(self, value: int, count: int, until_ns: int) -> bool:
        self.did.append(("out", value, count))
        return True

    def clock_in(self, until_ns: int) -> int:
        return self.bytes.pop(0)

    def hand(self, kind: int, amount: int) -> None:
        self.did.append(("hand", kind, amount))

    def edges(self) -> list[tuple[int, int]]:
        held, self.held = self.held, []
        return held

    def lost(self) -> int:
        gone, self.gone = self.gone, 0
        return gone


def carried_out(pins: Pins, program: bytes) -> bool:
    interpreter = Interpreter(pins, Program(program))
    while not interpreter.ended:
        interpreter.step()
    return interpreter.done


# programs

_LETTERS: dict[str, st.SearchStrategy[object]] = {
    "b": st.integers(0, 255),
    "n": st.integers(0, 2**60),
    "z": st.integers(-(2**31), 2**31),
    "s": st.binary(max_size=300),
}


@st.composite
def listings(draw: st.DrawFn) -> list[tuple[int, list[object]]]:
    """Return instructions with operands; places are numbers of instructions."""
    codes = [*draw(st.lists(st.integers(0, len(INSTRUCTIONS) - 1), max_size=25)), 0]
    places = st.integers(0, len(codes) - 1)
    return [(code, [draw(_LETTERS.get(letter, places)) for letter in INSTRUCTIONS[code][1]]) for code in codes]


def assembled(listing: list[tuple[int, list[object]]]) -> bytes:
    assembly = Assembly()
    for index, (code, operands) in enumerate(listing):
        name, form, _ = INSTRUCTIONS[code]
        assembly.here(str(index))
        named = [str(operand) if letter == "t" else operand for letter, operand in zip(form, operands, strict=True)]
        assembly.put(name, *named)  # type: ignore[arg-type]
    return assembly.program()


@given(listings())
def test_a_program_comes_back_on_both_ends(listing: list[tuple[int, list[object]]]) -> None:
    program = assembled(listing)
    assert Program(program).steps == BoardProgram(program).steps == listing
    assert Program(program).size == len(program)


@given(listings(), st.data())
def test_no_program_that_is_cut_off_is_taken(listing: list[tuple[int, list[object]]], data: st.DataObject) -> None:
    program = assembled(listing)
    cut = program[: data.draw(st.integers(0, len(program) - 1))]
    try:
        taken = Program(cut).steps
    except ProgramError:
        return
    assert taken == listing[: len(taken)], "what is taken is a whole program, which ends before the last"


@given(st.binary(max_size=60), st.randoms(use_true_random=False))
def test_any_bytes_are_a_program_that_stays_in_its_place_or_none(data: bytes, random: object) -> None:
    try:
        program = Program(data + NOTHING)
    except ProgramError:
        return
    pins = Told()
    pins.waits = [MISSED, REACHED, CUT] * 100
    pins.bytes = [0, 255, -1] * 100
    interpreter = Interpreter(pins, program)
    for _ in range(300):
        if interpreter.ended:
            break
        interpreter.step()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (b"", "the program does not end with END or JUMP"),
        (b"\x01", "the program does not end with END or JUMP"),
        (b"\xc8", "at 0: no instruction has the number 200"),
        (b"\x01\x05\x08", "at 1: WAIT is cut off"),
        (b"\x08\x7f\x00", "at 0: SAY is cut off"),
        (b"\x06\x01\x00", "JUMP goes on at 1, where no instruction stands"),
    ],
)
def test_what_is_wrong_with_a_program_is_told(program: bytes, told: str) -> None:
    with pytest.raises(ProgramError) as raised:
        Program(program)
    assert str(raised.value) == told


@given(st.integers(0, 2**64))
def test_a_number_comes_back(value: int) -> None:
    coded = number(value)
    assert number_at(coded + b"\xff", 0) == (value, len(coded))


def test_what_does_not_fit_a_program_is_refused() -> None:
    for operands in (("SET", 256, 0), ("DELAY", -1), ("OUT", -1)):
        with pytest.raises(EncodeError):
            Assembly().put(*operands)
    long = Assembly()
    long.put("SAY", bytes(0x10000))
    with pytest.raises(EncodeError, match="65540 bytes are too long for a program"):
        long.program()


# the interpreter, instruction by instruction


def program_of(write: Callable[[Assembly], None]) -> bytes:
    assembly = Assembly()
    write(assembly)
    return assembly.program()


def test_bytes_are_said_as_long_as_there_are_any() -> None:
    def write(to: Assembly) -> None:
        to.put("SAY", b"\x11\x22\x33")
        to.here("again")
        to.put("OUT", 8)
        to.put("MORE", "again")
        to.put("OUT", 3)
        to.put("END")

    pins = Told()
    assert carried_out(pins, program_of(write))
    assert pins.did == [("out", 0x11, 8), ("out", 0x22, 8), ("out", 0x33, 8), ("out", 0, 3), ("delay", 0)]


@pytest.mark.parametrize(("low", "high", "taken"), [(3, 0, 3), (0, 0, 0), (2, 1, 258)])
def test_a_block_is_as_long_as_its_length_says(low: int, high: int, taken: int) -> None:
    def write(to: Assembly) -> None:
        to.put("IN")
        to.put("IN")
        to.put("LENGTH", "none")
        to.here("again")
        to.put("FLIP", 1)
        to.put("AGAIN", "again")
        to.put("END")
        to.here("none")
        to.put("FAIL")
        to.put("END")

    pins = Told()
    pins.bytes = [low, high]
    assert carried_out(pins, program_of(write)) == bool(taken)
    assert pins.did.count(("flip", 1)) == taken


def test_a_wait_that_is_over_goes_on_elsewhere() -> None:
    def write(to: Assembly) -> None:
        to.put("WAIT", 8, 8, 100, "missed")
        to.put("END")
        to.here("missed")
        to.put("FAIL")
        to.put("END")

    for how, done in ((REACHED, True), (MISSED, False)):
        pins = Told()
        pins.waits = [how]
        assert carried_out(pins, program_of(write)) is done


def test_an_alarm_comes_once_and_only_behind_its_time() -> None:
    def write(to: Assembly) -> None:
        to.put("ALARM", 100, "alarm")
        to.put("DELAY", 60)
        to.put("DELAY", 40)
        to.put("FLIP", 2)
        to.put("DELAY", 1)
        to.put("FAIL")
        to.here("alarm")
        to.put("DELAY", 1_000)
        to.put("END")

    pins = Told()
    assert carried_out(pins, program_of(write)), "what comes behind the alarm's time is left out"
    assert ("flip", 2) in pins.did, "what happens at its very time still counts"
    assert pins.t_ns == 1_100


@pytest.mark.parametrize(
    ("heard", "limit_ns", "done"), [(b"aaa", 1_000, True), (b"abb.b", 1_000, False), (b"abcccd", 1_000, True)]
)
def test_it_settles_when_answers_are_alike(heard: bytes, limit_ns: int, done: bool) -> None:
    def write(to: Assembly) -> None:
        to.put("TIMER", limit_ns)
        to.here("again")
        to.put("CLEAR")
        to.put("IN")
        to.put("IN")
        to.put("NOTE", 1, 0)
        to.put("DELAY", 200)
        to.put("SETTLED", 3, "settled")
        to.put("EARLY", "again")
        to.put("FAIL")
        to.here("settled")
        to.put("END")

    pins = Told()
    pins.bytes = [value for index, byte in enumerate(heard) for value in (index, byte)]
    assert carried_out(pins, program_of(write)) is done


def test_hands_and_rates_reach_the_pins() -> None:
    def write(to: Assembly) -> None:
        to.put("HAND", FOCUS, -40)
        to.put("HAND", REMOVE, 0)
        to.put("RATE", 1, 2, 3, 4, 5)
        to.put("SET", DATA_DRIVE | CLK, 1)
        to.put("END")

    pins = Told()
    pins.hands = 1 << FOCUS | 1 << REMOVE
    assert carried_out(pins, program_of(write))
    assert pins.did == [("hand", 1, -40), ("hand", 2, 0), ("rate", 1, 2, 3, 4, 5), ("set", 0x81, 1), ("delay", 0)]


@pytest.mark.parametrize(("kind", "hands"), [(ZOOM, 0x1E), (INSERT, 0x1B), (FRESH, 0x1F), (200, 0x1F)])
def test_a_hand_that_is_not_there_does_nothing_and_it_is_told(kind: int, hands: int) -> None:
    def write(to: Assembly) -> None:
        to.put("HAND", kind, 1)
        to.put("END")

    pins = Told()
    pins.hands = hands
    assert not carried_out(pins, program_of(write))
    assert pins.did == [("delay", 0)]


def test_a_pause_without_an_end_ends_nothing_else() -> None:
    def write(to: Assembly) -> None:
        to.put("DELAY", 1 << 70)
        to.put("END")

    assert carried_out(stand(), program_of(write))


# programs of operations, on a lens


def stand() -> Stand:
    glass = SimulatedLens(PROFILES["olympus-14-42"])
    hands = Stand.hands_for(glass)
    return Stand(glass, lambda lens: pin_lens(lens, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of), hands=hands)


@pytest.mark.parametrize("pace", PACES)
def test_an_honest_transaction_has_the_edges_of_the_honest_body(pace: str) -> None:
    """The programs and `PinBody` write the handshake down twice, since a board has no engine; they must agree."""
    timing = PACES[pace]
    drive = Drive(focus_operation="move", focus_target=120)
    said = [
        (Initialise.request(), b""),
        (Identify.request(), b""),
        (SetFocusRing.request(ring_direction="reverse"), b""),
        (drive.command, drive.block),
        (Status.request(), b""),
    ]

    def script(body: PinBody) -> Script[None]:
        yield 10 * MS
        yield from body.power_up()
        for command, block in said:
            yield from body.transact(command, block)
            yield MS

    glass = SimulatedLens(PROFILES["olympus-14-42"])
    lens = pin_lens(glass, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of)
    body = PinBody(timing, script, PUBLIC.shape_of)
    honest = list(Mount(body, lens).run(10_000 * MS, through=body))
    assert {PUBLIC.shape_of(command) for command, _ in said} == set(Shape)

    pins, prober = stand(), Prober(PUBLIC.shape_of)
    prober._timing = timing
    pins.delay(10 * MS, NEVER)
    operations: list[Operation] = [PowerUp(), *(TransactAtPins(command, block) for command, block in said)]
    for operation in operations:
        assert carried_out(pins, prober.program(operation))
    assert [(0, CLK), *pins.edges()] == honest


def test_a_cut_drops_sleep_at_its_time_in_the_middle_of_a_byte() -> None:
    pins, prober = stand(), Prober(PUBLIC.shape_of)
    assert carried_out(pins, prober.program(PowerUp()))
    start_ns = pins.now_ns()
    assert carried_out(pins, prober.program(Cut(Status.request(), 20_100)))
    falls = [t_ns for (_, before), (t_ns, now) in pairwise(pins.edges()) if before & ~now & SLEEP]
    assert falls == [start_ns + 20_100]
    assert pins.levels & (SLEEP | BODY_ACK | CLK) == CLK


def test_a_lens_that_is_taken_off_drives_nothing_until_it_is_put_on() -> None:
    pins, prober = stand(), Prober(PUBLIC.shape_of)
    assert carried_out(pins, prober.program(PowerUp()))
    assert carried_out(pins, prober.program(Remove(Status.request(), 300_000)))
    assert carried_out(pins, prober.program(PowerUp())), "it wakes when it is put on again"
    pins.hand(REMOVE, 0)
    assert not carried_out(pins, prober.program(TransactAtPins(Status.request())))
    pins.hand(INSERT, 0)


# edges

BEGUN = ProbeBegun(t=7, tick_ns=100, room=ROOM, hands=0, levels=CLK)


class Streamed:
    """A probe of the firmware, and what it tells."""

    def __init__(self) -> None:
        self.pins = Told()
        self.pins.levels = CLK
        self.pins.t_ns = 7
        self.messages: list[LinkMessage] = []
        self.probing = Probing(self.pins, self._tell)

    def _tell(self, kind: int, payload: bytes) -> None:
        wire = board_encode(0, kind, payload)
        [frame] = Decoder().feed(wire)
        assert isinstance(frame, Frame)
        self.messages.append(frame.message)

    def step(self, held: list[tuple[int, int]], gone: int = 0) -> None:
        self.pins.held, self.pins.gone = held, gone
        self.pins.t_ns = max(self.pins.t_ns, held[-1][0] if held else 0)
        self.probing.load(BoardProgram(NOTHING))
        self.probing.work()


@st.composite
def recordings(draw: st.DrawFn) -> list[tuple[list[tuple[int, int]], int]]:
    """Return programs: the edges of each, and how many were lost before them."""
    t, levels = 7, CLK
    programs = []
    for _ in range(draw(st.integers(1, 6))):
        edges = []
        for gap, mask in draw(st.lists(st.tuples(st.integers(0, 2**40), st.integers(1, 0x7F)), max_size=150)):
            t, levels = t + gap, levels ^ mask
            edges.append((t, levels))
        programs.append((edges, draw(st.sampled_from([0, 0, 0, 3]))))
    return programs


def decoded(messages: list[LinkMessage]) -> EdgeDecoder:
    decoder = EdgeDecoder(BEGUN)
    for message in messages:
        if isinstance(message, Edges):
            decoder.take(message)
        else:
            assert isinstance(message, StepDone)
            decoder.take_done(message)
    return decoder


@given(recordings())
def test_edges_come_back_and_each_loss_is_a_gap(programs: list[tuple[list[tuple[int, int]], int]]) -> None:
    streamed = Streamed()
    expected = [(0, CLK)]
    for edges, gone in programs:
        streamed.step(list(edges), gone)
        expected += [((t - 7) * 100, levels) for t, levels in edges]
    decoder = decoded(streamed.messages)
    assert decoder.changes == expected
    assert len(decoder.gaps_ns) == sum(1 for _, gone in programs if gone)
    done = [message for message in streamed.messages if isinstance(message, StepDone)]
    assert [message.index for message in done] == list(range(len(programs)))
    assert streamed.probing.room == ROOM


@given(recordings(), st.data())
def test_no_message_is_lost_unnoticed(programs: list[tuple[list[tuple[int, int]], int]], data: st.DataObject) -> None:
    streamed = Streamed()
    for edges, _ in programs:
        streamed.step(list(edges))
    messages = streamed.messages
    at = data.draw(st.integers(0, len(messages) - 1))
    decoder = decoded([*messages[:at], *messages[at + 1 :]])
    last = at == len(messages) - 1
    assert bool(decoder.gaps_ns) is not last, "the end of the last program, which the host waits for, cannot be missed"


@given(st.binary(max_size=40))
def test_edges_that_make_no_sense_are_refused_and_nothing_else_happens(coded: bytes) -> None:
    decoder = EdgeDecoder(BEGUN)
    with suppress(DecodeError):
        decoder.take(Edges(0, 0, 7, CLK, coded))
    assert all(0 <= levels < 0x80 for _, levels in decoder.changes)


# the firmware's requests


class Desk:
    """The firmware's logic with pins at its contacts that a test can bend."""

    def __init__(self, contacts: firmware.Contacts) -> None:
        self.bridge = firmware.Bridge(contacts, 1)
        self._decoder = Decoder()
        self._seq = 0

    def ask(self, request: LinkMessage) -> LinkMessage:
        self._seq += 1
        self.bridge.feed(encode(self._seq, request))
        heard = self.hear()
        [answer] = [frame.message for frame in heard if frame.seq == self._seq]
        return answer

    def hear(self) -> list[Frame]:
        frames = self._decoder.feed(self.bridge.take(1 << 20))
        assert all(isinstance(frame, Frame) for frame in frames)
        return frames  # type: ignore[return-value]


class Contacts(firmware.Contacts):
    def __init__(self) -> None:
        self.pins = Told()
        self.powered: list[bool] = []

    def now_us(self) -> int:
        return 1

    def power(self, on: bool) -> bool:
        self.powered.append(on)
        return on

    def probe(self) -> Pins:  # type: ignore[override]
        return self.pins


def refused(desk: Desk, request: LinkMessage) -> tuple[int, str]:
    answer = desk.ask(request)
    assert isinstance(answer, Refusal)
    return answer.code, answer.text


def test_a_probe_keeps_all_else_away_until_it_is_stopped() -> None:
    contacts = Contacts()
    desk = Desk(contacts)
    desk.ask(Power(on=True))
    assert desk.ask(Probe()) == ProbeBegun(t=0, tick_ns=1, room=ROOM, hands=0, levels=0)
    assert contacts.powered == [True, False], "the lens is switched off"
    frames = StartFrames(16_667, 500, 1_500, Report.ALL, Status.request())
    for request in (Power(on=True), Transact(Status.request(), Shape.READ), frames, SelfTest()):
        assert refused(desk, request) == (RefusalCode.BUSY, "a probe goes on; STOP ends it")
    assert desk.ask(Stop()) == Stopped()
    assert contacts.pins.did[-2:] == [("set", 0xFF, CLK), ("delay", 0)], "all lines are at rest"
    assert desk.ask(Power(on=True)) is not None
    assert contacts.powered == [True, False, True]


def test_programs_wait_in_line_while_there_is_room() -> None:
    desk = Desk(Contacts())
    assert refused(desk, Load(NOTHING)) == (RefusalCode.MALFORMED, "LOAD comes behind PROBE")
    desk.ask(Probe())
    assert refused(desk, Load(b"\x01")) == (
        RefusalCode.MALFORMED,
        "LOAD: the program does not end with END or JUMP",
    )
    long = Assembly()
    long.put("SAY", bytes(ROOM * 3 // 4))
    long.put("END")
    size = len(long.program())
    assert desk.ask(Load(long.program())) == Loaded(ROOM - size)
    assert refused(desk, Load(long.program())) == (
        RefusalCode.TOO_LONG,
        f"there is room for {ROOM - size} bytes of programs now",
    )
    assert desk.ask(Load(NOTHING)) == Loaded(ROOM - size - 1)
    desk.bridge.step()
    done = [frame.message for frame in desk.hear() if isinstance(frame.message, StepDone)]
    assert [message.index for message in done] == [0, 1]
    assert desk.ask(Load(long.program())) == Loaded(ROOM - size)


def test_nothing_goes_on_while_the_host_reads_nothing() -> None:
    contacts = Contacts()
    desk = Desk(contacts)
    desk.ask(Probe())

    def write(to: Assembly) -> None:
        to.here("again")
        to.put("DELAY", 1)
        to.put("JUMP", "again")

    desk.ask(Load(program_of(write)))
    for turn in range(1, 2_000):
        contacts.pins.held = [(turn * 100 + edge, edge % 2) for edge in range(90)]
        desk.bridge.step()
    unread = len(desk.bridge.take(1 << 20))
    assert firmware.OUT_LIMIT < unread < 2 * firmware.OUT_LIMIT
    before = contacts.pins.t_ns
    desk.bridge.step()
    assert contacts.pins.t_ns > before, "it goes on when the host has read"
    assert desk.ask(Stop()) == Stopped(), "a program without an end can be stopped"


def test_a_board_says_that_it_cannot() -> None:
    class Whole(firmware.Contacts):
        def now_us(self) -> int:
            return 1

    assert refused(Desk(Whole()), Probe()) == (
        RefusalCode.UNABLE,
        "these contacts carry out whole transactions; they cannot move single lines",
    )


def test_the_messages_of_a_probe_are_kept_apart() -> None:
    assert {KINDS[kind] for kind in (0x08, 0x88, 0x09, 0x89, 0x42, 0x43)} == {
        Probe,
        ProbeBegun,
        Load,
        Loaded,
        Edges,
        StepDone,
    }
    assert dataclasses.astuple(Loaded(5)) == (5,)
