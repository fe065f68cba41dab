"""The packets of ``--format pcapng`` and their dissector, in Debian's tshark."""

from __future__ import annotations

import math
import random
import shutil
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from m43proto.checksum import wire_sum
from m43proto.encodings import DISTANCE, Encoding
from m43proto.events import Cause, PinEvent, TransactionSeen
from m43proto.messages import PROVISIONAL, PUBLIC
from m43proto.schema import Part
from m43proto.shapes import SHAPES
from m43tools.cli import main
from m43tools.exporting.wireshark import abbreviation, rule_of, wireshark_files
from m43tools.render import packets
from m43tools.render.pcapng import PcapngWriter
from m43tools.render.records import plain
from tests.formats.support import FOLDERS, ROOT, every_capture, golden, sniffed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from m43proto.schema import Field, Message

DISSECTOR = ROOT / "tools" / "wireshark" / "m43.lua"
TSHARK = shutil.which("tshark") or ""
CATALOGUE = PUBLIC | PROVISIONAL

needs_tshark = pytest.mark.skipif(not TSHARK, reason="tshark is not on this machine (apt-get install tshark)")

FRAME = ("frame.time_epoch", "frame.p2p_dir", "frame.comment", "_ws.expert.message")
FIXED = (
    *("kind", "duration_ns", "busy_ns", "shape", "event", "level", "cause", "complete", "name", "evidence", "command"),
    *("command_sum", "command_sum_ok", "length", "data", "data_sum", "data_sum_ok", "status_byte", "rest"),
)


def key_of(kind: type[Message], name: str) -> str:
    return f"m43.{abbreviation(kind.spec.name)}.{name}"


def field_names() -> list[str]:
    own = [key_of(kind, field.name) for kind in CATALOGUE for field in kind.spec.fields]
    return [*FRAME, *(f"m43.{name}" for name in FIXED), *own, "m43.identify.lens"]


def tshark(*arguments: str, loading: tuple[str, ...] = ("-X", f"lua_script:{DISSECTOR}"), **options: Any) -> str:
    run = subprocess.run([TSHARK, *loading, *arguments], capture_output=True, text=True, check=True, **options)
    assert "Lua" not in run.stderr
    return str(run.stdout)


def dissected(path: Path) -> list[dict[str, str]]:
    """Return each packet as tshark tells it: field -> text, without the fields that it has not."""
    names = field_names()
    wanted = [word for name in names for word in ("-e", name)]
    text = tshark("-r", str(path), "-o", "m43.provisional:TRUE", "-T", "fields", "-E", "separator=/t", *wanted)
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in text.removesuffix("\n").split("\n")]
    return [{name: value for name, value in row.items() if value} for row in rows]


def same(seen: str | None, expected: Any, field: Field) -> bool:
    if seen is None:
        return bool(expected == "")
    if field.encoding.labels is not None:
        word = next((word for word, label in field.encoding.labels.items() if label == expected), expected)
        return int(seen, 0) == word
    if expected == "infinity":
        return math.isinf(float(seen))
    if isinstance(expected, float):
        return math.isclose(float(seen), expected, abs_tol=1e-4)
    return int(seen, 0) == expected if isinstance(expected, int) else seen == expected


def check_fields(row: dict[str, str], kind: type[Message], fields: dict[str, Any]) -> int:
    for field in kind.spec.fields:
        seen = row.get(key_of(kind, field.name))
        if field.name in fields:
            assert same(seen, fields[field.name], field), (field.name, seen, fields[field.name])
        else:
            assert seen is None
    assert row.get(key_of(kind, "lens")) == fields.get("lens")
    return len(fields)


def flag(value: str | None) -> bool | None:
    return None if value is None else value in ("1", "True")


def number(value: str | None) -> int | None:
    return None if value is None else int(value, 0)


def check_transaction(row: dict[str, str], record: dict[str, Any]) -> int:
    assert row["m43.command"] == record["command"]
    assert row["m43.name"] == record["name"]
    assert row["m43.evidence"] == record["evidence"]
    assert number(row["m43.shape"]) == SHAPES[record["shape"]].nibble
    assert flag(row["m43.complete"]) == record["complete"]
    assert row.get("m43.data", "") == record["data"]
    assert row.get("m43.rest", "") == record["fields"].get("rest", "")
    assert number(row.get("m43.status_byte")) == record["status"]
    assert {key: number(row.get(f"m43.{key}")) for key in ("command_sum", "length", "data_sum")} == {
        key: record[key] for key in ("command_sum", "length", "data_sum")
    }
    for key in ("command_sum_ok", "data_sum_ok"):
        assert flag(row.get(f"m43.{key}")) == record[key]
        what = f"{key.removesuffix('_ok').replace('_', ' ')}"
        assert (f"Wrong {what}" in row.get("_ws.expert.message", "")) == (record[key] is False)
        assert (f"the {what}" in row.get("frame.comment", "")) == (record[key] is False)
    assert ("broke off" in row.get("frame.comment", "")) == (not record["complete"])
    assert row["frame.p2p_dir"] == str(int(record["shape"] in ("read", "complete")))
    kind = CATALOGUE.find(bytes.fromhex(record["command"]))
    return check_fields(row, kind, record["fields"]) if kind else 0


def check_record(row: dict[str, str], record: dict[str, Any]) -> int:
    seconds, digits = row["frame.time_epoch"].split(".")
    assert int(seconds) * 10**9 + int(digits) == record["t_ns"]
    assert number(row["m43.duration_ns"]) == record["end_ns"] - record["t_ns"]
    event = record.get("event")
    if event is None:
        return check_transaction(row, record)
    if event == "violation":
        assert number(row["m43.cause"]) == packets.CAUSE_CODES[Cause(record["cause"])]
        assert record["detail"] in row["frame.comment"]
    if event in ("violation", "fragment"):
        assert row.get("m43.data", "") == record["data"]
    else:
        assert number(row["m43.event"]) == packets.PIN_EVENT_CODES[PinEvent(event)]
        assert number(row.get("m43.level")) == record.get("level")
    return 0


@needs_tshark
@every_capture
def test_what_wireshark_shows_is_the_golden_decode(folder: Path, tmp_path: Path) -> None:
    rows = dissected(sniffed(folder, "pcapng", tmp_path / "capture.pcapng"))
    records = golden(folder)
    assert len(rows) == len(records)
    assert sum(check_record(row, record) for row, record in zip(rows, records, strict=True)) > 10


def any_bytes(random_: random.Random, size: int) -> bytes:
    return bytes(random_.choice((0, 0x41, 0x80, 0xFF, random_.randrange(256))) for _ in range(size))


def transactions(random_: random.Random, count: int) -> Iterable[TransactionSeen]:
    """Yield transactions of every message with any bytes in them; some broke off within their block."""
    kinds = list(CATALOGUE)
    for index in range(count):
        spec = kinds[index % len(kinds)].spec
        row = SHAPES[spec.shape]
        command = spec.opcode + any_bytes(random_, 2)
        size = spec.part_size(Part.BLOCK)
        data = any_bytes(random_, random_.randrange(9) if size is None else size) if row.block_sender else b""
        cut = random_.random() < 0.2
        data = data[: random_.randrange(len(data) + 1)] if cut else data
        yield TransactionSeen(
            t_ns=index * 10**7,
            end_ns=index * 10**7 + 12345,
            command=command,
            shape=spec.shape,
            command_sum=random_.choice((wire_sum(command), 0x12)),
            length=len(data) + 1 if row.block_sender else None,
            data=data,
            data_sum=None if cut or not row.block_sender else random_.choice((wire_sum(data), 0x34)),
            status=random_.randrange(256) if row.has_status and not cut else None,
            complete=not cut,
            busy_ns=random_.choice((None, 77)),
        )


@needs_tshark
def test_any_bytes_decode_as_the_catalogue_decodes_them(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    seen = list(transactions(random.Random(seed), 1500))
    path = tmp_path / "any.pcapng"
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, "any")
        for one in seen:
            writer.write(one)
        writer.close()
    rows = dissected(path)
    assert len(rows) == len(seen)
    for row, one in zip(rows, seen, strict=True):
        kind = CATALOGUE.find(one.command)
        assert kind
        reading = kind.spec.read(one.command[2:], one.data, one.status)
        for field in kind.spec.fields:
            value = plain(reading.values[field.name]) if field.name in reading.values else None
            told = row.get(key_of(kind, field.name))
            if (
                not isinstance(value, str) or value.isprintable()
            ):  # Of a text with a NUL, C programs show the beginning.
                assert told is None if value is None else same(told, value, field), (field.name, told, value)
        assert row.get("m43.rest", "") == reading.rest.hex()
        assert number(row.get("m43.busy_ns")) == one.busy_ns
        assert flag(row.get("m43.data_sum_ok")) == one.data_sum_ok
        assert flag(row.get("m43.command_sum_ok")) == one.command_sum_ok


@needs_tshark
def test_fields_filter_by_value_and_by_word(tmp_path: Path) -> None:
    folder = next(folder for folder in FOLDERS if folder.name.endswith("aperture-sweep"))
    path = sniffed(folder, "pcapng", tmp_path / "capture.pcapng")
    drives = [row["fields"] for row in golden(folder) if row.get("name") == "Drive"]

    def count(expression: str) -> int:
        return len(tshark("-r", str(path), "-Y", expression).splitlines())

    assert count("m43.drive.aperture_f > 5.6") == sum(drive["aperture_f"] > 5.6 for drive in drives) > 0
    assert count("m43.drive.aperture_operation == 0x02") == sum(d["aperture_operation"] == "set" for d in drives) > 0
    assert count('m43.drive.aperture_operation == "set"') == sum(d["aperture_operation"] == "set" for d in drives)
    assert count('m43.name == "Identify"') == 1
    assert count("m43.expert.data_sum") == 0


@needs_tshark
def test_provisional_messages_have_their_names_only_when_asked_for(tmp_path: Path) -> None:
    folder = next(folder for folder in FOLDERS if folder.name.endswith("stabilisation"))
    path = sniffed(folder, "pcapng", tmp_path / "capture.pcapng")
    wanted = ("-r", str(path), "-Y", 'm43.evidence == "provisional"')
    expected = sum(row.get("evidence") == "provisional" for row in golden(folder))
    assert tshark(*wanted) == ""
    assert len(tshark(*wanted, "-o", "m43.provisional:TRUE").splitlines()) == expected > 0


@needs_tshark
def test_a_pipe_and_the_plugin_folder_work(tmp_path: Path) -> None:
    plugins = tmp_path / ".local" / "lib" / "wireshark" / "plugins"
    plugins.mkdir(parents=True)
    shutil.copy(DISSECTOR, plugins)
    command = [sys.executable, "-m", "m43tools", "sniff", str(FOLDERS[0] / "capture.sr"), "--format", "pcapng"]
    packed = subprocess.run(command, capture_output=True, check=True).stdout
    shown = subprocess.run(
        [TSHARK, "-r", "-"], input=packed, capture_output=True, check=True, env={"HOME": str(tmp_path)}
    )
    lines = shown.stdout.decode().splitlines()
    assert len(lines) == len(golden(FOLDERS[0]))
    assert sum("M43" in line for line in lines) == len(lines)
    assert any("Identify" in line for line in lines)


def test_the_numbers_of_packets_stay() -> None:
    """Files on disk hold them: a number may be added, never changed."""
    assert packets.VERSION == 1
    assert packets.HEADER_SIZE == 24
    assert list(packets.PIN_EVENT_CODES) == list(PinEvent)
    assert list(packets.PIN_EVENT_CODES.values()) == list(range(1, 8))
    assert list(packets.CAUSE_CODES) == list(Cause)
    assert list(packets.CAUSE_CODES.values()) == list(range(1, 10))


def test_a_file_is_what_the_pcapng_specification_says(tmp_path: Path) -> None:
    path = sniffed(FOLDERS[0], "pcapng", tmp_path / "capture.pcapng")
    data, kinds = path.read_bytes(), []
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert size % 4 == 0
        assert data[size - 4 : size] == data[4:8]
        kinds.append(kind)
        data = data[size:]
    assert kinds == [0x0A0D0D0A, 1, *[6] * len(golden(FOLDERS[0]))]


def test_the_committed_dissector_is_what_the_tables_make() -> None:
    assert DISSECTOR.read_bytes() == wireshark_files()["m43.lua"]


def test_an_encoding_that_no_rule_decodes_stays_bytes() -> None:
    odd = Encoding("odd", DISTANCE.wire, 2, "", "", lambda word: word * word + 0.5, round)
    assert rule_of(odd) == {"rule": "raw"}
    for kind in CATALOGUE:
        for field in kind.spec.fields:
            size = field.encoding.size
            is_bytes = size is None or isinstance(field.encoding.layout.parse(bytes(size)), bytes)
            assert (rule_of(field.encoding)["rule"] == "raw") == is_bytes, field.name


def test_what_makes_no_sense_is_told_in_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    capture = str(FOLDERS[0] / "capture.sr")
    assert main(["sniff", capture, "--format", "pcapng", "--layer", "bytes", "-o", str(tmp_path / "x")]) == 2
    assert "shows transactions or messages" in capsys.readouterr().err
    assert main(["sniff", capture, "--format", "pcapng", "--summary"]) == 2
    assert "--summary has no pcapng form" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
