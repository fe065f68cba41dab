"""sigrok session files ``.sr``, versions 1 and 2: a zip of a ``metadata`` key file and packed samples.

Sources of the rules: libsigrok ``session_file.c``, ``session_driver.c``, ``output/srzip.c``; and what 1,018 public
files really hold (indented keys, ``2 mHz`` for two megahertz, names for only some probes, samples of five bytes).
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

from m43drivers.capture.ahead import ahead
from m43drivers.capture.archive import Archive
from m43drivers.capture.common import Meter, Options, bare, distinct_labels, one_line, shown
from m43drivers.capture.model import CaptureError, Provenance, RateMissingError
from m43drivers.capture.packed import MAX_LINES, MAX_UNIT, ROWS_OF_A_BLOCK, ChangeFinder, Still
from m43drivers.capture.stream import Block, CaptureStream, Label
from m43drivers.capture.times import last_sample_ns, period_ns
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["stream"]

VERSIONS = frozenset({"1", "2"})
SAMPLERATE = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)\s*([kmgtpe]?)\s*(?:hz)?", re.IGNORECASE)
# An ``m`` is mega here: libsigrok compares the prefix without its case, and no analyser samples in millihertz.
PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}
PROBE = re.compile(r"probe([1-9]\d{0,4})")
# Escapes of GLib key files, which sigrok writes.
ESCAPE = re.compile(r"\\(.)")
ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r"}
TOLD = ("driver", "samplerate", "total probes", "unitsize")


@record(frozen=True, slots=True)
class _Device:
    """The part of ``metadata`` that describes the samples."""

    capturefile: str
    unit: int
    lines: int
    rate: Fraction
    names: Mapping[int, str]
    details: Mapping[str, str]


def stream(paths: tuple[Path, ...], options: Options) -> CaptureStream:
    """Open a sigrok session.

    Every line of ``total probes`` becomes a channel; lines without a name are called ``D<bit>``.

    Args:
        paths: one file.
        options: ``rate_hz`` is needed where the file has no ``samplerate``, and wins where it has one.

    Raises:
        CaptureError: the session is damaged, analog only, of an unknown version, or has no rate. The stream raises it
            for the samples.
    """
    (path,) = paths
    with Archive(path) as known:
        _check_version(path, known)
        device = _device(path, known.text("metadata"), options)
        members = _members(path, known, device)
        tick_ns = period_ns(device.rate)
        last_sample_ns(path, _count(path, known, members, device), tick_ns)
        sizes = [known.size(member) for member in members]
        starts = _starts(sizes, device.unit)
    labels = tuple(Label(name, aliases) for name, aliases in _labels(device))

    everything = (1 << device.lines) - 1

    def wanted(mask: int | None) -> int:
        return everything if mask is None else mask & everything

    def blocks(mask: int | None) -> Iterator[Block]:
        meter = Meter(options.progress, sum(sizes))
        finder = ChangeFinder(device.unit, wanted(mask))
        with known.again() as archive, ahead(_changes(archive, members, finder, meter=meter)) as found:
            yield from found

    def since(tick: int, mask: int | None, rows: int | None = None, until: int = 0) -> Iterator[Block]:
        finder = ChangeFinder(device.unit, wanted(mask), tick, rows or ROWS_OF_A_BLOCK)
        with known.again() as archive:
            yield from _changes(archive, members[starts.index(tick) :], finder, until=until)

    provenance = Provenance(str(path), "sigrok", device.details)
    marks = tuple(starts[1:])
    return CaptureStream(labels, tick_ns, float(device.rate), provenance, blocks, marks=marks, since=since)


def _check_version(path: Path, archive: Archive) -> None:
    for name in ("version", "metadata"):
        if name not in archive.names:
            raise CaptureError(path, f"a zip archive without the entry {name!r}, so no capture; save the capture again")
    version = archive.text("version").strip()
    if version not in VERSIONS:
        expected = f"expected sigrok session version 1 or 2, found {shown(version)}; save it with sigrok-cli 0.7"
        raise CaptureError(path, expected, where="entry version")


def _device(path: Path, text: str, options: Options) -> _Device:
    groups = _key_file(path, text)
    devices = [keys for group, keys in groups.items() if group.startswith("device")]
    keys = next((keys for keys in devices if keys.get("capturefile")), None)
    if keys is None:
        raise _bad_key(path, "capturefile", _without_samples(devices))
    names = {int(probe) - 1: name for probe, name in _probes(keys)}
    lines, unit = _size(path, keys, names)
    told = {key: keys[key] for key in TOLD if key in keys}
    about = groups.get("global", {})
    details = {"sigrok version": about.get("sigrok version", "not stated")} | told
    details |= {"comment": about["comment"]} if "comment" in about else {}
    rate = options.rate_hz if options.rate_hz is not None else _samplerate(path, keys)
    return _Device(keys["capturefile"], unit, lines, rate, names, {key: one_line(v) for key, v in details.items()})


def _key_file(path: Path, text: str) -> dict[str, dict[str, str]]:
    """Read a GLib key file; white space around lines, keys and values is nothing."""
    groups: dict[str, dict[str, str]] = {}
    keys: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        key, equals, value = line.partition("=")
        if line.startswith("[") and line.endswith("]"):
            keys = groups.setdefault(line[1:-1].strip(), {})
        elif equals:
            keys[key.strip()] = _unescaped(value.strip())
        elif line and not line.startswith("#"):
            expected = f"expected [group] or key=value on line {number}, found {shown(line)}; save the capture again"
            raise CaptureError(path, expected, where="entry metadata")
    return groups


def _unescaped(value: str) -> str:
    return ESCAPE.sub(lambda match: ESCAPES.get(match[1], match[1]), value)


def _without_samples(devices: list[dict[str, str]]) -> str:
    if any(key.startswith("analog") for keys in devices for key in keys):
        return "this session holds analog channels only; record digital (logic) channels"
    return "this session names no samples; record the capture again"


def _probes(keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, name in keys.items():
        if name and (match := PROBE.fullmatch(key)):
            yield match[1], one_line(name)


def _size(path: Path, keys: Mapping[str, str], names: Mapping[int, str]) -> tuple[int, int]:
    """Give the number of lines and the bytes per sample, each derived from the other where one is not stated."""
    lines = _number(path, keys, "total probes", MAX_LINES) or max(names, default=0) + 1
    unit = _number(path, keys, "unitsize", MAX_UNIT) or (lines + 7) // 8
    if max(names, default=0) >= 8 * unit:
        raise _bad_key(
            path, f"probe{max(names) + 1}", f"lies outside of samples of {unit} bytes; save the capture again"
        )
    # A device of 32 lines may have stored the one byte that was enabled.
    return min(max(lines, max(names, default=0) + 1), 8 * unit), unit


def _number(path: Path, keys: Mapping[str, str], key: str, largest: int) -> int | None:
    if key not in keys:
        return None
    text = keys[key]
    if not (re.fullmatch(r"\d{1,4}", text) and 1 <= int(text) <= largest):
        raise _bad_key(path, key, f"expected a number from 1 to {largest}, found {shown(text)}; save the capture again")
    return int(text)


def _samplerate(path: Path, keys: Mapping[str, str]) -> Fraction:
    text = keys.get("samplerate")
    if text is None:
        expected = "samplerate: the session states no sample rate; give it with --rate (rate_hz)"
        raise RateMissingError(path, expected, where="entry metadata")
    match = SAMPLERATE.fullmatch(text.strip())
    rate = Fraction(match[1]) * PREFIXES[match[2].lower()] if match else Fraction(0)
    if not rate:
        raise _bad_key(
            path, "samplerate", f"expected a rate like '24 MHz', found {shown(text)}; give it with --rate (rate_hz)"
        )
    return rate


def _bad_key(path: Path, key: str, expected: str) -> CaptureError:
    return CaptureError(path, f"{key}: {expected}", where="entry metadata")


def _members(path: Path, archive: Archive, device: _Device) -> list[str]:
    """Name the entries with samples in order: one without a number, or numbers from 1 without a gap."""
    base = device.capturefile
    if base in archive.names:
        return [base]
    pattern = re.compile(re.escape(base) + r"-([1-9]\d{0,9})")
    numbers = sorted(int(match[1]) for match in map(pattern.fullmatch, archive.names) if match)
    gap = next((wanted for wanted, number in enumerate(numbers, 1) if number != wanted), None if numbers else 1)
    if gap is not None:
        reason = "is missing; samples would shift in time, save or copy the capture again"
        raise CaptureError(path, reason, where=f"entry {bare(f'{base}-{gap}')}")
    return [f"{base}-{number}" for number in numbers]


def _count(path: Path, archive: Archive, members: list[str], device: _Device) -> int:
    total = sum(map(archive.size, members))
    count, rest = divmod(total, device.unit)
    if rest:
        raise CaptureError(path, f"{total} bytes are no whole number of {device.unit} byte samples; save it again")
    return count


def _starts(sizes: list[int], unit: int) -> list[int]:
    """Give the number of the first sample of each entry; none, unless all entries but the last hold whole samples."""
    if any(size % unit for size in sizes[:-1]):
        return [0]
    return [0, *(bytes_before // unit for bytes_before in accumulate(sizes[:-1]))]


def _changes(
    archive: Archive, members: list[str], finder: ChangeFinder, *, until: int | None = None, meter: Meter | None = None
) -> Iterator[Block]:
    """Find the changes in entries; from a sample on, a block ends with each entry, for who wants no more of them.

    An entry that is byte for byte an earlier one, which held no change, is not inflated again: most of a slow bus at a
    high rate is one idle line, in entries that are all alike.
    """
    known: tuple[object, Still] | None = None
    done = 0
    for member in members:
        seal, before = archive.seal(member), finder.still
        if known is not None and before is not None and known[0] == seal and known[1].shown == before.shown:
            finder.pass_over(archive.size(member), known[1].last)
            done += archive.size(member)
        else:
            for piece in archive.stream(member):
                finder.feed(piece)
                if finder.full and (block := finder.block()):
                    yield block
                done += len(piece)
                if meter is not None:
                    meter.at(done)
            after = finder.still
            if seal is not None and before is not None and after is not None and after.found == before.found:
                known = seal, after
        if until is not None and finder.position >= until and (block := finder.block()):
            yield block
    if last := finder.block():
        yield last


def _labels(device: _Device) -> list[tuple[str, tuple[str, ...]]]:
    """Name every line; a name in the file wins over the ``D<bit>`` of an unnamed line."""
    given = set(device.names.values())
    stand_ins = (f"D{bit}" if f"D{bit}" not in given else f"bit {bit}" for bit in range(device.lines))
    return distinct_labels(
        (device.names.get(bit, stand_in), (f"D{bit}", str(bit))) for bit, stand_in in enumerate(stand_ins)
    )
