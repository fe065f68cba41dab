"""Two decoders for libsigrokdecode (API 3): the link, which carries the engine, and the messages stacked on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.messages import PROVISIONAL
from m43tools.exporting.bundle import engine_files, template

if TYPE_CHECKING:
    from m43proto.catalogue import Catalogue

__all__ = ["sigrok_files"]

_LICENCE = "##\n## This file is part of m43proto. SPDX-License-Identifier: Apache-2.0 (compatible with GPLv3).\n##\n"
_BY_HAND = ("m43_link/__init__.py", "m43_link/pd.py", "m43/__init__.py", "m43/pd.py")


def sigrok_files(catalogue: Catalogue) -> dict[str, bytes]:
    """Return the decoders by path below the folder that ``SIGROKDECODE_DIR`` names."""
    files = {path: _LICENCE + template("sigrok", *path.split("/")) for path in _BY_HAND}
    files["README.md"] = template("sigrok", "README.md")
    files |= {f"m43_link/engine/{name}": text for name, text in engine_files(catalogue, PROVISIONAL).items()}
    return {path: text.encode() for path, text in files.items()}
