"""What a script of a simulated body can say: the tables `STEPS` and `SETTINGS`.

The help, the written spec and the reader of scripts all take them from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from m43drivers.simulator.body import ATTEMPTS, FRAME_HZ, FULL_SCAN, SimulatedBody, focus_drive
from m43proto.dialects import DIALECTS
from m43proto.encodings import F_NUMBER, FOCAL_LENGTH, nearest
from m43proto.errors import EncodeError
from m43proto.messages import Drive, SetFocusRing, SetStabilisation, StabilisationStatus
from m43proto.shapes import COMMAND_SIZE

if TYPE_CHECKING:
    from m43proto.ends import Script
    from m43proto.schema import Message

__all__ = ["LONGEST_S", "REQUIRED", "SETTINGS", "STEPS", "Key", "NotThisError", "StepKind", "Values"]

LONGEST_S = 3_600
"""How long a pause may last at most, in seconds."""

Values: TypeAlias = Mapping[str, Any]


# what a value must be


class NotThisError(Exception):
    """A value is not what a key takes; the reader of a script says so with file, step and key."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a step, or a setting of a script.

    Attributes:
        name: its name.
        doc: what it is, with its unit.
        expected: what its value must be, in words.
        example: a value, as it stands in TOML.
        check: returns the value to use; raises for one that does not fit.
        default: the value of a key that is left out; `REQUIRED` for one that may not be.
    """

    name: str
    doc: str
    expected: str
    example: str
    check: Callable[[Any], Any]
    default: Any


REQUIRED: Any = object()
"""Stands for the default of a key that has none."""


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise NotThisError
        return value

    return check


def _number(low: float, high: float, encode: Callable[[float], object] = float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise NotThisError
        try:
            encode(value)
        except EncodeError:
            raise NotThisError from None
        return value

    return check


def _word(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            raise NotThisError
        return str(value)

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise NotThisError
    return value


def _bytes(value: Any) -> bytes:
    try:
        return bytes.fromhex(_text(value))
    except ValueError:
        raise NotThisError from None


def _command(value: Any) -> bytes:
    command = _bytes(value)
    if len(command) != COMMAND_SIZE:
        raise NotThisError
    return command


def _block(value: Any) -> bytes:
    block = _bytes(value)
    if len(block) > 0xFFFE:
        raise NotThisError
    return block


def _whole_key(name: str, doc: str, low: int, high: int, example: str, default: Any = REQUIRED) -> Key:
    return Key(name, doc, f"a whole number from {low} to {high}", example, _whole(low, high), default)


def _word_key(name: str, doc: str, words: tuple[str, ...], default: Any = REQUIRED) -> Key:
    return Key(name, doc, f"one of {', '.join(words)}", f'"{words[0]}"', _word(*words), default)


def _words_of(kind: type[Message], name: str) -> tuple[str, ...]:
    [found] = [one for one in kind.spec.fields if one.name == name]
    assert found.encoding.labels is not None
    return tuple(found.encoding.labels.values())


# steps


@dataclass(frozen=True, slots=True)
class StepKind:
    """One row of `STEPS`.

    Attributes:
        name: what scripts call it.
        doc: what it does.
        run: from the body and the values of the keys to a script of the pins.
        keys: what it takes.
        lasts_s: about how long it takes, in seconds at so many frames per second; for progress only.
        needs_lens: whether it is what a hand does, for which there must be a simulated lens.
        message: the message that the catalogue must know.
    """

    name: str
    doc: str
    run: Callable[[SimulatedBody, Values], Script[Any]]
    keys: tuple[Key, ...] = ()
    lasts_s: Callable[[Values, float], float] = lambda values, frame_hz: 0.003
    needs_lens: bool = False
    message: type[Message] | None = None


def _one_frame(values: Values, frame_hz: float) -> float:
    return 1 / frame_hz


def _set_aperture(body: SimulatedBody, values: Values) -> Script[None]:
    return body.drive(Drive(aperture_operation="set", aperture_f=values["f"]))


def _move_focus(body: SimulatedBody, values: Values) -> Script[None]:
    return body.drive(focus_drive(values["position"]))


def _scan(body: SimulatedBody, values: Values) -> Script[None]:
    return body.drive(Drive(focus_operation="scan", focus_target=FULL_SCAN, unknown_7=b"\5\0"))


def _transact(body: SimulatedBody, values: Values) -> Script[None]:
    return body.send(values["command"], values["block"])


def _pause(body: SimulatedBody, values: Values) -> Script[None]:
    return body.pause(nearest(values["ms"] * 1_000_000))


def _by_hand(act: Callable[[SimulatedBody, Values], None]) -> Callable[[SimulatedBody, Values], Script[None]]:
    def run(body: SimulatedBody, values: Values) -> Script[None]:
        act(body, values)
        yield 0

    return run


def _turn_zoom(body: SimulatedBody, values: Values) -> None:
    assert body.hand is not None
    body.hand.turn_zoom(values["step"], body.now_ns)


def _turn_focus_ring(body: SimulatedBody, values: Values) -> None:
    assert body.hand is not None
    body.hand.turn_focus_ring(values["counts"], body.now_ns)


def _yank(body: SimulatedBody, values: Values) -> None:
    assert body.hand is not None
    body.hand.yank()


_ROWS = (
    StepKind(
        "power_up",
        "Wakes the lens: SLEEP, BODY_ACK, the wake pulse; without one, switches off and tries again.",
        lambda body, values: body.power_up(),
        lasts_s=lambda values, frame_hz: 0.045,
    ),
    StepKind(
        "start_up",
        "Sends the commands of the start-up in their order, 1 ms apart, with the clock hold behind SelectLinkMode. "
        "The set-up drive then goes with the second poll.",
        lambda body, values: body.start_up(),
        lasts_s=lambda values, frame_hz: 0.5,
    ),
    StepKind(
        "poll",
        "Reads the status once a frame: SHUTTER pulse, Status, FOCUS.",
        lambda body, values: body.poll(values["frames"]),
        (_whole_key("frames", "for how many frames", 1, 1_000_000, "30", 1),),
        lasts_s=lambda values, frame_hz: values["frames"] / frame_hz,
    ),
    StepKind(
        "aperture",
        "Sets the aperture, with a drive behind the poll of the next frame.",
        _set_aperture,
        (
            Key(
                "f",
                "f-number",
                "an f-number from 1 to 180",
                "5.6",
                _number(1, 180, F_NUMBER.encode),
                REQUIRED,
            ),
        ),
        lasts_s=_one_frame,
    ),
    StepKind(
        "focus",
        "Moves the focus, with a drive behind the poll of the next frame.",
        _move_focus,
        (
            _whole_key(
                "position", "target in counts of the focus motor; the scale differs per lens", -32768, 32767, "120"
            ),
        ),
        lasts_s=_one_frame,
    ),
    StepKind(
        "scan",
        "Runs the focus towards its far end stop, with a drive behind the poll of the next frame.",
        _scan,
        lasts_s=_one_frame,
    ),
    StepKind(
        "ring",
        "Sets which way the focus follows the focus ring.",
        lambda body, values: body.set_focus_ring(values["direction"]),
        (_word_key("direction", "the way", _words_of(SetFocusRing, "ring_direction")),),
    ),
    StepKind(
        "stabilise",
        "Provisional: sets the stabilisation.",
        lambda body, values: body.stabilise(values["mode"], values["corrector"], values["focal_mm"]),
        (
            _word_key("mode", "what is corrected", _words_of(SetStabilisation, "mode")),
            _word_key("corrector", "who corrects", _words_of(SetStabilisation, "corrector"), "lens"),
            Key(
                "focal_mm",
                "focal length in mm that the corrector reckons with",
                "a focal length from 1 to 6500 mm",
                "14",
                _number(1, 6500, FOCAL_LENGTH.encode),
                REQUIRED,
            ),
        ),
        message=SetStabilisation,
    ),
    StepKind(
        "stabiliser",
        "Provisional: asks what the stabiliser does.",
        lambda body, values: body.read_stabiliser(),
        message=StabilisationStatus,
    ),
    StepKind(
        "transact",
        "Carries out any transaction, at once.",
        _transact,
        (
            Key("command", "the command", "four bytes in hexadecimal", '"60 f0 00 00"', _command, REQUIRED),
            Key(
                "block",
                "the data to write, without length and sum, for a command of shape write",
                "bytes in hexadecimal",
                '"00 d1 00 02"',
                _block,
                b"",
            ),
        ),
    ),
    StepKind(
        "pause",
        "Lets time pass; frames that would begin in it are left out.",
        _pause,
        (
            Key(
                "ms",
                "how long, in milliseconds",
                f"a number from 0 to {LONGEST_S * 1000}",
                "20",
                _number(0, LONGEST_S * 1000),
                REQUIRED,
            ),
        ),
        lasts_s=lambda values, frame_hz: values["ms"] / 1000,
    ),
    StepKind(
        "power_down",
        "Switches the lens off after 100 ms: SLEEP falls.",
        lambda body, values: body.power_down(),
        lasts_s=lambda values, frame_hz: 0.1,
    ),
    StepKind(
        "zoom",
        "A hand turns the zoom ring.",
        _by_hand(_turn_zoom),
        (_whole_key("step", "zoom step, 0 = wide; as far as the lens goes", 0, 255, "10"),),
        needs_lens=True,
    ),
    StepKind(
        "turn_focus",
        "A hand turns the focus ring.",
        _by_hand(_turn_focus_ring),
        (
            _whole_key(
                "counts", "how far, in counts of the focus motor, in the ring's own direction", -10_000, 10_000, "40"
            ),
        ),
        needs_lens=True,
    ),
    StepKind(
        "yank", "A hand takes the lens away: nothing drives its lines any more.", _by_hand(_yank), needs_lens=True
    ),
)

STEPS: dict[str, StepKind] = {kind.name: kind for kind in _ROWS}
"""What a script can do, by name."""

SETTINGS: dict[str, Key] = {
    key.name: key
    for key in (
        Key("about", "what the script is for", "a sentence", '"Polls."', _text, ""),
        _word_key("dialect", "how the body starts and polls the lens; `--body` overrides it", tuple(DIALECTS), None),
        Key("frame_hz", "frames per second", "a number from 1 to 240", "60", _number(1, 240), FRAME_HZ),
        _whole_key("attempts", "how often a transaction is tried in all (a poll is not)", 1, 10, "3", ATTEMPTS),
    )
}
"""The settings of a script, beside its steps."""
