"""Raw CSV exports of Logic 2: exact times, and every way in which they can be broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from m43drivers.capture import open_capture
from tests.capture.support import capture_of, edges, plain, refusal_of
from tests.capture.writers import channel, saleae_csv_bytes

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "Time [s],Channel 0,Channel 1\n"


def rows(*lines: str) -> bytes:
    return (HEAD + "\n".join(lines)).encode()


def test_rows_give_edges_and_the_last_row_the_end(tmp_path: Path) -> None:
    data = rows("0.000000000,0,1", "0.000001000,1,1", "0.000002500,0,0", "0.000009000,0,0")
    capture = capture_of(tmp_path, "digital.csv", data)
    assert plain(capture.channels) == [("Channel 0", 0, [1000, 2500]), ("Channel 1", 1, [2500])]
    assert (capture.end_ns, capture.sample_rate_hz, capture.provenance.format) == (9000, None, "saleae-csv")


def test_default_names_have_short_aliases_and_the_user_s_have_none(tmp_path: Path) -> None:
    data = b"Time [s],Channel 7,CLK\n0.0,0,0\n"
    labels = [(one.name, one.aliases) for one in capture_of(tmp_path, "a.csv", data).channels]
    assert labels == [("Channel 7", ("D7", "7")), ("CLK", ())]


def test_quoted_names_may_hold_commas_and_names_may_be_missing_or_equal(tmp_path: Path) -> None:
    data = b'Time [s],"CLK, ""slow""",,A,A\n0.0,0,0,0,0\n'
    names = [one.name for one in capture_of(tmp_path, "a.csv", data).channels]
    assert names == ['CLK, "slow"', "column 3", "A", "A (2)"]


@pytest.mark.parametrize("head", ["Time,A", '"Time [s]","A"', "\ufeffTime [s],A", "Time[s], A"])
def test_other_spellings_of_the_header_are_known_by_content(tmp_path: Path, head: str) -> None:
    assert capture_of(tmp_path, "export.txt", f"{head}\r\n0.0,1\r\n".encode()).channels[0].name == "A"


@pytest.mark.parametrize(
    ("first", "second", "time_ns"),
    [
        ("0.000000000", "0.000000001", 1),
        ("-0.000000010", "0.000000001", 11),
        ("-1.5", "-0.25", 1_250_000_000),
        ("0", "9007199.254740993", 9007199254740993),
        ("123456789.000000001", "123456789.000000002", 1),
        ("0.0000000000", "0.0000000014", 1),
        ("0.0000000000", "0.0000000015", 2),
        ("0.0000000004", "0.0000000013", 1),
        ("0.0", "1.646e-05", 16460),
        ("0.0", "+2E3", 2 * 10**12),
        ("2022-06-24T18:51:08.852112100+00:00", "2022-06-24T18:51:08.852128560+00:00", 16460),
        ("2022-06-24T23:59:59.999999999Z", "2022-06-25T00:00:00Z", 1),
        ("2022-06-24T18:51:08+02:00", "2022-06-24T18:51:09.5+0200", 1_500_000_000),
        ("2022-10-30T02:59:59+02:00", "2022-10-30T02:00:01+01:00", 2_000_000_000),
        ("2022-06-24 18:51:08", "2022-06-24 18:51:08.1", 100_000_000),
    ],
)
def test_times_are_exact(tmp_path: Path, first: str, second: str, time_ns: int) -> None:
    capture = capture_of(tmp_path, "a.csv", rows(f"{first},0,0", f"{second},1,0"))
    assert edges(capture.channels)[0] == (0, [time_ns])
    assert capture.provenance.details["time zero"] == first


def test_no_data_counts_as_low_and_is_told(tmp_path: Path) -> None:
    # The example of the maker's own description of the format.
    data = (
        "Time [s],Channel 0 :),Channel 1 :),Ch2\n0.000000000,0,1,X\n0.125000000,0,0,X\n0.250000000,1,1,X\n"
        "0.500000000,0,0,1\n0.625000000,1,1,0\n0.750000000,0,1,0\n0.875000000,1,0,1\n1.000000000,X,X,X\n"
    )
    capture = capture_of(tmp_path, "a.csv", data.encode())
    assert plain(capture.channels)[2] == ("Ch2", 0, [500_000_000, 625_000_000, 875_000_000, 1_000_000_000])
    assert capture.provenance.details["no data (X) read as 0"] == "6 values"


def test_several_rows_of_one_time_are_one_change(tmp_path: Path) -> None:
    data = rows("0.0,0,0", "0.000000005,1,0", "0.000000005,1,1", "0.000000005,0,1")
    assert edges(capture_of(tmp_path, "a.csv", data).channels) == [(0, []), (0, [5])]


def test_a_single_row_is_a_capture_without_length(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.csv", rows("5.0,1,0"))
    assert (edges(capture.channels), capture.end_ns) == ([(1, []), (0, [])], 0)


def test_progress_is_told_on_long_files(tmp_path: Path) -> None:
    channels = [channel("CLK", 0, range(10, 500_000, 10))]
    (tmp_path / "a.csv").write_bytes(saleae_csv_bytes(channels, 500_000))
    seen: list[float] = []
    capture = open_capture(tmp_path / "a.csv", progress=seen.append)
    assert plain(capture.channels) == plain(channels)
    assert 5 < len(seen) < 300
    assert seen == sorted(seen)


BROKEN = {
    "no rows": (rows(), "line 2: holds a header but no rows"),
    "too few": (rows("0.0,0,0", "0.1,0"), "line 3: expected a time and 2 values of 0, 1 or X, found '0.1,0'"),
    "too many": (rows("0.0,0,0,1"), "line 2: expected a time and 2 values"),
    "no number": (
        rows("0.0,0,0", "", "oops,0,1"),
        "line 4: expected a time and 2 values of 0, 1 or X, found 'oops,0,1'",
    ),
    "value 2": (rows("0.0,0,0", "0.1,0,2"), "line 3: expected a time and 2 values of 0, 1 or X, found '0.1,0,2'"),
    "analog": (rows("0.0,1.234,0.1"), "line 2: expected a time and 2 values"),
    "time back": (rows("0.0,0,0", "0.2,1,0", "0.1,0,0"), "line 4: time goes back"),
    "date back": (rows("2022-06-24T18:51:08Z,0,0", "2022-06-24T18:51:07Z,0,0"), "line 3: time goes back"),
    "time infinite": (rows("0.0,0,0", "inf,1,0"), "line 3: expected a time"),
    "time nan": (rows("nan,0,0"), "line 2: expected a time"),
    "time hexadecimal": (rows("0x10,0,0"), "line 2: expected a time"),
    "month 13": (rows("2022-13-24T18:51:08Z,0,0"), "line 2: expected a time"),
    "date after seconds": (rows("0.0,0,0", "2022-06-24T18:51:08Z,0,0"), "line 3: expected a time"),
    "too long": (rows("0.0,0,0", "99999999999,0,0"), "line 3: is more than 292 years after"),
    "endless line": (rows("0.0,0,0", "0" * 70_000), "line 3: more than 65536 bytes without a line end"),
    "header only time": (b"Time [s],\n0.0\n", "line 2: expected a time and 1 values"),
    "long garbage": (rows("x" * 1000), "found 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'"),
    "wrong header": (b"a,b,c\n1,2,3\n", "line 1: expected a header like 'Time [s],Channel 0', found 'a,b,c"),
    "unquoted header": (b'"Time [s]","A\n0.0,1\n', "line 1: expected a header"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_export_is_refused_with_its_line(tmp_path: Path, case: str) -> None:
    data, reason = BROKEN[case]
    assert reason in refusal_of(tmp_path, "a.csv", data)
