"""The ``m43`` command: finds the subcommand and turns every failure into one line and a documented exit code.

This file imports nothing but click, so that ``m43 --help`` answers at once; a subcommand is imported when it is run.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "EXIT_BAD_INPUT", "EXIT_BROKEN_PIPE", "EXIT_INTERRUPTED", "main", "root"]

_COMPLETION = "_M43_COMPLETE"

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

COMMANDS: dict[str, tuple[str, str]] = {
    "sniff": ("m43tools.sniff:sniff", "Decode a logic-analyser capture: what body and lens said."),
    "plot": ("m43tools.plot:plot", "Draw a capture: focus, aperture and zoom over time, and its lines."),
    "convert": ("m43tools.convert:convert", "Convert a capture to another format."),
    "lenses": ("m43tools.lenses:lenses", "Look lenses up: identity, focal range, apertures, sources."),
    "messages": ("m43tools.messages:messages", "Show the message catalogue: fields, units, evidence, sources."),
    "lens": ("m43tools.lens:lens", "Drive a lens: read it, move aperture and focus, watch it."),
    "simulate": ("m43tools.simulate:simulate", "Simulate a lens, a body, or a session of both."),
    "analysers": ("m43tools.analysers:analysers", "List logic analysers: what they can do, and what is missing."),
    "ports": ("m43tools.ports:ports", "List serial ports, and where a bridge may be."),
    "conform": ("m43tools.conform:conform", "Test whether a lens or a body keeps the protocol, live or on a capture."),
    "export": ("m43tools.export:export", "Write what is generated from the message tables."),
}
"""Subcommands: name -> (where it is, its help in a sentence)."""


def with_paragraphs(command: click.Command) -> click.Command:
    r"""Have click keep the lines of each paragraph of the help that is marked with ``\b``.

    Click wants the character; a raw docstring holds a backslash and a letter.
    """
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for below in getattr(command, "commands", {}).values():
        with_paragraphs(below)
    return command


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is run, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return with_paragraphs(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 clean; 1 with findings; 2 bad input or usage; 4 no lens; 130 interrupted; 141 pipe closed.",
)
@click.option(
    "--catalogue",
    "catalogues",
    metavar="NAME|FILE.py",
    multiple=True,
    help="Also know these messages: 'provisional', an installed catalogue, or a Python file of your own. "
    "May be given several times; later ones override earlier ones.",
)
@click.version_option(package_name="m43proto", prog_name="m43")
@click.pass_context
def root(ctx: click.Context, catalogues: tuple[str, ...]) -> None:
    r"""Tools for the Micro Four Thirds lens mount.

    \b
    Examples:
      m43 sniff capture.sr                       what body and lens said, as a table
      m43 sniff capture.sr --format jsonl        the same for programs
      m43 --catalogue mine.py sniff capture.sr   with messages of your own
      m43 lenses panasonic pz                    look a lens up
      m43 lens watch                             drive one: a live table
    """
    ctx.obj = catalogues


with_paragraphs(root)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``m43`` and return its exit code; every failure is one line on stderr."""
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("m43: interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_BROKEN_PIPE
    except Exception as error:
        return _refuse(error)


def _run(arguments: list[str]) -> int:
    """Run a subcommand; unlike ``root.main()``, leave exit codes and closed pipes to the caller."""
    if _COMPLETION in os.environ:
        root.main(arguments, prog_name="m43", complete_var=_COMPLETION)
    with root.make_context("m43", arguments) as context:
        root.invoke(context)
        sys.stdout.flush()
    return 0


def _refuse(error: Exception) -> int:
    """Print an error of the project's own as one line; any other is a defect and keeps its traceback."""
    from m43proto.errors import M43Error

    if not isinstance(error, M43Error | OSError):
        raise error
    click.echo(f"m43: {error}", err=True)
    return EXIT_BAD_INPUT


def _forget_stdout() -> None:
    """Keep the interpreter from flushing into the closed pipe at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
