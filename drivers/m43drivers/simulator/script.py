"""Scripts of a simulated body: small TOML files, or Python.

A script in TOML is a list of steps, each an entry of `STEPS`, and a few settings::

    about = "Closes the iris and opens it again."
    dialect = "E-P1"
    step = ["power_up", "init", {do = "aperture", f = 8}, {do = "poll", frames = 20}, {do = "aperture", f = 4}]

``[[step]]`` tables mean the same. A script in Python is a file with a function ``script(body)``, a generator that takes
a `SimulatedBody`; it is executed like any program that its user runs.
"""

from __future__ import annotations

import difflib
import inspect
import runpy
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from m43drivers.simulator.body import ATTEMPTS, FRAME_HZ, FULL_SCAN, SimulatedBody, focus_drive
from m43proto.encodings import F_NUMBER, FOCAL_LENGTH, nearest
from m43proto.errors import EncodeError, M43Error
from m43proto.messages import Drive, SetFocusRing, SetStabilisation, StabilisationStatus
from m43proto.pins import Role
from m43proto.session import DIALECTS
from m43proto.shapes import COMMAND_SIZE, SHAPES

if TYPE_CHECKING:
    from m43proto.catalogue import Catalogue
    from m43proto.ends import Script
    from m43proto.schema import Message
    from m43proto.session import Dialect

__all__ = [
    "DEFAULT_DIALECT",
    "LONGEST_S",
    "SETTINGS",
    "STEPS",
    "BodyScript",
    "Key",
    "ScriptError",
    "Step",
    "StepKind",
    "load_script",
    "parse_script",
    "script_names",
    "step",
]

DEFAULT_DIALECT = "E-PL1"

LONGEST_S = 3_600
"""How long a step may last at most, in seconds."""

Values: TypeAlias = Mapping[str, Any]


class ScriptError(M43Error):
    """A script that cannot be run; the text is one line: file, step, key, what was expected, what to do."""


# what a value must be


class _NotThisError(Exception):
    """A value is not what a key takes; never leaves this room."""


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
            raise _NotThisError
        return value

    return check


def _number(low: float, high: float, encode: Callable[[float], object] = float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _NotThisError
        try:
            encode(value)
        except EncodeError:
            raise _NotThisError from None
        return value

    return check


def _word(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            raise _NotThisError
        return str(value)

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _NotThisError
    return value


def _bytes(value: Any) -> bytes:
    try:
        return bytes.fromhex(_text(value))
    except ValueError:
        raise _NotThisError from None


def _command(value: Any) -> bytes:
    command = _bytes(value)
    if len(command) != COMMAND_SIZE:
        raise _NotThisError
    return command


def _block(value: Any) -> bytes:
    block = _bytes(value)
    if len(block) > 0xFFFE:
        raise _NotThisError
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
        "init",
        "Sends the commands of the start-up in their order, 1 ms apart, with the clock hold behind SelectLinkMode. "
        "The set-up drive then goes with the second poll.",
        lambda body, values: body.initialise(),
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
            Key("command", "the command", "four bytes in hexadecimal", '"c3 f0 00 00"', _command, REQUIRED),
            Key(
                "block",
                "the data to write, without length and sum, for a command of shape write",
                "bytes in hexadecimal",
                '"01 00"',
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
    StepKind("power_down", "Switches the lens off: SLEEP falls.", lambda body, values: body.power_down()),
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


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script.

    Attributes:
        kind: what it does.
        values: the values of all its keys.
    """

    kind: StepKind
    values: Values


def step(do: str, **values: Any) -> Step:
    """Return a step.

    Args:
        do: a name in `STEPS`.
        values: its keys.

    Raises:
        ScriptError: there is no such step, or a value does not fit.
    """
    return _step_of({"do": do, **values}, do)


@dataclass(frozen=True, slots=True)
class BodyScript:
    """What a simulated body does.

    Attributes:
        name: what to call it.
        steps: in order; empty for one in Python.
        about: what it is for.
        dialect: a name in `DIALECTS`; None for whatever else is asked for.
        frame_hz: frames per second.
        attempts: how often a transaction is tried in all.
        function: the script itself, for one in Python.
    """

    name: str
    steps: tuple[Step, ...] = ()
    about: str = ""
    dialect: str | None = None
    frame_hz: float = FRAME_HZ
    attempts: int = ATTEMPTS
    function: Callable[[SimulatedBody], Script[None]] | None = field(default=None, compare=False)

    def run(self, body: SimulatedBody) -> Script[None]:
        """Return the script of the pins."""
        return self.function(body) if self.function else self._all_steps(body)

    def _all_steps(self, body: SimulatedBody) -> Script[None]:
        for one in self.steps:
            yield from one.kind.run(body, one.values)

    def dialect_for(self, asked: str | None) -> Dialect:
        """Return the dialect that is asked for, or else the script's own, or else the usual one."""
        return DIALECTS[asked or self.dialect or DEFAULT_DIALECT]

    @property
    def lasts_ns(self) -> int:
        """About how long it takes when all goes well, in nanoseconds; 0 when nobody knows."""
        return round(sum(one.kind.lasts_s(one.values, self.frame_hz) for one in self.steps) * 1e9)

    def check(self, catalogue: Catalogue, *, has_lens: bool) -> None:
        """Refuse what cannot be done.

        Args:
            catalogue: the messages that the body knows.
            has_lens: whether there is a simulated lens whose rings a hand can turn.

        Raises:
            ScriptError: a step needs a message, a shape or a lens that is not there.
        """
        for number, one in enumerate(self.steps, 1):
            where, kind = f"{self.name}: step {number}: {one.kind.name}", one.kind
            if kind.message is not None and catalogue.find(kind.message.spec.opcode) is None:
                raise ScriptError(f"{where} is provisional; allow it: m43 --catalogue provisional simulate ...")
            if kind.needs_lens and not has_lens:
                raise ScriptError(f"{where} needs a simulated lens; m43 simulate session has one")
            if "command" in one.values:
                _check_shape(where, one.values["command"], one.values["block"], catalogue)


def _check_shape(where: str, command: bytes, block: bytes, catalogue: Catalogue) -> None:
    shape = catalogue.shape_of(command)
    if shape is None:
        nibbles = ", ".join(f"{row.nibble:x}" for row in SHAPES.values())
        raise ScriptError(f"{where}: command {command.hex(' ')} has no known shape; known first digits: {nibbles}")
    if block and SHAPES[shape].block_sender is not Role.BODY:
        raise ScriptError(f"{where}: block: a command of shape {shape} takes no block; leave it out")


# reading


def script_names() -> tuple[str, ...]:
    """Return the names of the scripts that come with the project."""
    return tuple(sorted(Path(item.name).stem for item in _shipped() if item.name.endswith(".toml")))


def _shipped() -> Iterator[resources.abc.Traversable]:
    return (resources.files("m43drivers.simulator") / "scripts").iterdir()


def load_script(name: str) -> BodyScript:
    """Return a script by its name, or from a file whose name ends in ``.toml`` or ``.py``.

    Raises:
        ScriptError: there is no such script or file, or it cannot be run.
    """
    if name in script_names():
        text = (resources.files("m43drivers.simulator") / "scripts" / f"{name}.toml").read_text(encoding="utf-8")
        return parse_script(text, name)
    reader = _READERS.get(Path(name).suffix.lower())
    if reader is None:
        raise ScriptError(f"no script is called {name}; scripts: {', '.join(script_names())}, or a file .toml or .py")
    return reader(Path(name))


def _from_toml(path: Path) -> BodyScript:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScriptError(f"{path}: is no UTF-8 text; save it as UTF-8") from None
    return parse_script(text, str(path))


def _from_python(path: Path) -> BodyScript:
    if not path.is_file():
        raise ScriptError(f"{path}: no such file")
    try:
        names = runpy.run_path(str(path), run_name=f"m43_script_{path.stem}")
    except Exception as error:
        raise ScriptError(
            f"{path}: the file is broken: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from None
    function = names.get("script")
    if not inspect.isgeneratorfunction(function):
        raise ScriptError(
            f"{path}: expected a generator function script(body), found none; write def script(body): ..."
        )
    return BodyScript(str(path), about=inspect.getdoc(function) or "", function=function)


_READERS: dict[str, Callable[[Path], BodyScript]] = {".toml": _from_toml, ".py": _from_python}


def parse_script(text: str, name: str) -> BodyScript:
    """Return a script from TOML.

    Args:
        text: the file.
        name: what to call it in errors.

    Raises:
        ScriptError: it is no script; the text names step and key.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(f"{name}: is no TOML: {error}") from None
    steps = table.pop("step", None)
    settings = _values_of(table, SETTINGS, name, "a script")
    if not isinstance(steps, list) or not steps:
        raise ScriptError(f'{name}: step: expected a list of steps, found none; write step = ["power_up", "init"]')
    parsed = tuple(_step_of(item, f"{name}: step {number}") for number, item in enumerate(steps, 1))
    return BodyScript(name, parsed, **settings)


def _step_of(item: Any, where: str) -> Step:
    table = {"do": item} if isinstance(item, str) else item
    if not isinstance(table, dict) or not isinstance(table.get("do"), str):
        raise ScriptError(f'{where}: do: expected the name of a step, found {_shown(item)}; write do = "poll"')
    kind = STEPS.get(table["do"])
    if kind is None:
        raise ScriptError(f"{where}: do: no step is called {table['do']}; {_hint(table['do'], STEPS)}")
    given = {key: value for key, value in table.items() if key != "do"}
    keys = {key.name: key for key in kind.keys}
    return Step(kind, _values_of(given, keys, where, kind.name))


def _values_of(given: Values, keys: Mapping[str, Key], where: str, what: str) -> dict[str, Any]:
    stranger = next((name for name in given if name not in keys), None)
    if stranger is not None:
        raise ScriptError(f"{where}: {stranger}: {what} takes no such key; {_hint(stranger, keys)}")
    return {name: _value_of(given, key, where) for name, key in keys.items()}


def _value_of(given: Values, key: Key, where: str) -> Any:
    if key.name not in given:
        if key.default is REQUIRED:
            raise ScriptError(f"{where}: {key.name}: expected {key.expected}, found nothing; {_example(key)}")
        return key.default
    try:
        return key.check(given[key.name])
    except _NotThisError:
        found = _shown(given[key.name])
        raise ScriptError(f"{where}: {key.name}: expected {key.expected}, found {found}; {_example(key)}") from None


def _example(key: Key) -> str:
    return f"write {key.name} = {key.example}"


def _hint(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
