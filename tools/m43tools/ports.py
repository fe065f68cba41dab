"""``m43 ports``: which serial ports there are, and at which a bridge may be."""

from __future__ import annotations

import asyncio
import json

import click

from m43drivers.ports import BootLoader, Port, boot_loaders, greet, list_ports
from m43drivers.transport import Abilities, TransportError
from m43tools.render.table import print_table

__all__ = ["ports"]

EXIT_NOTHING_FOUND = 1

_HEADINGS = ("port", "usb id", "description", "bridge")


@click.command(
    short_help="List serial ports, and where a bridge may be.",
    epilog="Exit codes: 0 listed; 1 no serial port, or with --probe no bridge; 2 wrong usage.",
)
@click.option(
    "--probe", is_flag=True, help="Open each port and say hello. This sends 6 bytes, up to three times, to each."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object for programs.")
@click.pass_context
def ports(ctx: click.Context, *, probe: bool, as_json: bool) -> None:
    r"""List the serial ports, and mark those at which a bridge may be.

    A board in its boot loader has no serial port; it is told of where libusb can see it.

    \b
    Examples:
      m43 ports
      m43 ports --probe
      m43 ports --json
    """
    found = list_ports()
    answers: list[Abilities | TransportError | None] = [None] * len(found)
    if probe:
        answers = [*asyncio.run(greet(found))]
    boards = boot_loaders()
    if as_json:
        _print_json(found, answers, boards)
    else:
        _print_text(found, answers, boards)
    bridges = [answer for answer in answers if isinstance(answer, Abilities)]
    if not found or (probe and not bridges):
        ctx.exit(EXIT_NOTHING_FOUND)


def _print_text(
    found: list[Port], answers: list[Abilities | TransportError | None], boards: list[BootLoader] | None
) -> None:
    if found:
        rows = [_cells(port, answer) for port, answer in zip(found, answers, strict=True)]
        print_table(_HEADINGS, rows, "1 port" if len(rows) == 1 else f"{len(rows)} ports")
    else:
        click.echo("m43: there is no serial port; is the bridge plugged in?", err=True)
    for board in boards or []:
        click.echo(
            f"m43: a board with {board.chip} ({_usb_text(board.usb_id)}) is in its boot loader; "
            "copy MicroPython to it, and then the firmware",
            err=True,
        )
    if boards is None and not any(port.perhaps for port in found):
        click.echo("m43: boards in their boot loader cannot be told, for libusb is missing or refuses", err=True)


def _cells(port: Port, answer: Abilities | TransportError | None) -> tuple[str, ...]:
    return (port.device, _usb_text(port.usb_id), port.description, _bridge_text(port, answer))


def _usb_text(usb_id: tuple[int, int] | None) -> str:
    return "" if usb_id is None else f"{usb_id[0]:04x}:{usb_id[1]:04x}"


def _bridge_text(port: Port, answer: Abilities | TransportError | None) -> str:
    if isinstance(answer, Abilities):
        return f"yes: {answer.name}, firmware {answer.firmware}"
    if answer is not None:
        return f"no: {str(answer).removeprefix(f'{port.url}: ').removeprefix(f'{port.device}: ')}"
    return f"perhaps: {port.perhaps}" if port.perhaps else ""


def _print_json(
    found: list[Port], answers: list[Abilities | TransportError | None], boards: list[BootLoader] | None
) -> None:
    told = {
        "ports": [_record(port, answer) for port, answer in zip(found, answers, strict=True)],
        "boot_loaders": None if boards is None else [_board_record(board) for board in boards],
    }
    click.echo(json.dumps(told, ensure_ascii=False, indent=2))


def _board_record(board: BootLoader) -> dict[str, object]:
    return {"chip": board.chip, "usb_id": _usb_text(board.usb_id)}


def _record(port: Port, answer: Abilities | TransportError | None) -> dict[str, object]:
    abilities = answer if isinstance(answer, Abilities) else None
    return {
        "device": port.device,
        "url": port.url,
        "description": port.description,
        "usb_id": _usb_text(port.usb_id) or None,
        "serial_number": port.serial_number or None,
        "perhaps_bridge": port.perhaps or None,
        "bridge": abilities and {"name": abilities.name, "firmware": abilities.firmware, "boot_id": abilities.boot_id},
        "error": str(answer) if isinstance(answer, TransportError) else None,
    }
