"""Scripts of the simulated body: reading them, refusing them, and what the body does with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from m43drivers.simulator.body import SimulatedBody, focus_drive
from m43drivers.simulator.faults import faults_named
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.profiles import PROFILES, Profile
from m43drivers.simulator.script import BodyScript, ScriptError, load_script, parse_script, script_names, step
from m43drivers.simulator.session import Recording, SessionPlan, recorded
from m43drivers.simulator.steps import REQUIRED, SETTINGS, STEPS
from m43proto.dialects import DIALECTS
from m43proto.ends import NEVER, PinLens, Script
from m43proto.events import PinEvent, PinEventSeen, TransactionSeen, Violation
from m43proto.messages import PROVISIONAL, PUBLIC, Drive, SetFocusRing, Status
from m43proto.mount import Mount
from m43proto.pins import LINES, Line
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.observing import observed, of

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import Event

ROOT = Path(__file__).parents[1]
EVERYTHING = PUBLIC | PROVISIONAL
OLYMPUS = PROFILES["olympus-14-42"]
SETUP = Drive(focus_operation="setup")
MS = 1_000_000


def session_of(
    script: BodyScript,
    profile: Profile = OLYMPUS,
    *,
    dialect: str | None = None,
    faults: tuple[str, ...] = (),
    body: str = "bell_body",
    lens: str = "bell_lens",
    seed: int = 0,
) -> Recording:
    plan = SessionPlan(
        profile=profile,
        script=script,
        dialect=script.dialect_for(dialect),
        faults=faults_named(faults),
        catalogue=EVERYTHING,
        body_timing=body,
        lens_timing=lens,
        seed=seed,
    )
    return recorded(plan, lines=LINES, names=LINES)


def script_of(*texts: str, **settings: object) -> BodyScript:
    head = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return parse_script(f"{head}step = [{', '.join(texts)}]", "test")


STARTED = '"power_up", "start_up"'


class Alone:
    """A body with a lens that a test brings, and the events between them."""

    def __init__(
        self, script: Callable[[SimulatedBody], Script[None]], lens: PinLens | None = None, **settings: object
    ) -> None:
        self.lens = SimulatedLens(OLYMPUS)
        pins = lens or PinLens(LENS_TIMINGS["bell_lens"], self.lens, PUBLIC.shape_of)
        self.body = SimulatedBody(BODY_TIMINGS["bell_body"], script, **settings)  # type: ignore[arg-type]
        self.changes = list(Mount(self.body, pins).run(NEVER))
        self.events: list[Event] = observed(self.changes)


def commands(recording: Recording | Alone) -> list[bytes]:
    return [outcome.command for outcome in recording.body.outcomes]


# the tables


def test_every_step_and_setting_is_documented_and_its_example_is_taken() -> None:
    for kind in STEPS.values():
        assert kind.doc.endswith(".")
        given = "".join(f", {key.name} = {key.example}" for key in kind.keys)
        [parsed] = script_of(f'{{do = "{kind.name}"{given}}}').steps
        assert parsed.kind is kind
        assert set(parsed.values) == {key.name for key in kind.keys}
        assert kind.lasts_s(parsed.values, 60) >= 0
    for key in SETTINGS.values():
        assert parse_script(f'{key.name} = {key.example}\nstep = ["power_up"]', "x").steps


def test_every_default_is_a_value_that_its_key_takes() -> None:
    for kind in STEPS.values():
        for key in kind.keys:
            assert key.default is REQUIRED or key.name == "block" or key.check(key.default) == key.default


def test_a_table_and_a_list_of_steps_are_the_same() -> None:
    tables = parse_script('[[step]]\ndo = "power_up"\n[[step]]\ndo = "poll"\nframes = 3\n', "x")
    assert tables == BodyScript("x", tables.steps)
    assert tables.steps == script_of('"power_up"', '{do = "poll", frames = 3}').steps
    assert tables.steps == (step("power_up"), step("poll", frames=3))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("step = [", "x: is no TOML: "),
        ("", 'x: step: expected a list of steps, found none; write step = ["power_up", "start_up"]'),
        ("step = []", "x: step: expected a list of steps, found none"),
        ('step = "poll"', "x: step: expected a list of steps, found none"),
        ("step = [7]", 'x: step 1: do: expected the name of a step, found 7; write do = "poll"'),
        ('step = ["pol"]', "x: step 1: do: no step is called pol; did you mean poll?"),
        ('step = ["poll", "xyz"]', "x: step 2: do: no step is called xyz; known: power_up, start_up, poll"),
        ('step = [{do = "poll", frame = 1}]', "x: step 1: frame: poll takes no such key; did you mean frames?"),
        ('step = [{do = "scan", q = 1}]', "x: step 1: q: scan takes no such key; known: none"),
        (
            'step = [{do = "poll", frames = "many"}]',
            "x: step 1: frames: expected a whole number from 1 to 1000000",
        ),
        ('step = [{do = "poll", frames = true}]', "found True; write frames = 30"),
        ('step = [{do = "poll", frames = 0}]', "found 0; write frames = 30"),
        ('step = ["aperture"]', "x: step 1: f: expected an f-number from 1 to 180, found nothing; write f = 5.6"),
        ('step = [{do = "aperture", f = nan}]', "expected an f-number from 1 to 180, found nan"),
        (
            'step = [{do = "focus", position = 40000}]',
            "position: expected a whole number from -32768 to 32767",
        ),
        ('step = [{do = "ring", direction = "left"}]', "expected one of forward, reverse, found 'left'"),
        ('step = [{do = "ring", direction = ["left"]}]', "expected one of forward, reverse, found ['left']"),
        ('step = [{do = "transact", command = "c3"}]', "x: step 1: command: expected four bytes in hexadecimal"),
        ('step = [{do = "transact", command = 3}]', "x: step 1: command: expected four bytes in hexadecimal, found 3"),
        ('step = [{do = "transact", command = "6080fe02", block = "zz"}]', "block: expected bytes in hexadecimal"),
        ('dialect = "E-M1"\nstep = ["poll"]', "x: dialect: expected one of E-P1, E-PL1, found 'E-M1'"),
        ('frame_hz = 0\nstep = ["poll"]', "x: frame_hz: expected a number from 1 to 240, found 0; write frame_hz = 60"),
        ('frames_hz = 60\nstep = ["poll"]', "x: frames_hz: a script takes no such key; did you mean frame_hz?"),
    ],
)
def test_a_script_that_is_wrong_is_told_in_a_line(text: str, line: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(text, "x")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{do = "transact", command = "ff000000"}', "test: step 1: transact: command ff 00 00 00 has no known shape"),
        (
            '{do = "transact", command = "c1800106", block = "01"}',
            "a command of shape read takes no block",
        ),
        ('"stabiliser"', "test: step 1: stabiliser is provisional; allow it: m43 --catalogue provisional simulate"),
        ('{do = "zoom", step = 1}', "test: step 1: zoom needs a simulated lens; m43 simulate session has one"),
        ('"yank"', "test: step 1: yank needs a simulated lens"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_begins(text: str, line: str) -> None:
    with pytest.raises(ScriptError) as caught:
        script_of(text).check(PUBLIC, has_lens=False)
    assert line in str(caught.value)


def test_files_that_are_no_script_are_told_in_a_line(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes('about = "é"'.encode("latin-1"))
    broken, empty = tmp_path / "broken.py", tmp_path / "empty.py"
    broken.write_text("x = 1\nimport nonsense_that_is_not_there\n")
    empty.write_text("def script(body): return []\n")
    for name, line in (
        ("nonsense", "no script is called nonsense; scripts: aperture-sweep, default, "),
        (str(tmp_path / "none.toml"), "none.toml: cannot be read: No such file"),
        (str(tmp_path / "none.py"), "none.py: no such file"),
        (str(latin), "latin.toml: is no UTF-8 text"),
        (str(broken), "broken.py: the file is broken: line 2: ModuleNotFoundError: No module named"),
        (str(empty), "empty.py: expected a generator function script(body), found none"),
    ):
        with pytest.raises(ScriptError) as caught:
            load_script(name)
        assert line in str(caught.value)


PYTHON = '''
from m43proto.messages import Drive

def script(body):
    """Closes the iris until the lens says so."""
    yield from body.power_up()
    yield from body.start_up()
    yield from body.drive(Drive(aperture_operation="set", aperture_f=8.0))
    yield from body.poll()
    while body.outcomes[-1].seen.data[8:10] != bytes([0x00, 0x06]):
        yield from body.poll()
    {}
'''


def test_a_script_in_python_decides_by_what_the_lens_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PYTHON.format("yield from body.power_down()"))
    script = load_script(str(path))
    assert script.about == "Closes the iris until the lens says so."
    recording = session_of(script)
    last = recording.body.outcomes[-1].seen
    assert last is not None
    assert Status.parse(last.command[2:] + last.data).aperture_f == pytest.approx(8.0)
    assert recording.body.done


def test_a_script_in_python_that_fails_is_told_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PYTHON.format("yield from body.send(bytes(4))"))
    with pytest.raises(ScriptError, match=r"mine\.py: line 12: ValueError: 00 00 00 00 is no command of a known shape"):
        session_of(load_script(str(path)))


# scripts that come with the project


def test_the_scripts_have_names_and_purposes() -> None:
    wanted = {"power-up", "polling", "aperture-sweep", "focus-sweep", "zoom", "focus-ring", "default", "stabilisation"}
    assert wanted <= set(script_names())
    assert all(load_script(name).about.endswith(".") for name in script_names())


@pytest.mark.parametrize("name", script_names())
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_script_runs_with_every_profile(name: str, profile: Profile) -> None:
    script = load_script(name)
    script.check(EVERYTHING, has_lens=True)
    recording = session_of(script, profile)
    body = recording.body
    assert body.done
    assert body.wake_pulses == [True]
    failed = [outcome for outcome in body.outcomes if not outcome.ok]
    assert bool(failed) == bool(body.overruns) == (name == "yank")
    assert recording.contention_ns == ()
    if not failed:
        share = script.lasts_ns / recording.end_ns
        assert 0.6 < share < 1.6


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_session_begins_as_its_dialect_says(dialect: str) -> None:
    recording = session_of(load_script("power-up"), dialect=dialect)
    steps, poll = DIALECTS[dialect].steps, DIALECTS[dialect].poll
    assert commands(recording) == [step.command for step in steps] + [poll, poll, SETUP.command, poll]
    blocks = [
        outcome.seen.data for outcome in recording.body.outcomes if outcome.seen and outcome.seen.shape == "write"
    ]
    assert blocks == [*(step.block for step in steps if step.block), bytes.fromhex("010000000000000000")]


# frames


def test_a_frame_is_as_in_the_captures() -> None:
    run = Alone(plainly(lambda body: body.poll(5)))
    syncs = [event for event in of(PinEventSeen, run.events) if event.event is PinEvent.FRAME_SYNC]
    toggles = [event.t_ns for event in of(PinEventSeen, run.events) if event.event is PinEvent.FOCUS_TOGGLE]
    polls = [event for event in of(TransactionSeen, run.events) if event.command == DIALECTS["E-PL1"].poll][1:]
    drive = next(event for event in of(TransactionSeen, run.events) if event.command == SETUP.command)
    assert [sync.t_ns - syncs[0].t_ns for sync in syncs] == [round(frame * 1e9 / 60) for frame in range(5)]
    assert {505_000 <= sync.end_ns - sync.t_ns <= 511_000 for sync in syncs} == {True}
    assert {1.51 < (poll.t_ns - sync.end_ns) / MS < 1.54 for sync, poll in zip(syncs, polls, strict=True)} == {True}
    lasts = [polls[0].end_ns, drive.end_ns, *(poll.end_ns for poll in polls[2:])]
    assert {4.0 < (toggle - last) / MS < 4.1 for toggle, last in zip(toggles, lasts, strict=True)} == {True}
    assert polls[1].end_ns < drive.t_ns < polls[1].end_ns + 100_000
    assert run.body.overruns == 0
    holds = [event for event in of(PinEventSeen, run.events) if event.event is PinEvent.CLOCK_HOLD]
    assert [(hold.end_ns - hold.t_ns) / MS for hold in holds] == [1.0]
    assert of(Violation, run.events) == []


def plainly(*steps: Callable[[SimulatedBody], Script[object]]) -> Callable[[SimulatedBody], Script[None]]:
    def script(body: SimulatedBody) -> Script[None]:
        yield from body.power_up()
        yield from body.start_up()
        for one in steps:
            yield from one(body)

    return script


def test_no_drive_comes_before_the_setup_drive_and_at_most_one_in_a_frame() -> None:
    aperture = Drive(aperture_operation="set", aperture_f=8.0)
    run = Alone(plainly(lambda body: body.drive(aperture), lambda body: body.drive(focus_drive(-100))))
    poll = DIALECTS["E-PL1"].poll
    sent = commands(run)[len(DIALECTS["E-PL1"].steps) :]
    assert sent == [poll, poll, SETUP.command, poll, aperture.command, poll, focus_drive(0).command]
    assert focus_drive(-100).block.hex() == "010000000000"[:10] + "9cff" + "0100"
    assert focus_drive(100).block.endswith(bytes(2))
    assert run.lens.focus.target == -100


def test_without_a_start_up_a_drive_needs_no_setup_drive() -> None:
    def script(body: SimulatedBody) -> Script[None]:
        yield from body.power_up()
        yield from body.drive(focus_drive(50))

    assert commands(Alone(script)) == [DIALECTS["E-PL1"].poll, focus_drive(50).command]


def test_the_schedule_stays_when_frames_take_too_long() -> None:
    run = Alone(plainly(lambda body: body.poll(6)), frame_hz=200.0)
    syncs = [event.t_ns for event in of(PinEventSeen, run.events) if event.event is PinEvent.FRAME_SYNC]
    assert [(sync - syncs[0]) / (5 * MS) for sync in syncs] == [0, 2, 4, 6, 8, 10]
    assert run.body.overruns == 6


def test_a_pause_leaves_frames_out_and_is_no_overrun() -> None:
    run = Alone(plainly(lambda body: body.poll(2), lambda body: body.pause(40 * MS), lambda body: body.poll(2)))
    syncs = [event.t_ns for event in of(PinEventSeen, run.events) if event.event is PinEvent.FRAME_SYNC]
    assert [round((sync - syncs[0]) * 60 / 1e9) for sync in syncs] == [0, 1, 4, 5]
    assert run.body.overruns == 0


# steps


def test_drives_and_hands_move_the_lens() -> None:
    recording = session_of(load_script("zoom"))
    statuses = [
        Status.parse(outcome.seen.command[2:] + outcome.seen.data)
        for outcome in recording.body.outcomes
        if outcome.seen and outcome.command == DIALECTS["E-PL1"].poll
    ]
    assert list(dict.fromkeys(status.zoom_step for status in statuses)) == [0, 8, 20, 31]
    assert statuses[-1].zoom_step == 0
    assert statuses[-1].aperture_f == pytest.approx(5.6, abs=0.02)

    recording = session_of(load_script("focus-ring"))
    assert recording.lens.ring_direction == "reverse"
    assert recording.lens.focus.target == OLYMPUS.rest + 30 + 60 - 60

    recording = session_of(load_script("focus-sweep"))
    assert recording.lens.focus.target == recording.lens.focus.high


def test_every_step_can_be_carried_out() -> None:
    texts = [
        f'{{do = "{kind.name}"{"".join(f", {key.name} = {key.example}" for key in kind.keys)}}}'
        for kind in STEPS.values()
        if kind.name not in ("power_up", "power_down", "yank")
    ]
    recording = session_of(script_of('"power_up"', *texts, '"power_down"'), PROFILES["olympus-12-100-is"])
    assert recording.body.done
    assert [outcome for outcome in recording.body.outcomes if not outcome.ok] == []
    assert SetFocusRing.request(ring_direction="forward") in commands(recording)


def test_a_lens_that_is_yanked_drives_nothing_any_more() -> None:
    recording = session_of(script_of(STARTED, '{do = "poll", frames = 2}', '"yank"', '"poll"', '"power_down"'))
    lens_ack = recording.channels[Line.LENS_ACK.bit]
    assert lens_ack.edges_ns.size % 2 == 0
    assert recording.body.outcomes[-1].seen is None
    assert lens_ack.edges_ns[-1] < recording.body.outcomes[-1].t_ns


# failures


@pytest.mark.parametrize("fault", ["wrong_command_sum@3", "lost_bit@3"])
def test_a_step_of_the_start_up_is_tried_again(fault: str) -> None:
    recording = session_of(load_script("power-up"), faults=(fault,), body="patient")
    wanted = [step.command for step in DIALECTS["E-PL1"].steps]
    tried = commands(recording)
    assert tried[2:4] == [wanted[2]] * 2
    assert [outcome.ok for outcome in recording.body.outcomes].count(False) == 1
    assert tried[:3] + tried[4 : len(wanted) + 1] == wanted


def test_a_drive_is_sent_again_with_the_next_frame() -> None:
    script = script_of(STARTED, '{do = "poll", frames = 2}', '{do = "focus", position = 100}', '"power_down"')
    recording = session_of(script, faults=("wrong_data_sum@13",))
    poll, drive = DIALECTS["E-PL1"].poll, focus_drive(100).command
    assert commands(recording)[-5:] == [SETUP.command, poll, drive, poll, drive]
    assert [outcome.ok for outcome in recording.body.outcomes[-3:]] == [False, True, True]


def test_what_always_fails_is_left_and_the_script_goes_on() -> None:
    script = script_of(STARTED, '{do = "focus", position = 100}', '"poll"', '"power_down"', attempts=2)
    recording = session_of(script, faults=("wrong_command_sum",))
    poll, drive = DIALECTS["E-PL1"].poll, focus_drive(100).command
    start_up = [command for step in DIALECTS["E-PL1"].steps for command in [step.command] * 2]
    assert commands(recording) == [*start_up, poll, *[poll, SETUP.command] * 2, *[poll, drive] * 2, poll]
    assert recording.body.done


def test_a_lens_without_a_wake_pulse_is_switched_off_and_on_again() -> None:
    class Deaf(PinLens):
        def __init__(self) -> None:
            super().__init__(LENS_TIMINGS["bell_lens"], SimulatedLens(OLYMPUS), PUBLIC.shape_of)
            self._power_ups = 0

        def _wake(self) -> Script[None]:
            self._power_ups += 1
            if self._power_ups == 1:
                yield HOUR_NS
            yield from super()._wake()

    run = Alone(plainly(), Deaf())
    assert run.body.wake_pulses == [False, True]
    assert all(outcome.ok for outcome in run.body.outcomes)


HOUR_NS = 3_600 * 10**9


def test_no_lens_at_all_ends_too() -> None:
    class Nothing(PinLens):
        def __init__(self) -> None:
            super().__init__(LENS_TIMINGS["bell_lens"], SimulatedLens(OLYMPUS), PUBLIC.shape_of)
            self._stop()

    run = Alone(plainly(lambda body: body.poll(2)), Nothing())
    assert run.body.wake_pulses == [False, False, False]
    assert run.body.done
    assert {outcome.seen for outcome in run.body.outcomes} == {None}
    assert len(run.body.outcomes) == 8 * 3 + 2 + 1


def test_the_patient_body_gives_the_lens_program_what_it_needs() -> None:
    """specs/2-link.md §2.12: LENS_ACK high 10 us before CLK, and low 8 us before BODY_ACK falls in a completion."""
    plan = session_of(load_script("default"), body="patient")
    clk, lens_ack = (plan.channels[line.bit].edges_ns for line in (Line.CLK, Line.LENS_ACK))
    falls, rises = clk[::2], lens_ack[::2]
    begins = falls[1:][falls[1:] - falls[:-1] > 3_000]
    asleep = plan.body.outcomes[0].t_ns
    waits = [begin - rises[rises < begin].max() for begin in begins.tolist() if begin > asleep]
    assert len(waits) > 1_000
    assert min(waits) >= 10_000


def test_the_examples_of_the_spec_are_scripts(tmp_path: Path) -> None:
    page = (ROOT / "specs" / "10-scripts.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [short] = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    [python] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.py").write_text(python)
    for script in (
        parse_script(example, "spec"),
        parse_script(short, "readme"),
        load_script(str(tmp_path / "mine.py")),
    ):
        recording = session_of(script)
        assert recording.body.done
        assert all(outcome.ok for outcome in recording.body.outcomes)
