"""Value change dumps: the shapes that programs write, and every way in which they can be broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from m43drivers.capture import open_capture
from tests.capture.support import capture_of, edges, plain, refusal_of
from tests.capture.writers import channel, vcd_bytes

if TYPE_CHECKING:
    from pathlib import Path

HEAD = '$timescale 1 ns $end $var wire 1 ! CLK $end $var wire 1 " DATA $end $enddefinitions $end\n'
BODY = '#0 0! 0"\n#10 1!\n#20 1"\n#30\n'


def test_time_stamps_and_changes_give_edges(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.vcd", (HEAD + BODY).encode())
    assert plain(capture.channels) == [("CLK", 0, [10]), ("DATA", 0, [20])]
    assert (capture.end_ns, capture.sample_rate_hz, capture.provenance.format) == (30, None, "vcd")


@pytest.mark.parametrize(
    ("timescale", "end_ns"),
    [
        ("1 ns", 30),
        ("1ns", 30),
        ("10\nns", 300),
        ("100\n\t ps ", 3),
        ("1 fs", 0),
        ("1us", 30_000),
        ("1 ms", 30_000_000),
        ("1 s", 30 * 10**9),
    ],
)
def test_timescales_of_any_unit_and_shape_are_read(tmp_path: Path, timescale: str, end_ns: int) -> None:
    capture = capture_of(tmp_path, "a.vcd", (HEAD.replace("1 ns", timescale) + BODY).encode())
    assert capture.end_ns == end_ns


def test_ticks_below_a_nanosecond_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    text = HEAD.replace("1 ns", "1 ps") + '#0 0! 0"\n#41667 1!\n#83333 0!\n#125500 1!'
    assert capture_of(tmp_path, "a.vcd", text.encode()).channels[0].edges_ns.tolist() == [42, 83, 126]


def test_changes_within_a_nanosecond_cancel(tmp_path: Path) -> None:
    text = HEAD.replace("1 ns", "1 ps") + "#0 0!\n#10100 1!\n#10200 0!\n#20000 1!"
    assert capture_of(tmp_path, "a.vcd", text.encode()).channels[0].edges_ns.tolist() == [20]


def test_many_femtoseconds_stay_exact(tmp_path: Path) -> None:
    text = HEAD.replace("1 ns", "1 fs") + "#0 0!\n#98765432109876543210 1!"
    assert capture_of(tmp_path, "a.vcd", text.encode()).channels[0].edges_ns.tolist() == [98765432109877]


def test_nested_scopes_tell_equal_names_apart(tmp_path: Path) -> None:
    text = (
        "$timescale 1 ns $end $scope module top $end $var wire 1 a CLK $end $scope module lens $end "
        "$var wire 1 b CLK $end $var wire 1 c ACK $end $upscope $end $upscope $end $upscope $end "
        "$var wire 1 d LAST $end $enddefinitions $end #0 0a 1b 0c 0d #5 1a"
    )
    channels = capture_of(tmp_path, "a.vcd", text.encode()).channels
    assert [(one.name, one.aliases) for one in channels] == [
        ("top.CLK", ()),
        ("top.lens.CLK", ()),
        ("ACK", ("top.lens.ACK",)),
        ("LAST", ()),
    ]
    assert edges(channels) == [(0, [5]), (1, []), (0, []), (0, [])]


def test_variables_that_share_an_identifier_are_one_channel(tmp_path: Path) -> None:
    text = HEAD.replace("$enddef", "$var reg 1 ! SCK $end $enddef") + BODY
    channels = capture_of(tmp_path, "a.vcd", text.encode()).channels
    assert [(one.name, one.aliases) for one in channels] == [("CLK", ("SCK",)), ("DATA", ())]


def test_digits_and_longer_words_are_identifiers(tmp_path: Path) -> None:
    channels = [channel("CLK", 0, [5]), channel("DATA", 1, [7, 9]), channel("ACK", 1, [5])]
    data = vcd_bytes(channels, 10, identifiers=["0", "1", "01b"])
    assert plain(capture_of(tmp_path, "a.vcd", data).channels) == plain(channels)


def test_a_line_that_keeps_its_name_through_scopes_is_called_by_it(tmp_path: Path) -> None:
    again = "$scope module lens $end $var wire 1 ! CLK $end $upscope $end"
    text = HEAD.replace("$enddef", f"{again} $enddef") + BODY
    channels = capture_of(tmp_path, "a.vcd", text.encode()).channels
    assert [(one.name, one.aliases) for one in channels] == [("CLK", ("lens.CLK",)), ("DATA", ())]


def test_an_index_belongs_to_the_name(tmp_path: Path) -> None:
    text = HEAD.replace("CLK", "BUS [3]") + BODY
    assert capture_of(tmp_path, "a.vcd", text.encode()).channels[0].name == "BUS[3]"


def test_one_bit_vectors_are_read_and_wider_ones_left_out(tmp_path: Path) -> None:
    wide = "$var wire 8 # BUS $end $var real 64 r TEMP $end $var string 1 s STATE $end"
    text = HEAD.replace("$enddef", f"{wide} $enddef") + '#0 b0 ! b1 "\nbx1010 # r1.5 r sIDLE s\n#5 b1 !\n#6 bz "'
    capture = capture_of(tmp_path, "a.vcd", text.encode())
    assert plain(capture.channels) == [("CLK", 0, [5]), ("DATA", 1, [6])]
    assert capture.provenance.details["x or z read as 0"] == "1 changes"


def test_unknown_levels_count_as_low_and_are_told(tmp_path: Path) -> None:
    text = HEAD + '#0 $dumpvars x! z" $end #5 1! #6 X! #7 h! #8 L!'
    capture = capture_of(tmp_path, "a.vcd", text.encode())
    assert plain(capture.channels) == [("CLK", 0, [5, 6, 7, 8]), ("DATA", 0, [])]
    assert capture.provenance.details["x or z read as 0"] == "3 changes"


def test_values_before_the_first_time_stamp_hold_from_zero(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.vcd", (HEAD + '$dumpvars 1! 0" $end #100 0! #150').encode())
    assert plain(capture.channels) == [("CLK", 1, [100]), ("DATA", 0, [])]
    assert capture.end_ns == 150


def test_a_late_first_time_stamp_is_time_zero(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.vcd", (HEAD + '#1000 1! 0"\n#1100 0!\n#1150').encode())
    assert plain(capture.channels) == [("CLK", 1, [100]), ("DATA", 0, [])]
    assert capture.end_ns == 150
    assert capture.provenance.details["time zero"] == "tick 1000 of 1 ns"


def test_sections_in_the_body_are_passed(tmp_path: Path) -> None:
    text = HEAD + '#0 $dumpall 1! $end $comment 0" #99 oops $end #5 $dumpoff x! $end #6 $dumpon 1! $end #7'
    assert capture_of(tmp_path, "a.vcd", text.encode()).channels[0].edges_ns.tolist() == [5, 6]


def test_the_file_s_own_words_are_kept(tmp_path: Path) -> None:
    text = "$date\n  today $end $version  my\n tool $end $comment first $end $comment second $end " + HEAD + BODY
    capture = capture_of(tmp_path, "a.vcd", text.encode())
    assert capture.provenance.details == {"date": "today", "version": "my tool", "comment": "first"}


@pytest.mark.parametrize("between", ["\r\n", "\t", "\n\n  "])
def test_any_white_space_separates_words(tmp_path: Path, between: str) -> None:
    text = (HEAD + BODY).replace(" ", between)
    assert plain(capture_of(tmp_path, "a.vcd", text.encode()).channels) == [("CLK", 0, [10]), ("DATA", 0, [20])]


def test_a_byte_order_mark_is_passed(tmp_path: Path) -> None:
    assert capture_of(tmp_path, "a.txt", b"\xef\xbb\xbf" + (HEAD + BODY).encode()).end_ns == 30


def test_a_file_of_many_blocks_is_read_whole(tmp_path: Path) -> None:
    channels = [channel("CLK", 0, range(7, 700_000, 7)), channel("DATA", 1, range(11, 700_000, 1100))]
    (tmp_path / "a.vcd").write_bytes(vcd_bytes(channels, 700_000))
    seen: list[float] = []
    capture = open_capture(tmp_path / "a.vcd", progress=seen.append)
    assert plain(capture.channels) == plain(channels)
    assert len(seen) > 3
    assert seen == sorted(seen)


BROKEN = {
    "undeclared": (HEAD + "#0 0!\n#5\n1?\n", "line 4: expected a declared identifier, found '?'"),
    "undeclared vector": (HEAD + "#0 0!\n#5 b1 ?\n", "line 3: expected a declared identifier, found '?'"),
    "no identifier": (HEAD + "#0\n0\n", "line 3: expected a declared identifier, found ''"),
    "no timescale": (HEAD.replace("$timescale 1 ns $end", "") + BODY, "line 1: expected a $timescale"),
    "timescale": (HEAD.replace("1 ns", "1 hour") + BODY, "line 1: expected a $timescale like '1 ns', found '1hour'"),
    "timescale 0": (HEAD.replace("1 ns", "0 ns") + BODY, "line 1: expected a $timescale like '1 ns', found '0ns'"),
    "no enddefinitions": (HEAD.replace("$enddefinitions $end", "") + BODY, "line 2: expected a declaration or $enddef"),
    "open enddefinitions": (
        HEAD.replace("ions $end", "ions") + "#0 $dumpvars 0! $end\n",
        "line 2: expected $end after",
    ),
    "cut header": (HEAD[:40], "line 1: the file ends inside '$var'; it is cut"),
    "cut between": ("$timescale 1 ns $end\n", "line 2: the file ends before $enddefinitions"),
    "no body": (HEAD, "line 2: expected a time stamp"),
    "no times": (HEAD + '0! 0"\n', "line 3: expected a time stamp"),
    "time back": (HEAD + "#10 0!\n#20 1!\n#19 0!\n", "line 4: time goes back from #20 to '#19'"),
    "time garbage": (HEAD + "#0 0!\n#1x 1!\n", "line 3: expected a time stamp like '#100', found '#1x'"),
    "time negative": (HEAD + "#0 0!\n#-5 1!\n", "line 3: expected a time stamp"),
    "time empty": (HEAD + "#\n", "line 2: expected a time stamp"),
    "time huge": (HEAD + "#0\n#99999999999999999999 1!\n", "line 3: time stamp 99999999999999999999 is more than"),
    "garbage": (HEAD + "#0 0!\n\n#5 hello!\n&\n", "line 4: expected a declared identifier, found 'ello!'"),
    "garbage word": (HEAD + "#0 0!\n\n#5 ?!?\n&\n", "line 4: expected a value change or a time stamp, found '?!?'"),
    "garbage vector": (HEAD + "#0 bHello !\n", "line 2: expected a vector of 0, 1, x and z, found 'bHello'"),
    "vector at the end": (HEAD + "#0\nb1", "line 3: expected a declared identifier"),
    "var without name": (HEAD.replace("! CLK", "!") + BODY, "line 1: expected '$var TYPE WIDTH IDENTIFIER NAME $end'"),
    "var width": (HEAD.replace("wire 1 !", "wire one !") + BODY, "line 1: expected '$var TYPE WIDTH IDENTIFIER NAME"),
    "nothing usable": (HEAD.replace("wire 1", "wire 8") + BODY, "line 1: declares no 1-bit signal"),
    "unfinished comment": (HEAD + "#0 0!\n$comment never\nends", "line 4: the file ends inside '$comment'"),
    "one endless word": (HEAD + "#0 " + "0" * (2 << 20), "a word of more than"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_dump_is_refused_with_its_line(tmp_path: Path, case: str) -> None:
    text, reason = BROKEN[case]
    assert reason in refusal_of(tmp_path, "a.vcd", text.encode())


def test_the_line_is_right_far_into_the_file(tmp_path: Path) -> None:
    changes = "".join(f"#{time}\n{time & 1}!\n" for time in range(100_000))
    assert "line 200002: expected a declared" in refusal_of(tmp_path, "a.vcd", (HEAD + changes + "1?").encode())


def test_deep_scopes_cost_no_memory(tmp_path: Path) -> None:
    scopes = "$scope module a_rather_long_name $end\n" * 3000
    variables = "".join(f"$var wire 1 {number:x} LINE{number} $end\n" for number in range(3000))
    text = f"$timescale 1 ns $end\n{scopes}{variables}$enddefinitions $end\n#0\n"
    channels = capture_of(tmp_path, "a.vcd", text.encode()).channels
    assert sum(len(alias) for one in channels for alias in one.aliases) < 2_000_000
