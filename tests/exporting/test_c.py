"""The exported C: compilers take it without a word, and it does byte by byte what the Python engine does."""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m43proto import PROVISIONAL, PUBLIC
from m43proto.checksum import wire_sum
from m43proto.drafts import Draft
from m43proto.events import RequestSeen, TransactionSeen, Violation
from m43proto.exchange import BodyExchange, LensExchange
from m43proto.pins import Role
from m43proto.shapes import SHAPES, Shape
from m43proto.turns import TURNS, Phase
from m43tools.cli import main
from m43tools.exporting.c import c_message
from m43tools.library import EXPECTED
from tests.exporting.test_sigrok import FOLDERS, records

if TYPE_CHECKING:
    from m43proto.schema import Message

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tools" / "c"
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow")
COMPILER = shutil.which("gcc") or shutil.which("clang")
KNOWN = PUBLIC | PROVISIONAL
MORE, COMPLETE, UNKNOWN_SHAPE, NO_ROOM, OUT_OF_TURN = range(5)
CAPACITY = 0x10000

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="neither gcc nor clang is installed")


def compiled(compiler: str, folder: Path, target: Path, *flags: str) -> str:
    command = [compiler, *FLAGS, *flags, "-o", str(target), str(folder / "m43.c")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return f"{run.returncode} {run.stdout}{run.stderr}"


@pytest.mark.parametrize("flags", [(), ("-DM43_PROVISIONAL",)], ids=["public", "provisional"])
@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-none-eabi-gcc"])
def test_compilers_say_nothing(compiler: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    assert compiled(compiler, SOURCES, tmp_path / "m43.o", "-c", "-O2", *flags) == "0 "


ADVISORY = {"misra-c2012-2.5", "misra-c2012-8.7", "misra-c2012-8.9"}
"""Macros, functions and tables that one user of the header does not use, or only once: it is a library."""


def test_a_misra_checker_finds_nothing_required() -> None:
    checker = shutil.which("cppcheck")
    if checker is None:
        pytest.skip("cppcheck is not installed")
    command = [
        checker,
        "--addon=misra",
        "--std=c99",
        "--enable=style",
        "-q",
        "-DM43_PROVISIONAL",
        str(SOURCES / "m43.c"),
    ]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stderr
    found = set(re.findall(r"misra-c2012-[0-9.]+", said))
    assert found
    assert found <= ADVISORY, said


@needs_compiler
def test_messages_of_a_user_go_where_the_user_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE, encoding="utf-8")
    out = tmp_path / "new" / "folder"
    assert main(["--catalogue", str(mine), "export", "c", "-o", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"written: {out / name}" for name in ("m43.h", "m43.c", "README.md")
    ]
    header = (out / "m43.h").read_text(encoding="utf-8")
    assert "int16_t temperature_degc_x10; /* temperature of the lens; 0.1 degree C per count" in header
    assert "uint32_t default_;" in header
    assert "const uint8_t *rest_of_it; size_t rest_of_it_size;" in header
    assert compiled(str(COMPILER), out, tmp_path / "m43.o", "-c") == "0 "
    assert main(["--catalogue", str(mine), "export", "c", "--check", "-o", str(out)]) == 0


MINE = '''
from construct import GreedyBytes, Int16sl, Int32ub
from m43proto import Encoding, Message, argument, message, raw, wire

TEMPERATURE = Encoding("temperature", Int16sl, 2, "°C", "0.1 °C per count", lambda n: n / 10, lambda t: round(t * 10))


@message("D1 A0", shape="read", evidence="confirmed", source="PROJECT")
class LensTemperature(Message):
    """Reads the temperature of the lens. */ /* ??/"""

    arguments: bytes = argument(raw(2), "always 00 00", default=bytes(2))
    temperature_degc: float = wire(TEMPERATURE, "temperature of the lens")
    default: int = wire(Int32ub, "a name that C keeps for itself")
    rest_of_it: bytes = wire(GreedyBytes, "an open end")
'''


# The compiled library through ctypes.


class Parser(ctypes.Structure):
    _fields_ = (
        ("phase", ctypes.c_uint),
        ("shape", ctypes.c_uint),
        ("has_command_sum", ctypes.c_bool),
        ("has_data_sum", ctypes.c_bool),
        ("command", ctypes.c_uint8 * 4),
        ("command_sum", ctypes.c_uint8),
        ("data_sum", ctypes.c_uint8),
        ("running_sum", ctypes.c_uint8),
        ("status", ctypes.c_uint8),
        ("length", ctypes.c_uint16),
        ("held", ctypes.c_uint16),
        ("data_size", ctypes.c_uint16),
        ("capacity", ctypes.c_uint16),
        ("data", ctypes.c_void_p),
    )


class End(ctypes.Structure):
    _fields_ = (
        ("parser", Parser),
        ("role", ctypes.c_uint),
        ("result", ctypes.c_uint),
        ("has_answer", ctypes.c_bool),
        ("owes_sum", ctypes.c_bool),
        ("begun", ctypes.c_bool),
        ("command", ctypes.c_uint8 * 4),
        ("size", ctypes.c_uint16),
        ("said", ctypes.c_void_p),
    )


@functools.cache
def library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "m43.so"
        sanitised = (
            ("-fsanitize=undefined", "-fno-sanitize-recover", "-static-libubsan") if "gcc" in str(COMPILER) else ()
        )
        assert compiled(str(COMPILER), SOURCES, target, "-shared", "-fPIC", "-DM43_PROVISIONAL", *sanitised) == "0 "
        loaded = ctypes.CDLL(str(target))
    for name in ("m43_end_next", "m43_body_begin", "m43_lens_answer", "m43_lens_is_asked", "m43_parser_sums_ok"):
        getattr(loaded, name).restype = ctypes.c_bool
    return loaded


@needs_compiler
@given(st.binary(max_size=300))
@settings(deadline=None)
def test_sums(data: bytes) -> None:
    assert library().m43_sum(data, ctypes.c_size_t(len(data))) & 0xFF == wire_sum(data)


@needs_compiler
def test_shapes_of_all_opcodes() -> None:
    shapes = [*SHAPES, None]
    for opcode in range(0x10000):
        command = opcode.to_bytes(2, "big") + bytes(2)
        assert shapes[library().m43_shape_of(command)] is KNOWN.shape_of(command)


IN_C = {kind: c_message(kind) for kind in KNOWN}


def struct_of(kind: type[Message]) -> Any:
    fields: list[tuple[str, Any]] = []
    for field in IN_C[kind].fields:
        if field.integer is not None:
            fields.append((field.name, getattr(ctypes, f"c_{field.kind.removesuffix('_t')}")))
        elif field.size is None:
            fields += [(field.name, ctypes.c_void_p), (f"{field.name}_size", ctypes.c_size_t)]
        else:
            fields.append((field.name, ctypes.c_uint8 * field.size))
    return type(kind.spec.name, (ctypes.Structure,), {"_fields_": fields})


STRUCTS = {kind: struct_of(kind) for kind in KNOWN}


def decoded(kind: type[Message], canonical: bytes) -> tuple[Any, bytes, bool]:
    """Decode in C; return the struct, the buffer that it may point into, and whether it fits."""
    struct = STRUCTS[kind]()
    buffer = ctypes.create_string_buffer(canonical, len(canonical) or 1)
    decode = getattr(library(), f"m43_{IN_C[kind].name}_decode")
    decode.restype = ctypes.c_bool
    return struct, buffer, decode(ctypes.byref(struct), buffer, ctypes.c_size_t(len(canonical)))  # type: ignore[return-value]


def encoded(kind: type[Message], struct: Any, capacity: int) -> bytes:
    buffer = ctypes.create_string_buffer(capacity or 1)
    encode = getattr(library(), f"m43_{IN_C[kind].name}_encode")
    encode.restype = ctypes.c_size_t
    size = encode(ctypes.byref(struct), buffer, ctypes.c_size_t(capacity))
    return buffer.raw[:size]


def values_in_units(kind: type[Message], struct: Any) -> dict[str, object]:
    values: dict[str, object] = {}
    for one in IN_C[kind].fields:
        value = getattr(struct, one.name)
        if one.integer is None and one.size is None:
            value = ctypes.string_at(value, getattr(struct, f"{one.name}_size"))
        elif one.integer is None:
            value = bytes(value)
        values[one.field.name] = one.field.encoding.decode(value)
    return values


def check_codec(kind: type[Message], canonical: bytes) -> None:
    struct, _buffer, fits = decoded(kind, canonical)
    size = kind.spec.size
    assert fits == (len(canonical) == size if size is not None else len(canonical) >= 2)
    if fits:
        assert values_in_units(kind, struct) == kind.parse(canonical).values
        assert encoded(kind, struct, len(canonical)) == kind.parse(canonical).build() == canonical
        assert encoded(kind, struct, len(canonical) - 1) == b""


@needs_compiler
@pytest.mark.parametrize("kind", list(KNOWN), ids=lambda kind: kind.spec.name)
def test_the_codec_is_the_python_codec(kind: type[Message]) -> None:
    size = kind.spec.size
    fitting = st.binary(min_size=size or 2, max_size=size or 2500)

    @given(fitting | st.binary(max_size=60))
    @settings(deadline=None, max_examples=60)
    def check(canonical: bytes) -> None:
        check_codec(kind, canonical)

    check()


@needs_compiler
@pytest.mark.parametrize("kind", list(KNOWN), ids=lambda kind: kind.spec.name)
def test_defaults_are_the_python_defaults(kind: type[Message]) -> None:
    struct = STRUCTS[kind]()
    getattr(library(), f"m43_{IN_C[kind].name}_init")(ctypes.byref(struct))
    canonical = encoded(kind, struct, 100)
    command = ctypes.create_string_buffer(4)
    library().m43_command(ctypes.c_uint16(int.from_bytes(kind.spec.opcode, "big")), canonical, command)
    needed = [field.name for field in kind.spec.fields if field.part.value == "argument"]
    arguments = dict(zip(needed, kind.parse(canonical).values.values(), strict=False))
    assert command.raw == kind.request(**arguments)
    expected = {field.name: field.default for field in kind.spec.fields if field.name in kind.parse(canonical).values}
    for name, value in kind.parse(canonical).values.items():
        if type(expected[name]) is type(value):
            assert value == expected[name]


# The grammar.


def ref(draft: Draft) -> tuple[object, ...]:
    seen = draft.parts
    sums = (draft.sum_of(Phase.COMMAND_SUM), draft.sum_of(Phase.READ_SUM, Phase.WRITE_SUM), draft.sum_of(Phase.STATUS))
    return draft.command, draft.shape, sums, draft.length if seen else None, draft.data


def due_of(draft: Draft) -> int:
    if draft.phase is Phase.IDLE:
        return COMPLETE
    return NO_ROOM if draft.wanted < 0 else MORE


def told(parser: Parser) -> tuple[object, ...]:
    shape = list(SHAPES)[parser.shape]
    has_block = SHAPES[shape].block_sender is not None
    sums = (
        parser.command_sum if parser.has_command_sum else None,
        parser.data_sum if parser.has_data_sum else None,
        parser.status if SHAPES[shape].has_status else None,
    )
    data = ctypes.string_at(parser.data, parser.data_size)
    return bytes(parser.command), shape, sums, parser.length if has_block else None, data


class CParser:
    def __init__(self, capacity: int = CAPACITY - 1) -> None:
        self.buffer = ctypes.create_string_buffer(CAPACITY)
        self.parser = Parser()
        library().m43_parser_init(ctypes.byref(self.parser), self.buffer, ctypes.c_uint16(capacity))

    def take(self, value: int) -> int:
        return int(library().m43_parser_take(ctypes.byref(self.parser), ctypes.c_uint8(value)))

    @property
    def sender(self) -> Role:
        return list(Role)[int(library().m43_parser_sender(ctypes.byref(self.parser)))]


def said_of(record: dict[str, Any]) -> bytes:
    """The bytes of a whole transaction of a golden decode."""
    parts = [bytes.fromhex(record["command"]), bytes([record["command_sum"]])]
    if record["length"] is not None:
        parts += [record["length"].to_bytes(2, "little"), bytes.fromhex(record["data"]), bytes([record["data_sum"]])]
    return b"".join([*parts, b"" if record["status"] is None else bytes([record["status"]])])


@needs_compiler
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_parser_and_the_codec_on_every_capture(folder: Path) -> None:
    whole = [one for one in records(folder / EXPECTED) if "event" not in one and one["complete"]]
    whole = [one for one in whole if one["length"] in (None, len(one["data"]) // 2 + 1)]
    assert whole
    watcher = CParser()
    for one in whole:
        *before, last = (watcher.take(value) for value in said_of(one))
        assert (set(before), last) == ({MORE}, COMPLETE)
        shape = Shape(one["shape"])
        sums = (one["command_sum"], one["data_sum"], one["status"])
        expected = (bytes.fromhex(one["command"]), shape, sums, one["length"], bytes.fromhex(one["data"]))
        assert told(watcher.parser) == expected
        right = False not in (one["command_sum_ok"], one["data_sum_ok"])
        assert library().m43_parser_sums_ok(ctypes.byref(watcher.parser)) == right
        kind = KNOWN.find(expected[0])
        if kind is not None:
            status = b"" if one["status"] is None else bytes([one["status"]])
            check_codec(kind, expected[0][2:] + expected[4] + status)


commands = st.one_of(
    st.binary(min_size=4, max_size=4),
    st.builds(
        lambda kind, rest: kind.spec.opcode + rest, st.sampled_from(list(KNOWN)), st.binary(min_size=2, max_size=2)
    ),
)


@needs_compiler
@given(commands, st.binary(max_size=40), st.integers(0, 6))
@settings(deadline=None, max_examples=300)
def test_the_parser_walks_as_the_engine_does(command: bytes, rest: bytes, length: int) -> None:
    watcher = CParser()
    results = [watcher.take(value) for value in command]
    shape = KNOWN.shape_of(command)
    assert results == [MORE, MORE, MORE, MORE if shape else UNKNOWN_SHAPE]
    if shape is None:
        return
    draft = Draft(command, shape)
    for value in rest[:1] + length.to_bytes(2, "little") + rest[1:]:
        if due_of(draft) != MORE:
            break
        assert watcher.sender is TURNS[draft.phase].sender
        draft.put(bytes([value]))
        if draft.held == draft.wanted:
            draft.advance()
        assert watcher.take(value) == due_of(draft)
    if due_of(draft) == COMPLETE:
        assert told(watcher.parser) == ref(draft)


@needs_compiler
def test_a_block_larger_than_the_buffer_is_counted_and_summed() -> None:
    watcher = CParser(capacity=3)
    watcher.buffer[3] = b"\xee"
    data = bytes(range(1, 11))
    for value in bytes.fromhex("C3F00000B3") + (11).to_bytes(2, "little") + data + bytes([wire_sum(data)]):
        result = watcher.take(value)
    assert result == COMPLETE
    assert watcher.buffer.raw[:4] == b"\x01\x02\x03\xee"
    assert watcher.parser.data_size == 10
    assert library().m43_parser_sums_ok(ctypes.byref(watcher.parser))


class CEnd:
    def __init__(self, role: Role) -> None:
        self.buffer = ctypes.create_string_buffer(CAPACITY)
        self.end = End()
        library().m43_end_init(
            ctypes.byref(self.end), list(Role).index(role), self.buffer, ctypes.c_uint16(CAPACITY - 1)
        )

    def begin(self, command: bytes, data: bytes) -> bool:
        self.kept = (command, data)
        return bool(library().m43_body_begin(ctypes.byref(self.end), command, data, ctypes.c_uint16(len(data))))

    def answer(self, data: bytes) -> bool:
        self.kept = (b"", data)
        return bool(library().m43_lens_answer(ctypes.byref(self.end), data, ctypes.c_uint16(len(data))))

    @property
    def asked(self) -> bool:
        return bool(library().m43_lens_is_asked(ctypes.byref(self.end)))

    def out(self) -> bytes:
        said, value = bytearray(), ctypes.c_uint8()
        while library().m43_end_next(ctypes.byref(self.end), ctypes.byref(value)):
            said.append(value.value)
        return bytes(said)

    def take(self, value: int) -> int:
        return int(library().m43_end_take(ctypes.byref(self.end), ctypes.c_uint8(value)))


@needs_compiler
@given(commands, st.binary(max_size=20), st.binary(max_size=30), st.integers(0, 6))
@settings(deadline=None, max_examples=300)
def test_a_body_does_what_the_engine_does(command: bytes, data: bytes, said: bytes, length: int) -> None:
    ours, shape = CEnd(Role.BODY), KNOWN.shape_of(command)
    assert ours.begin(command, data) == (shape is not None)
    if shape is None:
        assert ours.out() == b""
        return
    assert not ours.begin(command, data)
    engine = BodyExchange(command, shape, data, 0)
    for value in said[:1] + length.to_bytes(2, "little") + said[1:]:
        assert ours.out() == bytes(engine.out)
        engine.out.clear()
        if not engine.open:
            break
        try:
            engine.take(bytes([value]), 0)
        except ValueError:
            assert ours.take(value) == NO_ROOM
            return
        assert ours.take(value) == (MORE if engine.phase is not Phase.IDLE else COMPLETE)
    if engine.phase is Phase.IDLE:
        seen = engine.seen()
        sums = (seen.command_sum, seen.data_sum, seen.status)
        assert told(ours.end.parser) == (seen.command, seen.shape, sums, seen.length, seen.data)
        assert ours.begin(command, data)


@needs_compiler
@given(st.lists(st.tuples(commands, st.integers(0, 6), st.binary(max_size=12), st.booleans()), max_size=4))
@settings(deadline=None, max_examples=200)
def test_a_lens_does_what_the_engine_does(rounds: list[tuple[bytes, int, bytes, bool]]) -> None:
    ours, engine = CEnd(Role.LENS), LensExchange(KNOWN)
    for command, length, data, answers in rounds:
        for value in command + length.to_bytes(2, "little") + data:
            result = ours.take(value)
            event = engine.take(value, 0)
            if engine.asked is not None and result == OUT_OF_TURN:
                assert isinstance(event, Violation)
            expected_out = bytes(engine.out)
            engine.out.clear()
            assert ours.out() == expected_out
            assert ours.asked == (engine.asked is not None)
            if isinstance(event, TransactionSeen):
                assert ours.end.result == COMPLETE
                sums = (event.command_sum, event.data_sum, event.status)
                assert told(ours.end.parser) == (event.command, event.shape, sums, event.length, event.data)
            if isinstance(event, RequestSeen) and answers:
                check_answer(ours, engine, data)


def check_answer(ours: CEnd, engine: LensExchange, data: bytes) -> None:
    try:
        seen = engine.answer(data, 0)
    except ValueError:
        assert not ours.answer(data)
        return
    assert ours.answer(data)
    assert ours.out() == bytes(engine.out)
    engine.out.clear()
    assert ours.end.result == COMPLETE
    assert ctypes.string_at(ours.end.parser.data, ours.end.parser.data_size) == seen.data
