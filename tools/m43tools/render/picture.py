"""A terminal's text -> a picture of it, for the README."""

from __future__ import annotations

import io
import re
from html import unescape

from rich.console import Console
from rich.text import Text

__all__ = ["svg_of", "text_in"]

_SHOWN = re.compile(r"<text[^>]*>([^<]*)</text>")


def svg_of(text: str, title: str) -> str:
    """Return an SVG of a terminal window.

    Args:
        text: what the terminal shows, with ANSI colours.
        title: what stands above it.
    """
    shown = Text.from_ansi(text.rstrip("\n"))
    width = max(line.cell_len for line in shown.split("\n"))
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(shown, soft_wrap=True)
    return console.export_svg(title=title, unique_id="m43")


def text_in(svg: str) -> str:
    """Return the words that an SVG shows, whatever they look like."""
    return " ".join(unescape(" ".join(_SHOWN.findall(svg))).split())
