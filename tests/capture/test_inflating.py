"""Every inflater gives the same."""

from __future__ import annotations

import random
import zlib
from importlib import import_module

import pytest

from m43drivers.capture import inflating
from m43drivers.capture.archive import Archive
from m43drivers.capture.model import CaptureError
from tests.capture.support import zipped  # type: ignore[attr-defined]
