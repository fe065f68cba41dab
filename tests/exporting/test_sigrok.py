"""The exported decoders inside the real sigrok-cli, on every capture: their annotations are the golden decode.

What an annotation has to say is worked out here from ``expected.jsonl`` alone, by the mapping of `expected_of`; where
the bytes of a field or of a sum stand comes from `m43 sniff --layer bytes`, for the golden decode has no times of
bytes.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.capture import open_capture
from m43drivers.lines import lines_by_name
from m43drivers.observe import observe
from m43proto import PROVISIONAL, PUBLIC
from m43proto.events import ByteSeen, TransactionSeen
from m43proto.pins import Line
from m43proto.schema import Part
from m43tools.cli import main
from m43tools.library import CAPTURE, EXPECTED, capture_file
from m43tools.render.records import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43drivers.capture import Capture
    from m43drivers.capture.model import Channel

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "captures").glob("*/capture.toml"))
PROGRAM = shutil.which("sigrok-cli")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="sigrok-cli is not installed")
every_capture = pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])

LINE = re.compile(r"(\d+)-(\d+) (m43\w*)-\d+: ([a-z-]+): \"(.*?)\"(?: \".*\")?$")
KNOWN = {kind.spec.name: kind.spec for kind in PUBLIC | PROVISIONAL}
COMMAND_SIZE, SUM_SIZE, LENGTH_SIZE = 4, 1, 2


def provenance(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "capture.toml").read_text(encoding="utf-8"))


EXACT_HZ = 1_000_000_000
"""At this rate every time of a simulation that nobody sampled is that of a sample."""

MADE = tempfile.TemporaryDirectory()
atexit.register(MADE.cleanup)


def rate_of(folder: Path) -> int:
    rate_hz: int = provenance(folder)["sampling"].get("rate_hz", EXACT_HZ)
    return rate_hz


@functools.cache
def session_of(folder: Path) -> Path:
    """The capture as a sigrok session: as it is, or as ``m43 convert`` makes one of it."""
    name = capture_file(provenance(folder))
    if name == CAPTURE:
        return folder / CAPTURE
    target = Path(MADE.name) / f"{folder.name}.sr"
    rate = [] if "rate_hz" in provenance(folder)["sampling"] else ["--rate", str(EXACT_HZ)]
    assert main(["convert", str(folder / name), str(target), *rate]) == 0
    return target


def pins_of(folder: Path) -> dict[str, str]:
    told = provenance(folder)
    asked = re.search(r"--pins (\S+)", told["decode"]["command"])
    if asked and asked[1] != "auto":
        return dict(pair.split("=") for pair in asked[1].split(","))
    return told["sampling"].get("pins") or {line: line for line in told["sampling"]["lines"]}


def decoder_of(folder: Path) -> str:
    channels = ":".join(f"{line.lower()}={channel}" for line, channel in pins_of(folder).items())
    catalogue = "provisional" if "provisional" in provenance(folder)["decode"]["command"] else "public"
    return f"m43_link:{channels},m43:catalogue={catalogue}"


def sigrok(capture: Path, decoder: str, *arguments: str, decoders: Path = ROOT / "tools" / "sigrok") -> bytes:
    assert PROGRAM is not None
    run = subprocess.run(
        [PROGRAM, "-i", str(capture), "-P", decoder, "--protocol-decoder-samplenum", *arguments],
        env={**os.environ, "SIGROKDECODE_DIR": str(decoders), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    errors = [line for line in run.stderr.splitlines() if b"rror" in line or b"Traceback" in line]
    assert not errors, run.stderr.decode()
    return run.stdout


def samples_of(session: Path) -> tuple[object, ...]:
    """All that a session holds, for a key, whatever the order of its channels: two of the captures hold the same."""
    capture = open_capture(session)
    lines = sorted((channel.name, channel.initial, channel.edges_ns.tobytes()) for channel in capture.channels)
    return (*lines, capture.end_ns, capture.sample_rate_hz)


ANNOTATED: dict[tuple[object, ...], Counter[tuple[int, int, str, str]]] = {}


def annotated(session: Path, decoder: str) -> Counter[tuple[int, int, str, str]]:
    """What sigrok-cli shows of a session; it is asked once for the same samples."""
    key = (*samples_of(session), *sorted(re.split("[:,]", decoder)))
    if key not in ANNOTATED:
        ANNOTATED[key] = shown_by_sigrok(session, decoder)
    return ANNOTATED[key]


def shown_by_sigrok(capture: Path, decoder: str) -> Counter[tuple[int, int, str, str]]:
    found = []
    for line in sigrok(capture, decoder, "-A", "m43_link,m43", "-l", "4").decode().splitlines():
        match = LINE.fullmatch(line)
        if match:
            start, end, _, kind, text = match.groups()
            found.append((int(start), int(end), kind, text))
    return Counter(found)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Golden:
    """What the annotations should be, from a golden decode and the bytes with their times."""

    def __init__(self, rate_hz: int, golden: list[dict[str, Any]], seen: list[dict[str, Any]]) -> None:
        self.rate_hz = rate_hz
        self.bytes = {byte["t_ns"]: index for index, byte in enumerate(seen)}
        self.seen = seen
        self.expected = [row for record in golden for row in self.expected_of(record)]
        self.expected += [row for byte in seen for row in self.of_byte(byte)]

    def sample(self, t_ns: int) -> int:
        return round(t_ns * self.rate_hz / 1e9)

    def span(self, record: dict[str, Any]) -> tuple[int, int]:
        return self.sample(record["t_ns"]), self.sample(record["end_ns"])

    def of_byte(self, byte: dict[str, Any]) -> Iterator[tuple[int, int, str, str]]:
        kind = f"{byte['from']}-byte" if byte["from"] else "byte"
        yield *self.span(byte), kind, f"{byte['value']:02X}"

    def expected_of(self, record: dict[str, Any]) -> Iterator[tuple[int, int, str, str]]:
        """The mapping: record of the golden decode -> annotations."""
        event = record.get("event")
        if event is None:
            yield from self.of_message(record)
        elif event == "violation":
            text = f"{record['cause']}: {record['detail']} [{spaced(record['data'])}]"
            yield *self.span(record), "violation", text
        elif event == "fragment":
            yield *self.span(record), "fragment", f"fragment {spaced(record['data'])}"
        else:
            level = f" {record['level']}" if "level" in record else ""
            yield *self.span(record), "pin", f"{event}{level}"

    def of_message(self, record: dict[str, Any]) -> Iterator[tuple[int, int, str, str]]:
        whole = self.span(record)
        yield *whole, "transaction", record["shape"] + ("" if record["complete"] else ", broke off")
        yield *whole, "message", f"{record['name']} ({record['evidence']})"
        first = self.bytes[record["t_ns"]]
        data_at = COMMAND_SIZE + SUM_SIZE + LENGTH_SIZE
        data_size = len(record["data"]) // 2
        for at, size, name, text in self.parts(record, data_at, data_size):
            if size:
                yield *self.of_bytes(first + at, size), "part", f"{name} {text}"
        yield from self.sums(record, first, data_at + data_size)
        for name, value in record["fields"].items():
            at, size = self.place(record, name, data_at, data_size)
            yield *self.of_bytes(first + at, size), "field", f"{name} = {shown(value)}"

    def of_bytes(self, index: int, size: int) -> tuple[int, int]:
        return self.sample(self.seen[index]["t_ns"]), self.sample(self.seen[index + size - 1]["end_ns"])

    def parts(self, record: dict[str, Any], data_at: int, data_size: int) -> Iterator[tuple[int, int, str, str]]:
        side = record["shape"]
        yield 0, COMMAND_SIZE, "command", spaced(record["command"])
        if record["command_sum"] is not None:
            yield COMMAND_SIZE, 1, "command sum", f"{record['command_sum']:02X}"
        if record["length"] is not None:
            yield COMMAND_SIZE + SUM_SIZE, LENGTH_SIZE, f"{side} length", str(record["length"])
        yield data_at, data_size, f"{side} data", spaced(record["data"])
        if record["data_sum"] is not None:
            yield data_at + data_size, 1, f"{side} sum", f"{record['data_sum']:02X}"
        if record["status"] is not None:
            yield COMMAND_SIZE + SUM_SIZE, 1, "status", f"{record['status']:02X}"

    def sums(self, record: dict[str, Any], first: int, data_sum_at: int) -> Iterator[tuple[int, int, str, str]]:
        for what, at, over in (("command", COMMAND_SIZE, record["command"]), ("data", data_sum_at, record["data"])):
            given, right = record[f"{what}_sum"], record[f"{what}_sum_ok"]
            due = sum(bytes.fromhex(over)) % 256
            if right:
                yield *self.of_bytes(first + at, 1), "right-sum", f"{what} sum {given:02X} is right"
            elif right is False:
                yield *self.of_bytes(first + at, 1), "wrong-sum", f"{what} sum {given:02X} is wrong, {due:02X} is due"

    def place(self, record: dict[str, Any], name: str, data_at: int, data_size: int) -> tuple[int, int]:
        """Where a field stands in the bytes of its transaction: start and size."""
        if name == "rest":
            size = len(record["fields"]["rest"]) // 2
            return data_at + data_size - size, size
        field = next((one for one in KNOWN[record["name"]].fields if one.name == name), None)
        if field is None:  # "lens", which the identity as a whole tells
            return 0, self.bytes_of(record)
        starts = {Part.ARGUMENT: 2, Part.BLOCK: data_at, Part.STATUS: COMMAND_SIZE + SUM_SIZE}
        return starts[field.part] + field.offset, field.encoding.size or data_size

    def bytes_of(self, record: dict[str, Any]) -> int:
        first = self.bytes[record["t_ns"]]
        return next(i for i, byte in enumerate(self.seen[first:], 1) if byte["end_ns"] == record["end_ns"])


def spaced(data: str) -> str:
    return bytes.fromhex(data).hex(" ").upper()


def shown(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def mapping_of(folder: Path, capture: Capture) -> dict[Line, Channel]:
    """Which channel of a capture is which line, by its provenance."""
    names = {channel.name: channel for channel in capture.channels}
    return {Line[line]: names[channel] for line, channel in pins_of(folder).items()}


@functools.cache
def bytes_seen(folder: Path) -> list[dict[str, Any]]:
    """The bytes of a capture, as ``m43 sniff --layer bytes`` tells them."""
    capture = open_capture(session_of(folder))
    seen = observe(capture, mapping_of(folder, capture), PUBLIC)
    return [record_of(event) for event in seen if isinstance(event, ByteSeen)]


def check(found: Counter[tuple[int, int, str, str]], golden: Golden) -> None:
    expected = Counter(golden.expected)
    found = Counter({row: count for row, count in found.items() if row[2] not in ("body-ack", "lens-ack")})
    assert sorted((found - expected).elements()) == []
    assert sorted((expected - found).elements()) == []


@every_capture
def test_the_annotations_are_the_golden_decode(folder: Path) -> None:
    found = annotated(session_of(folder), decoder_of(folder))
    has_acks = any(row[2] in ("body-ack", "lens-ack") for row in found)
    assert has_acks == ("body_ack" in decoder_of(folder))
    check(found, Golden(rate_of(folder), records(folder / EXPECTED), bytes_seen(folder)))


@pytest.mark.parametrize("name", ["wrong-sums", "noisy"])
@pytest.mark.parametrize("lines", ["CLK,DATA", "CLK,DATA,BODY_ACK"])
def test_fewer_channels_give_what_the_engine_makes_of_them(name: str, lines: str) -> None:
    folder = ROOT / "captures" / f"sim-e-pl1__sim-olympus-14-42__{name}"
    decoder = "m43_link:" + ":".join(f"{line.lower()}={line}" for line in lines.split(",")) + ",m43"
    capture = open_capture(folder / CAPTURE)
    mapping = {line: channel for line, channel in lines_by_name(capture).items() if line in lines.split(",")}
    events = [event for event in observe(capture, mapping, PUBLIC) if not isinstance(event, TransactionSeen)]
    rows = [json.loads(json.dumps(record_of(event))) for event in events if not isinstance(event, ByteSeen)]
    seen = [record_of(event) for event in events if isinstance(event, ByteSeen)]
    check(annotated(folder / CAPTURE, decoder), Golden(24_000_000, rows, seen))


POWER_UP = ROOT / "captures" / "bell-fakebody__lens-model__power-up"
STABILISED = ROOT / "captures" / "sim-e-pl1__sim-olympus-12-100-is__stabilisation"


def test_the_binary_output_is_the_bytes() -> None:
    seen = bytes_seen(POWER_UP)
    for name, senders in (("all", ("body", "lens")), ("lens", ("lens",))):
        expected = bytes(byte["value"] for byte in seen if byte["from"] in senders)
        assert sigrok(POWER_UP / CAPTURE, decoder_of(POWER_UP), "-B", f"m43_link={name}") == expected
    data = "".join(record.get("data", "") for record in records(POWER_UP / EXPECTED) if "event" not in record)
    assert sigrok(POWER_UP / CAPTURE, decoder_of(POWER_UP), "-B", "m43=data") == bytes.fromhex(data)


def test_placeholders_are_known_only_when_asked_for() -> None:
    decoder = decoder_of(STABILISED)
    assert "provisional" in decoder
    shown = sigrok(STABILISED / CAPTURE, decoder.replace("provisional", "public"), "-A", "m43=message").decode()
    assert "SetStabilisation" not in shown
    assert "Unknown (unknown)" in shown


def test_a_catalogue_of_a_user_is_decoded(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE, encoding="utf-8")
    assert main(["--catalogue", str(mine), "export", "sigrok", "-o", str(tmp_path / "decoders")]) == 0
    shown = sigrok(POWER_UP / CAPTURE, decoder_of(POWER_UP), "-A", "m43", decoders=tmp_path / "decoders").decode()
    assert "Capability (inferred)" in shown
    assert "first_v = 410.6" in shown
    assert "second = 2500" in shown


MINE = """
from construct import Int16ul
from m43proto import Encoding, Message, argument, message, raw, wire

TENTHS = Encoding("tenths", Int16ul, 2, "V", "0.1 V per count", lambda n: n / 10, lambda t: round(t * 10))


@message("C0 F6", evidence="inferred", source="PROJECT")
class Capability(Message):
    arguments: bytes = argument(raw(2), "00 00", default=bytes(2))
    first_v: float = wire(TENTHS, "made up for a test")
    second: int = wire(Int16ul, "made up for a test")
"""
