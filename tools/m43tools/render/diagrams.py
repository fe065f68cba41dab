"""The tables of the code -> diagrams of the written spec: Mermaid for what follows what, SVG for when.

Nothing here was recorded: the timing diagrams are drawn by a simulated body and lens from the named delays of
`m43proto.timing`, and say so.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43proto.ends import PinBody
from m43proto.messages import PUBLIC, BodyCapability, Initialise, LinkCapability, SelectLinkMode
from m43proto.mount import Mount
from m43proto.pins import LINES
from m43proto.session import TRANSITIONS, Legality
from m43proto.shapes import SHAPES, Shape
from m43proto.states import State, Trigger
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from m43proto.turns import AFTER_COMMAND, TURNS, Phase
from m43tools.conformance.operations import Recording
from m43tools.conformance.report.diagram import diagram_of
from m43tools.conformance.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m43proto.ends import Script
    from m43proto.schema import Message
    from m43tools.conformance.model import Exchange

__all__ = ["TIMING_PICTURES", "same_timing", "session_diagram", "timing_picture", "turn_diagram", "words_in"]

PICTURED_LENS = "olympus-14-42"
PICTURED_BODY_TIMING, PICTURED_LENS_TIMING = "patient", "bell_lens"

_DRAWN_FROM = re.compile(r"drawn from the edges ([0-9a-f]{64})<")
_LABEL = re.compile(r'aria-label="([^"]*)"')
_SHOWN = re.compile(r"<tspan[^>]*>([^<]*)</tspan>")
_LONGEST_NS = 10**10
_MARGIN_NS = 15_000


def turn_diagram() -> str:
    """Return the grammar of a transaction as a Mermaid state diagram in a fence of Markdown."""
    rows = [f"    [*] --> {_name(Phase.COMMAND)}"]
    rows += [f"    {_name(phase)}: {phase}<br>({turn.sender})" for phase, turn in TURNS.items()]
    for phase, turn in TURNS.items():
        if turn.then is None:
            rows += [f"    {_name(phase)} --> {_target(AFTER_COMMAND[shape])}: {shape}" for shape in Shape]
        else:
            rows.append(f"    {_name(phase)} --> {_target(turn.then)}")
    return _fenced(rows)


def _target(phase: Phase) -> str:
    return "[*]" if phase is Phase.IDLE else _name(phase)


def _name(word: str) -> str:
    return word.replace(" ", "_")


def session_diagram() -> str:
    """Return the states of a session, and what leads from one to another, as Mermaid in a fence of Markdown.

    Only what is legal is drawn, and nothing that leaves a state as it was. What leads to one state from everywhere
    is drawn once, from a state of all.
    """
    edges: dict[tuple[State, State], list[Trigger]] = {}
    common = _common()
    for (state, trigger), row in TRANSITIONS.items():
        if row.legality is Legality.LEGAL and row.then is not state and trigger not in common:
            edges.setdefault((state, row.then), []).append(trigger)
    rows = ["    direction LR", f"    [*] --> {State.UNSEEN}", f"    [*] --> {State.OFF}"]
    rows += [f"    {one} --> {then}: {', '.join(triggers)}" for (one, then), triggers in edges.items()]
    rows += [f"    any --> {then}: {trigger}" for trigger, then in common.items()]
    rows += ["    any: any state"]
    return _fenced(rows)


def _common() -> dict[Trigger, State]:
    """Return the inputs that lead to one and the same state wherever they are legal, with that state."""
    found = {}
    for trigger in Trigger:
        rows = [TRANSITIONS[state, trigger] for state in State]
        thens = {row.then for row in rows if row.legality is Legality.LEGAL}
        if len(thens) == 1 and sum(row.legality is Legality.LEGAL for row in rows) > len(State) // 2:
            found[trigger] = thens.pop()
    return found


def _fenced(rows: Iterable[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *rows, "```", ""])


_PICTURED: dict[Shape, tuple[type[Message], bytes]] = {
    Shape.SET: (SelectLinkMode, b""),
    Shape.COMPLETE: (Initialise, b""),
    Shape.READ: (LinkCapability, b""),
    Shape.WRITE: (BodyCapability, bytes(4)),
}
"""The message that stands for each shape, the shortest of those that are known, and the data that the body writes."""

TIMING_PICTURES = {shape: f"timing-{shape}.svg" for shape in Shape}
"""The file of each timing diagram, in ``specs/pictures``."""

_STYLE = (
    ":root{--ink:#16191d;--ink-soft:#545c66;--rule:#d9dde2;--trace:#1d3557;--paper:#ffffff}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--ink-soft:#a4adb7;--rule:#30363c;--trace:#a9c7ee;"
    "--paper:#14171a}}svg{background:var(--paper)}"
)


def timing_picture(shape: Shape) -> str:
    """Return a timing diagram of a transaction of a shape, with its bytes, as an SVG file."""
    message, data = _PICTURED[shape]
    trace, start_ns, end_ns = _simulated(message.request(), data)
    seen = next(event for event in trace.messages if event.t_ns >= start_ns)
    exchange = trace.exchange(max(start_ns, seen.t_ns - 2 * _MARGIN_NS), end_ns)
    label = f"{message.spec.name}, shape {shape}: {SHAPES[shape].summary}; simulated"
    head, _, body = diagram_of(exchange, label).partition(">")
    drawn_from = f"<desc>Simulated; drawn from the edges {_digest(exchange)}</desc>"
    return f'{head} xmlns="http://www.w3.org/2000/svg">{drawn_from}<style>{_STYLE}</style>{body}\n'


def same_timing(held: str, fresh: str) -> bool:
    """Tell whether two pictures show the same edges and words, whatever the drawing library made of them."""
    return _DRAWN_FROM.findall(held) == _DRAWN_FROM.findall(fresh) and words_in(held) == words_in(fresh)


def words_in(picture: str) -> list[str]:
    """Return the words that a timing diagram shows, as it shows them, and first what it tells a screen reader."""
    return [*_LABEL.findall(picture), *_SHOWN.findall(picture)]


def _digest(exchange: Exchange) -> str:
    told = repr((sorted(exchange.initial.items()), exchange.t_ns, exchange.end_ns, exchange.edges))
    return hashlib.sha256(told.encode()).hexdigest()


def _simulated(command: bytes, data: bytes) -> tuple[Trace, int, int]:
    """Have a body carry out one transaction with a lens that is awake; return the traffic, and from when to when."""
    times: list[int] = []

    def script(body: PinBody) -> Script[None]:
        yield from body.power_up()
        times.append(body.now_ns)
        yield from body.transact(command, data)
        times.append(body.now_ns)
        yield _MARGIN_NS

    body = PinBody(BODY_TIMINGS[PICTURED_BODY_TIMING], script, PUBLIC.shape_of)
    glass = SimulatedLens(PROFILES[PICTURED_LENS])
    lens = pin_lens(glass, LENS_TIMINGS[PICTURED_LENS_TIMING], PUBLIC.shape_of)
    mount = Mount(body, lens)
    changes = tuple(mount.run(_LONGEST_NS, through=body))
    start_ns, end_ns = times
    return Trace(Recording(changes, end_ns + _MARGIN_NS, LINES)), start_ns, end_ns + _MARGIN_NS
