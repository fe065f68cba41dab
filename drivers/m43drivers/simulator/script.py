"""Scripts of a simulated body: small TOML files, or Python.

A script in TOML is a list of steps, each an entry of `STEPS`, and a few settings::

    about = "Closes the iris and opens it again."
    dialect = "E-P1"
    step = ["power_up", "start_up", {do = "aperture", f = 8}, {do = "poll", frames = 20}, {do = "aperture", f = 4}]

``[[step]]`` tables mean the same. A script in Python is a file with a function ``script(body)``, a generator that takes
a `SimulatedBody`; it is executed like any program that its user runs.
"""

from __future__ import annotations

import difflib
import inspect
import runpy
import tomllib
import traceback
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m43drivers.simulator.body import ATTEMPTS, FRAME_HZ
from m43drivers.simulator.steps import REQUIRED, SETTINGS, STEPS, Key, NotThisError, StepKind, Values
from m43proto.dialects import DIALECTS
from m43proto.errors import M43Error
from m43proto.pins import Role
from m43proto.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from importlib.resources.abc import Traversable

    from m43drivers.simulator.body import SimulatedBody
    from m43proto.catalogue import Catalogue
    from m43proto.dialects import Dialect
    from m43proto.ends import Script

__all__ = [
    "DEFAULT_DIALECT",
    "BodyScript",
    "ScriptError",
    "Step",
    "load_script",
    "parse_script",
    "script_names",
    "step",
]

DEFAULT_DIALECT = "E-PL1"


class ScriptError(M43Error):
    """A script that cannot be run; the text is one line: file, step, key, what was expected, what to do."""


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
        return _guarded(self.name, self.function, body) if self.function else self._all_steps(body)

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


def _guarded(name: str, function: Callable[[SimulatedBody], Script[None]], body: SimulatedBody) -> Script[None]:
    """Run a script in Python; what goes wrong in it is its own fault, and told in a line."""
    try:
        yield from function(body)
    except ScriptError:
        raise
    except Exception as error:
        raise ScriptError(f"{name}: {_reason(error, name)}") from error


def _reason(error: Exception, name: str) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    at = f"line {lines[-1]}: " if lines else ""
    return f"{at}{type(error).__name__}: {' '.join(str(error).split())}"


# reading


def script_names() -> tuple[str, ...]:
    """Return the names of the scripts that come with the project."""
    return tuple(sorted(Path(item.name).stem for item in _shipped() if item.name.endswith(".toml")))


def _shipped() -> Iterator[Traversable]:
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
        raise ScriptError(f"{path}: the file is broken: {_reason(error, str(path))}") from None
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
        raise ScriptError(f'{name}: step: expected a list of steps, found none; write step = ["power_up", "start_up"]')
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
    except NotThisError:
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
