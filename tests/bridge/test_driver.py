"""L2, whole: the driver over a serial port, with the firmware's logic as a process behind it and a simulated lens."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from m43drivers.body import Life, open_lens
from m43drivers.body.errors import DriveStalledError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no PTYs on this system")


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of a PTY with a bridge behind it; its lens has the faults that the test asks for."""
    faults = [word for fault in getattr(request, "param", ()) for word in ("--fault", fault)]
    command = [sys.executable, "-m", "m43drivers.bridge.process", "--pty", *faults]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


async def test_the_driver_moves_a_lens_over_a_serial_port(port: str) -> None:
    async with open_lens(f"serial:{port}") as lens:
        assert lens.identity is not None
        assert lens.identity.serial == "AAA243841"
        opened = await lens.set_aperture(8)
        moved = await lens.focus_to(120)
        assert opened is not None
        assert moved is not None
        assert opened.aperture_f == pytest.approx(8, rel=0.01)
        assert moved.focus_position == 120
        polls = []
        async for status in lens.statuses():
            polls.append(status)
            if len(polls) == 5:
                break
        times = [status.t_ns for status in polls]
        assert times == sorted(set(times))
        await lens.sleep()
        assert lens.driver.life is Life.ASLEEP
        await lens.wake()
        assert (await lens.status_now()).focus_position is not None


@pytest.mark.parametrize("port", [["focus_stalls"]], indirect=True)
async def test_the_driver_sees_over_a_serial_port_that_a_focus_stalls(port: str) -> None:
    async with open_lens(f"serial:{port}") as lens:
        with pytest.raises(DriveStalledError, match="short of position 120"):
            await lens.focus_to(120)


@pytest.mark.parametrize("port", [["wrong_command_sum@12"]], indirect=True)
async def test_a_wrong_sum_is_tried_again_over_a_serial_port(port: str) -> None:
    async with open_lens(f"serial:{port}") as lens:
        await lens.focus_to(50)
        assert lens.driver.counters["wrong_sum"] == 1
