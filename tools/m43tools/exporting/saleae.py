"""An extension for Saleae Logic 2: rows of messages over the frames of its SPI analyser."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

from m43proto.messages import PROVISIONAL
from m43tools.exporting.bundle import NOTE, engine_files, template

if TYPE_CHECKING:
    from m43proto.catalogue import Catalogue

__all__ = ["saleae_files"]


def saleae_files(catalogue: Catalogue) -> dict[str, bytes]:
    """Return the extension by path in its folder."""
    about = {
        "version": version("m43proto"),
        "apiVersion": "1.0.0",
        "author": "m43proto",
        "name": "Micro Four Thirds lens mount",
        "description": "Messages between body and lens, with fields, sums and evidence. Apache-2.0.",
        "extensions": {"M43 messages": {"type": "HighLevelAnalyzer", "entryPoint": "M43.Messages"}},
    }
    files = {
        "extension.json": json.dumps(about, indent=2) + "\n",
        "README.md": template("saleae", "README.md"),
        "M43.py": f"# {NOTE}\n# SPDX-License-Identifier: Apache-2.0\n" + template("saleae", "M43.py"),
    }
    files |= {f"m43_engine/{name}": text for name, text in engine_files(catalogue, PROVISIONAL).items()}
    return {path: text.encode() for path, text in files.items()}
