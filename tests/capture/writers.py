"""Writers of every readable capture format, from the same channels; for tests of readers and of all that uses them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture import Channel, merged_changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VCD_UNITS_NS = {unit: Fraction(10**9, 1000**power) for power, unit in enumerate(("s", "ms", "us", "ns", "ps", "fs"))}


def channel(name: str, initial: int, edges_ns: Iterable[int], aliases: tuple[str, ...] = ()) -> Channel:
    """Make a channel from plain numbers."""
    return Channel(name, initial, np.array(list(edges_ns), dtype=np.int64), aliases)


def on_grid(channels: Sequence[Channel], rate_hz: Fraction | int) -> list[Channel]:
    """Give what sampling at a rate leaves of channels: edges on the nearest sample, pairs on one sample gone."""
    return [_on_grid(one, rate_hz) for one in channels]


def samples_of(channels: Sequence[Channel], end_ns: int, rate_hz: Fraction | int) -> NDArray[np.uint64]:
    """Sample channels from time 0 to the sample nearest to the end; bit k of a state is the k-th channel."""
    count = _sample(end_ns, rate_hz) + 1
    toggled = np.zeros(count, np.uint64)
    for bit, one in enumerate(channels):
        toggled[_toggles(one, rate_hz)] ^= np.uint64(1 << bit)
    initial = sum(one.initial << bit for bit, one in enumerate(channels))
    toggled[0] ^= np.uint64(initial)
    return np.bitwise_xor.accumulate(toggled)


def packed(samples: NDArray[np.uint64], unit: int) -> bytes:
    """Give samples as little-endian integers of ``unit`` bytes."""
    return samples.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :unit].tobytes()


def raw_bytes(channels: Sequence[Channel], end_ns: int, rate_hz: Fraction | int) -> bytes:
    """Write raw packed samples of ``ceil(len(channels) / 8)`` bytes."""
    return packed(samples_of(channels, end_ns, rate_hz), (len(channels) + 7) // 8)


def sigrok_bytes(
    channels: Sequence[Channel],
    end_ns: int,
    rate_hz: Fraction | int,
    *,
    unit: int | None = None,
    chunk: int = 4 << 20,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """Write a sigrok session of version 2 with members of ``chunk`` bytes."""
    unit = unit or (len(channels) + 7) // 8
    data = packed(samples_of(channels, end_ns, rate_hz), unit)
    starts = range(0, len(data), chunk)
    members = {f"logic-1-{number}": data[at : at + chunk] for number, at in enumerate(starts, 1)}
    return sigrok_zip(sigrok_metadata([one.name for one in channels], rate_hz, unit), members, method=method)


def sigrok_metadata(names: Sequence[str], rate_hz: Fraction | int, unit: int) -> str:
    """Write the metadata of a session whose lines all have names."""
    probes = "".join(f"probe{number}={name}\n" for number, name in enumerate(names, 1))
    device = f"capturefile=logic-1\ntotal probes={len(names)}\nsamplerate={_decimal(rate_hz)} Hz\ntotal analog=0\n"
    return f"[global]\nsigrok version=0.5.2\n\n[device 1]\n{device}{probes}unitsize={unit}\n"


def sigrok_zip(
    metadata: str | None,
    members: Mapping[str, bytes],
    *,
    version: str | None = "2",
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """Write a zip with the entries of a session, any of which may be left out or odd."""
    texts = {"version": version, "metadata": metadata}
    entries = {name: text.encode() for name, text in texts.items() if text is not None} | dict(members)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return target.getvalue()


def vcd_bytes(
    channels: Sequence[Channel], end_ns: int, *, timescale: str = "1 ns", identifiers: Sequence[str] | None = None
) -> bytes:
    """Write a value change dump; times are rounded to the nearest tick."""
    ids = identifiers or [chr(ord("!") + number) for number in range(len(channels))]
    declared = [f"$var wire 1 {key} {one.name} $end\n" for key, one in zip(ids, channels, strict=True)]
    preset = [f"{one.initial}{key}\n" for key, one in zip(ids, channels, strict=True)]
    head = f"$timescale {timescale} $end\n$scope module bus $end\n{''.join(declared)}$upscope $end\n"
    body = f"$enddefinitions $end\n#0\n$dumpvars\n{''.join(preset)}$end\n{_vcd_changes(channels, ids, timescale)}"
    return f"{head}{body}#{_tick(end_ns, timescale)}\n".encode()


def saleae_csv_bytes(
    channels: Sequence[Channel], end_ns: int, *, start_ns: int = 0, dates: bool = False, quoted: bool = False
) -> bytes:
    """Write a raw CSV export: seconds from ``start_ns``, or dates from that many nanoseconds after 1970."""
    times, states = merged_changes(channels)
    rows = [*zip(times.tolist(), states.tolist(), strict=True), (end_ns, int(states[-1]))]
    stamp = _date if dates else _seconds
    lines = [["Time [s]", *(one.name for one in channels)]]
    lines += [[stamp(start_ns + at), *(str(state >> bit & 1) for bit in range(len(channels)))] for at, state in rows]
    quote = '"' if quoted else ""
    return "".join(",".join(f"{quote}{cell}{quote}" for cell in line) + "\r\n" for line in lines).encode()


def saleae_binary_files(
    channels: Sequence[Channel], end_ns: int, *, version: int = 0, start_s: float = 0.0
) -> dict[str, bytes]:
    """Write a binary export: the bytes of each file by its name ``digital_N.bin``."""
    return {
        f"digital_{number}.bin": saleae_binary_bytes(one, end_ns, version=version, start_s=start_s)
        for number, one in enumerate(channels)
    }


def saleae_binary_bytes(one: Channel, end_ns: int, *, version: int = 0, start_s: float = 0.0) -> bytes:
    """Write one file of a binary export; in version 1 as a single chunk of 500 MHz."""
    times = start_s + one.edges_ns / 1e9
    borders = struct.pack("<ddQ", start_s, start_s + end_ns / 1e9, times.size)
    heads = {0: struct.pack("<I", one.initial), 1: struct.pack("<QId", 1, one.initial, 500e6)}
    return struct.pack("<8sii", b"<SALEAE>", version, 0) + heads[version] + borders + times.astype("<f8").tobytes()


def sal_bytes(
    channels: Sequence[Channel],
    end_ns: int,
    rate_hz: int = 10**9,
    *,
    version: int = 2,
    chunk: int = 1 << 40,
    start: int = 0,
    meta: str | None = None,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """Write a Logic 2 session with chunks of ``chunk`` samples; the names stand in ``meta.json``."""
    rows = [
        {"type": "channel", "name": one.name, "channel": {"type": "Digital", "deviceChannel": number}}
        for number, one in enumerate(channels)
    ]
    entries = {"meta.json": (json.dumps({"data": {"rowsSettings": rows}}) if meta is None else meta).encode()}
    for number, one in enumerate(channels):
        entries[f"digital-{number}.bin"] = _sal_line(one, _sample(end_ns, rate_hz) + 1, rate_hz, version, chunk, start)
    return zip_bytes(entries, method)


def sal_run(length: int) -> bytes:
    """Write a run: six bits in the first byte, seven in each that follows, the most significant first."""
    if length < 0x40:
        return bytes([length])
    rest = [length & 0x7F]
    length >>= 7
    while length >= 0x40:
        rest.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([0x40 | length, *reversed(rest)])


def dsl_bytes(channels: Sequence[Channel], end_ns: int, rate_hz: int, *, version: str = "3") -> bytes:
    """Write a DSView session of up to 2^24 samples."""
    samples = samples_of(channels, end_ns, rate_hz)
    probes = "".join(f"probe{number} = {one.name}\n" for number, one in enumerate(channels))
    header = (
        f"[version]\nversion = {version}\n[header]\ndriver = test\ndevice mode = 0\ncapturefile = data\n"
        f"total samples = {samples.size}\ntotal probes = {len(channels)}\ntotal blocks = 1\n"
        f"samplerate = {rate_hz} Hz\ntrigger time = 0\ntrigger pos = 0\n{probes}"
    )
    entries = {"header": header.encode()}
    for bit in range(len(channels)):
        levels = samples >> np.uint64(bit) & np.uint64(1)
        entries[f"L-{bit}/0"] = np.packbits(levels.astype(np.uint8), bitorder="little").tobytes()
    return zip_bytes(entries)


def ols_bytes(channels: Sequence[Channel], end_ns: int, rate_hz: int, *, keys: Mapping[str, object] = {}) -> bytes:
    """Write a session of the Logic Sniffer client."""
    samples = samples_of(channels, end_ns, rate_hz).tolist()
    rows = [f"{samples[0]:08x}@0"]
    rows += [f"{now:08x}@{at}" for at, (before, now) in enumerate(pairwise(samples), 1) if now != before]
    rows += [f"{samples[-1]:08x}@{len(samples) - 1}"]
    told = {"Size": len(rows), "Rate": rate_hz, "Channels": len(channels), "EnabledChannels": -1} | dict(keys)
    text = [*(f";{key}: {value}" for key, value in told.items()), *rows, ";CursorEnabled: false"]
    return ("\n".join(text) + "\n").encode()


def logic1_bytes(channels: Sequence[Channel], end_ns: int, rate_hz: int, *, word: int = 1) -> bytes:
    """Write an export of changes of Logic 1, with a record at the last sample."""
    samples = samples_of(channels, end_ns, rate_hz).tolist()
    at = [0, *(k for k in range(1, len(samples)) if samples[k] != samples[k - 1] or k == len(samples) - 1)]
    return b"".join(struct.pack("<Q", k) + samples[k].to_bytes(word, "little") for k in at)


def zip_bytes(entries: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Write a zip archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return target.getvalue()


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder, which is made, and give the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def _sal_line(one: Channel, count: int, rate_hz: int, version: int, chunk: int, start: int) -> bytes:
    head = struct.pack("<8sIIBdqdBB", b"<SALEAE>", version, 100, 1, float(rate_hz), 1_656_096_668_852, 0.5, 0, 0)
    toggles = _toggles(one, rate_hz)
    chunks = []
    for begin in range(0, count, chunk):
        end = min(begin + chunk, count)
        initial = (one.initial + sum(at <= begin for at in toggles)) & 1
        borders = [begin, *(at for at in toggles if begin < at < end), end]
        runs = b"".join(sal_run(after - before - 1) for before, after in pairwise(borders))
        first, last = start + begin, start + end
        if version == 2:
            chunks.append(struct.pack("<QQBBQ", first, last, initial, 0, len(runs)) + runs)
        else:
            table = struct.pack("<QQQI", 1, first, 0, initial)
            chunks.append(struct.pack("<6Q", first, last, last - first, rate_hz, 1, len(runs)) + runs + table)
    return head + struct.pack("<Q", len(chunks)) + b"".join(chunks)


def _on_grid(one: Channel, rate_hz: Fraction | int) -> Channel:
    toggles = _toggles(one, rate_hz)
    initial = one.initial ^ (toggles[:1] == [0])
    return channel(one.name, initial, [_nearest(Fraction(at * 10**9) / rate_hz) for at in toggles if at])


def _toggles(one: Channel, rate_hz: Fraction | int) -> list[int]:
    """Give the samples at which a channel differs from the sample before."""
    toggles: list[int] = []
    for edge in one.edges_ns.tolist():
        at = _sample(edge, rate_hz)
        if toggles and toggles[-1] == at:
            toggles.pop()
        else:
            toggles.append(at)
    return toggles


def _sample(time_ns: int, rate_hz: Fraction | int) -> int:
    return _nearest(Fraction(time_ns) * rate_hz / 10**9)


def _nearest(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _decimal(rate_hz: Fraction | int) -> str:
    return str(rate_hz) if isinstance(rate_hz, int) else f"{float(rate_hz):f}"


def _vcd_changes(channels: Sequence[Channel], ids: Sequence[str], timescale: str) -> str:
    times, states = merged_changes(channels)
    lines = []
    for at, before, after in zip(times[1:].tolist(), states[:-1].tolist(), states[1:].tolist(), strict=True):
        changed = [bit for bit in range(len(ids)) if (before ^ after) >> bit & 1]
        lines.append(f"#{_tick(at, timescale)} " + " ".join(f"{after >> bit & 1}{ids[bit]}" for bit in changed) + "\n")
    return "".join(lines)


def _tick(time_ns: int, timescale: str) -> int:
    number, unit = timescale.split()
    return _nearest(Fraction(time_ns) / (int(number) * VCD_UNITS_NS[unit]))


def _seconds(time_ns: int) -> str:
    whole, rest = divmod(abs(time_ns), 10**9)
    return f"{'-' if time_ns < 0 else ''}{whole}.{rest:09d}"


def _date(time_ns: int) -> str:
    whole, rest = divmod(time_ns, 10**9)
    return f"{EPOCH + timedelta(seconds=whole):%Y-%m-%dT%H:%M:%S}.{rest:09d}+00:00"
