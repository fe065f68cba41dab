"""How a user names a body to test."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from m43drivers.simulator.script import ScriptError, load_script
from m43proto.dialects import DIALECTS
from m43proto.errors import M43Error
from m43proto.timing import BODY_TIMINGS, JITTERY, body_timing
from m43tools.conformance.body_bench import SCRIPT, SimBodyBench
from m43tools.conformance.body_mutants import BODY_MUTANTS, body_bench_with

if TYPE_CHECKING:
    from m43proto.catalogue import Catalogue

__all__ = ["BodyUrlError", "body_bench_of"]

_KEYS = ("script", "timing", "seed", "fault")
_TIMINGS = (*BODY_TIMINGS, JITTERY)
_TIMING = "patient"


class BodyUrlError(M43Error):
    """There is no such body; the text is one line that says what to do."""


def body_bench_of(url: str, catalogue: Catalogue) -> SimBodyBench:
    """Return the bench for the body that a user names: ``sim:DIALECT[?script=NAME&timing=NAME&seed=N&fault=NAME]``.

    Raises:
        BodyUrlError: there is no such body, or an option of it is wrong.
        ScriptError: its script cannot be run.
    """
    scheme, _, address = url.partition(":")
    if scheme != "sim":
        raise BodyUrlError(
            f"{url}: to judge a body the suite plays the lens at single lines, which no bridge of this project can do; "
            "use sim:DIALECT, or --capture with a logic analyser's recording"
        )
    dialect, _, query = address.partition("?")
    if dialect not in DIALECTS:
        raise BodyUrlError(f"{url}: no body is called {dialect or 'nothing'}; bodies: {', '.join(DIALECTS)}")
    pairs = parse_qsl(query, keep_blank_values=True)
    chosen = dict(pairs)
    unknown = next((key for key in chosen if key not in _KEYS), None)
    if unknown is not None or len(chosen) < len(pairs):
        raise BodyUrlError(f"{url}: a body takes each of the keys {', '.join(_KEYS)} once, and no others")
    return _bench(url, dialect, chosen, catalogue)


def _bench(url: str, dialect: str, chosen: dict[str, str], catalogue: Catalogue) -> SimBodyBench:
    timing, seed, fault = chosen.get("timing", _TIMING), chosen.get("seed", "0"), chosen.get("fault")
    if timing not in _TIMINGS or not seed.isdecimal():
        raise BodyUrlError(f"{url}: timing is one of {', '.join(_TIMINGS)}, and seed a number")
    try:
        script = load_script(chosen.get("script", SCRIPT))
        script.check(catalogue, has_lens=True)
    except ScriptError as error:
        raise BodyUrlError(f"{url}: {error}") from None
    if fault is None:
        return SimBodyBench(dialect, script, body_timing(timing, int(seed)), catalogue=catalogue, name=url)
    if fault not in BODY_MUTANTS or "timing" in chosen:
        raise BodyUrlError(f"{url}: fault is one of {', '.join(BODY_MUTANTS)}, and has a timing of its own")
    return body_bench_with(BODY_MUTANTS[fault], catalogue, dialect=dialect, script=script, name=url)
