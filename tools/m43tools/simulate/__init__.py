"""``m43 simulate``: a lens, a body, or both, before there is hardware."""

from __future__ import annotations

import click

from m43tools.simulate.body import body as simulate_body
from m43tools.simulate.lens import lens as simulate_lens
from m43tools.simulate.session import session as simulate_session

__all__ = ["simulate"]


@click.group(short_help="Simulate a lens, a body, or a session of both.")
def simulate() -> None:
    r"""Simulate one end of the mount for somebody else's simulator, or a whole session as a capture file.

    \b
    Examples:
      m43 simulate lens --stdio
      m43 simulate body --script default --stdio
      m43 simulate session --lens panasonic-20 --script focus-sweep -o focus.sr

    Exit codes: 0 written, or the other side has closed the connection; 2 wrong usage or cannot be written.
    """


for _command in (simulate_lens, simulate_body, simulate_session):
    simulate.add_command(_command)
