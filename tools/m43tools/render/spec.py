"""The tables of the code -> the tables of the written spec, between the markers in ``specs/*.md``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from m43drivers.bridge.probe import INSTRUCTIONS
from m43drivers.bridge.protocol import KINDS, Polled, fields_of
from m43drivers.simulator.faults import FAULTS
from m43drivers.simulator.profiles import PROFILES
from m43drivers.simulator.script import load_script, script_names
from m43drivers.simulator.steps import REQUIRED, SETTINGS, STEPS
from m43proto.errors import M43Error
from m43proto.evidence import SOURCES, Evidence
from m43proto.messages import PROVISIONAL, PUBLIC
from m43proto.pins import PINS
from m43proto.schema import Part
from m43proto.session import TIMEOUTS, TRANSITIONS, Legality
from m43proto.shapes import COMMAND_SIZE, SHAPES
from m43proto.states import State, Trigger
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS, BodyTiming, LensTiming, delays_of
from m43proto.turns import TURNS, Phase
from m43tools.render.conformance import CONFORMANCE_TABLES
from m43tools.render.diagrams import session_diagram, turn_diagram
from m43tools.render.packets import CAUSE_CODES, FLAGS, HEADER, PIN_EVENT_CODES, REMARK_CODES, PacketKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from m43drivers.simulator.faults import Fault
    from m43drivers.simulator.profiles import Profile
    from m43drivers.simulator.steps import Key, StepKind
    from m43proto.schema import Field, Message, MessageSpec

__all__ = ["MarkerError", "filled", "markdown"]

_MARKED = re.compile(
    r"^(<!-- generated: (?P<what>[^>]+?) -->\n)(?P<body>.*?)^(<!-- end generated -->)$", re.DOTALL | re.MULTILINE
)
_OPENING = re.compile(r"^<!-- generated: ", re.MULTILINE)

_CATALOGUE = PUBLIC | PROVISIONAL


class MarkerError(M43Error):
    """A marker in a page of the spec is broken or names no table."""


def filled(page: str, name: str, more: Mapping[str, Callable[[], str]] | None = None) -> str:
    """Return a page with every pair of markers filled from the tables.

    Args:
        page: Markdown text.
        name: what to call the page in errors.
        more: tables of this page alone, by name: functions that return Markdown.

    Raises:
        MarkerError: a pair is broken, or names no table.
    """
    pairs = len(_MARKED.findall(page))
    if pairs != len(_OPENING.findall(page)):
        raise MarkerError(f"{name}: a '<!-- generated: ... -->' has no '<!-- end generated -->'")
    return _MARKED.sub(
        lambda match: match[1] + "\n" + _table(match["what"], name, _TABLES | dict(more or {})) + "\n" + match[4], page
    )


def _table(what: str, name: str, tables: Mapping[str, Callable[[], str]]) -> str:
    kind, _, argument = what.partition(" ")
    if kind == "message":
        return _message_table(argument, name)
    if what in CONFORMANCE_TABLES:
        return markdown(*CONFORMANCE_TABLES[what](_cited))
    if what not in tables:
        known = ", ".join([*tables, *CONFORMANCE_TABLES])
        raise MarkerError(f"{name}: no table is called {what!r}; tables: {known}, message NAME")
    return tables[what]()


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _cited(citation: str) -> str:
    """Return a citation with numbers: ``BELL@bb20aad`` becomes ``[1] bb20aad``."""
    return ", ".join(_numbered(part.strip()) for part in citation.split(","))


def _numbered(part: str) -> str:
    key, _, place = part.partition("@")
    number = SOURCES[key].number
    return f"[{number}] {place}".strip() if number else "this project"


def _evidence_table() -> str:
    return markdown(("level", "mark", "meaning"), [(f"`{level}`", level.mark, level.meaning) for level in Evidence])


def _pin_table() -> str:
    return markdown(
        ("line", "driven by", "idle", "purpose", "evidence", "source"),
        [
            (
                pin.line,
                " and ".join(pin.drivers),
                "unknown" if pin.idle is None else str(pin.idle),
                pin.purpose,
                pin.evidence,
                _cited(pin.source),
            )
            for pin in PINS
        ],
    )


def _shape_table() -> str:
    return markdown(
        ("shape", "first nibble", "after the command sum", "evidence", "source"),
        [
            (f"`{row.shape}` ({row.letter})", f"{row.nibble:X}", row.summary, row.evidence, _cited(row.source))
            for row in SHAPES.values()
        ],
    )


def _turn_table() -> str:
    def then(phase: Phase | None) -> str:
        return "as the shape says" if phase is None else phase

    return markdown(
        ("phase", "DATA is driven by", "bytes", "then"),
        [
            (phase, turn.sender, "length - 1" if turn.size is None else str(turn.size), then(turn.then))
            for phase, turn in TURNS.items()
        ],
    )


def _messages_table() -> str:
    return markdown(
        ("section", "name", "command", "shape", "what it does", "evidence", "source"),
        [_message_row(kind.spec) for kind in _CATALOGUE],
    )


def _message_row(spec: MessageSpec) -> tuple[str, ...]:
    return (
        f"§{spec.section}",
        f"`{spec.name}`",
        f"`{spec.opcode.hex(' ').upper()}`",
        spec.shape,
        spec.doc,
        spec.evidence,
        _cited(spec.source),
    )


def _message_table(name: str, page: str) -> str:
    kind: type[Message] | None = _CATALOGUE.named(name)
    if kind is None:
        raise MarkerError(f"{page}: no message is called {name!r}")
    spec = kind.spec
    head = f"Command `{spec.opcode.hex(' ').upper()}`, shape {spec.shape}, {spec.evidence} ({_cited(spec.source)}).\n\n"
    return head + markdown(
        ("where", "bytes", "field", "what it is", "encoding", "unit", "evidence", "source"),
        [_field_row(field) for field in spec.fields],
    )


def _field_row(field: Field) -> tuple[str, ...]:
    return (
        _WHERE[field.part],
        _span(field),
        f"`{field.name}`",
        field.doc,
        field.encoding.formula,
        field.unit,
        field.evidence,
        _cited(field.source),
    )


def _faults_table() -> str:
    return markdown(
        ("fault", "kind", "what the lens does wrong", "what `m43 sniff` shows", "without `@N`"),
        [(f"`{row.name}`", row.kind, row.doc, row.shown, _where(row)) for row in FAULTS.values()],
    )


def _where(fault: Fault) -> str:
    """Return where a fault strikes when nobody says."""
    if fault.at is None:
        return "always; `@N`: from there on" if fault.lasting else "always; `@N`: only there"
    return f"{fault.unit} {fault.at}{', and from there on' if fault.lasting else ''}"


def _profiles_table() -> str:
    return markdown(
        ("profile", "lens", "identity", "what is special", "what is made up"),
        [
            (f"`{row.name}`", row.lens.name, row.lens.id_text, ", ".join(_special(row)) or "-", row.synthetic)
            for row in PROFILES.values()
        ],
    )


def _special(profile: Profile) -> Iterator[str]:
    if not profile.zoom_steps:
        yield "prime"
    if profile.power_zoom:
        yield "power zoom"
    if profile.stabilisation is not None:
        yield "stabilised"
    if profile.adapter:
        yield "Four Thirds, on an adapter"


def _states_table() -> str:
    return markdown(("state", "meaning"), [(f"`{state}`", state.meaning) for state in State])


def _transitions_table() -> str:
    return markdown(
        ("in state", *(f"`{trigger}`" for trigger in Trigger)),
        [(f"`{state}`", *(_transition(state, trigger) for trigger in Trigger)) for state in State],
    )


def _transition(state: State, trigger: Trigger) -> str:
    row = TRANSITIONS[state, trigger]
    if row.legality is Legality.ILLEGAL:
        return "-"
    return f"{row.then}{' ?' if row.legality is Legality.UNTRIED else ''}"


def _triggers_table() -> str:
    return markdown(("trigger", "what happens"), [(f"`{trigger}`", trigger.meaning) for trigger in Trigger])


def _timeouts_table() -> str:
    return markdown(
        ("wait", "limit", "for what", "evidence", "source"),
        [
            (f"`{wait}`", f"{row.limit_ns / 1e6:g} ms", row.doc, row.evidence, _cited(row.source))
            for wait, row in TIMEOUTS.items()
        ],
    )


def _delays_table(kind: type[BodyTiming] | type[LensTiming], named: Mapping[str, BodyTiming | LensTiming]) -> str:
    return markdown(
        ("delay", "from where to where", *(f"`{name}`" for name in named), "evidence", "source"),
        [
            (
                f"`{name}`",
                delay.doc,
                *(f"{getattr(timing, name) / 1_000:g}" for timing in named.values()),
                delay.evidence,
                _cited(delay.source),
            )
            for name, delay in delays_of(kind).items()
        ],
    )


def _steps_table() -> str:
    return markdown(
        ("step", "what it does", "keys", "example"),
        [
            (f"`{row.name}`", row.doc, "; ".join(map(_key_told, row.keys)) or "-", _written(row))
            for row in STEPS.values()
        ],
    )


def _written(row: StepKind) -> str:
    given = ", ".join(f"{key.name} = {key.example}" for key in row.keys)
    return f'`{{do = "{row.name}", {given}}}`' if given else f'`"{row.name}"`'


def _key_told(key: Key) -> str:
    return f"`{key.name}`: {key.doc} ({key.expected}{_usual(key)})"


def _usual(key: Key) -> str:
    if key.default is REQUIRED:
        return ""
    return "; may be left out" if key.default in (None, "", b"") else f"; {key.default} unless given"


def _settings_table() -> str:
    return markdown(
        ("setting", "what it is", "value", "unless given", "example"),
        [
            (
                f"`{row.name}`",
                row.doc,
                row.expected,
                "-" if row.default in (None, "") else str(row.default),
                f"`{row.name} = {row.example}`",
            )
            for row in SETTINGS.values()
        ],
    )


def _scripts_table() -> str:
    return markdown(("script", "what it does"), [(f"`{name}`", load_script(name).about) for name in script_names()])


def _bridge_messages_table() -> str:
    return markdown(
        ("kind", "message", "from", "what it does", "may be repeated"),
        [
            (
                f"`{kind:02X}`",
                f"`{message.__name__}`",
                "bridge" if _is_of_bridge(kind) else "host",
                (message.__doc__ or "").strip(),
                "-" if _is_of_bridge(kind) else "yes" if message.repeatable else "no",
            )
            for kind, message in KINDS.items()
        ],
    )


def _is_of_bridge(kind: int) -> bool:
    return kind >= Polled.kind


def _bridge_fields_table() -> str:
    return markdown(
        ("message", "field", "on the wire", "what it is"),
        [
            (f"`{message.__name__}`", f"`{name}`", part.wire, part.doc)
            for message in KINDS.values()
            for name, part in fields_of(message).items()
        ],
    )


def _probe_instructions_table() -> str:
    rows = [
        (f"`{number:02X}`", f"`{name}`", f"`{form}`" if form else "", doc)
        for number, (name, form, doc) in enumerate(INSTRUCTIONS)
    ]
    return markdown(("number", "instruction", "operands", "what it does"), rows)


_WHERE = {Part.ARGUMENT: "command", Part.BLOCK: "block", Part.STATUS: "status"}


def _packet_header_table() -> str:
    offsets = [sum(field.size for field in HEADER[:index]) for index in range(len(HEADER))]
    return markdown(
        ("offset", "bytes", "field", "what it is"),
        [(str(at), str(field.size), f"`{field.name}`", field.doc) for at, field in zip(offsets, HEADER, strict=True)],
    )


def _packet_kinds_table() -> str:
    return markdown(("kind", "what the packet tells"), [(str(int(one)), one.meaning) for one in PacketKind])


def _packet_flags_table() -> str:
    return markdown(("flag", "what there is"), [(f"{mask:04X}", f"`{name}`") for name, mask in FLAGS.items()])


def _packet_codes_table(heading: str, codes: Mapping[Any, int]) -> str:
    return markdown(("code", heading), [(str(code), f"`{name}`") for name, code in codes.items()])


_TABLES: dict[str, Callable[[], str]] = {
    "evidence": _evidence_table,
    "pins": _pin_table,
    "shapes": _shape_table,
    "turns": _turn_table,
    "turn diagram": turn_diagram,
    "messages": _messages_table,
    "states": _states_table,
    "triggers": _triggers_table,
    "transitions": _transitions_table,
    "session diagram": session_diagram,
    "timeouts": _timeouts_table,
    "body delays": lambda: _delays_table(BodyTiming, BODY_TIMINGS),
    "lens delays": lambda: _delays_table(LensTiming, LENS_TIMINGS),
    "faults": _faults_table,
    "profiles": _profiles_table,
    "scripts": _scripts_table,
    "steps": _steps_table,
    "settings": _settings_table,
    "bridge messages": _bridge_messages_table,
    "bridge fields": _bridge_fields_table,
    "packet header": _packet_header_table,
    "packet kinds": _packet_kinds_table,
    "packet flags": _packet_flags_table,
    "packet events": lambda: _packet_codes_table("event", PIN_EVENT_CODES),
    "packet causes": lambda: _packet_codes_table("cause", CAUSE_CODES),
    "packet remarks": lambda: _packet_codes_table("remark", REMARK_CODES),
    "probe instructions": _probe_instructions_table,
}


def _span(field: Field) -> str:
    """Return the bytes of a field: counted from the start of the command, of the block's data, or of the status."""
    start = field.offset + (COMMAND_SIZE - 2 if field.part is Part.ARGUMENT else 0)
    if field.encoding.size is None:
        return f"{start}-"
    return str(start) if field.encoding.size == 1 else f"{start}-{start + field.encoding.size - 1}"
