"""Lenses to simulate, as data: what is real about them, and what is made up.

A profile built by `from_lens` has the identity, the focal range and the apertures of a real lens; all mechanics behind
them, serial number and firmware are synthetic. Only `OLYMPUS_14_42` answers with bytes that a real lens has sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m43proto.encodings import F_NUMBER
from m43proto.errors import M43Error
from m43proto.lensdb import find_lens

if TYPE_CHECKING:
    from m43proto.lensdb import Lens

__all__ = ["PROFILES", "Profile", "ProfileError", "from_lens", "profile_named"]


class ProfileError(M43Error):
    """There is no such profile; the text says which there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A lens to simulate.

    Attributes:
        name: what users call it.
        lens: its row in the lens database: identity, focal range, widest apertures.
        serial: serial number.
        firmware: firmware version.
        link_capability: its answer to LinkCapability.
        flags: the first bytes of its status, which nobody has decoded.
        scaled_zoom: two bytes of its status, which nobody has decoded.
        tail: the last bytes of its status, which nobody has decoded.
        near: focus position at the closest focus.
        infinity: focus position at infinity.
        rest: focus position at power-up.
        rest_distance_m: distance at `rest`; with `infinity` it fixes the scale, which is linear in dioptres.
        focus_speed: counts per second.
        focus_acceleration: counts per second squared.
        focus_backlash: counts.
        widest_av: widest effective aperture at the wide and at the tele end, as wire words (Av x 256).
        smallest_av: smallest aperture, as a wire word.
        iris_speed: aperture words (Av x 256) per second.
        zoom_steps: highest zoom step; 0 for a prime.
        initialise_ns: how long Initialise takes.
        synthetic: what of all this is made up.
    """

    name: str
    lens: Lens
    serial: str
    firmware: str
    link_capability: bytes
    flags: bytes
    scaled_zoom: bytes
    tail: bytes
    near: int
    infinity: int
    rest: int
    rest_distance_m: float
    focus_speed: float
    focus_acceleration: float
    focus_backlash: float
    widest_av: tuple[int, int]
    smallest_av: int
    iris_speed: float
    zoom_steps: int
    initialise_ns: int
    synthetic: str

    def distance_m(self, position: float) -> float:
        """Return the distance that is in focus at a position; infinity at `infinity` and beyond."""
        per_dioptre = (self.infinity - self.rest) * self.rest_distance_m
        dioptres = (self.infinity - position) / per_dioptre
        return 1 / dioptres if dioptres > 0 else math.inf

    def widest_at(self, zoom_step: int) -> int:
        """Return the widest effective aperture at a zoom step, as a wire word."""
        wide, tele = self.widest_av
        return round(wide + (tele - wide) * zoom_step / max(self.zoom_steps, 1))


SYNTHETIC = "serial number, firmware, mechanics, and every status byte that nobody has decoded"

_STATUS_TAIL = bytes.fromhex("d2002f018c01ea014702a4025c034e02")


def from_lens(name: str, maker: int, model: str, submodel: str, *, initialise_ns: int = 300_000_000) -> Profile:
    """Return a profile with the identity, the focal range and the widest apertures of a real lens.

    Raises:
        ProfileError: the lens database has no such lens.
    """
    lens = find_lens(maker, model, submodel)
    if lens is None:
        raise ProfileError(f"no lens {maker} {model} {submodel} in the lens database")
    return Profile(
        name=name,
        lens=lens,
        serial="SYNTHETIC001",
        firmware="1.000",
        link_capability=bytes.fromhex("0a10c409"),
        flags=bytes.fromhex("c2e10000"),
        scaled_zoom=bytes.fromhex("000c"),
        tail=_STATUS_TAIL,
        near=-150,
        infinity=600,
        rest=0,
        rest_distance_m=lens.focal_max_mm / 100,
        focus_speed=2_500.0,
        focus_acceleration=40_000.0,
        focus_backlash=2.0,
        widest_av=(F_NUMBER.encode(lens.aperture_wide_f), F_NUMBER.encode(lens.aperture_tele_f)),
        smallest_av=F_NUMBER.encode(22.0),
        iris_speed=12_000.0,
        zoom_steps=0 if lens.focal_min_mm == lens.focal_max_mm else 31,
        initialise_ns=initialise_ns,
        synthetic=SYNTHETIC,
    )


def _olympus_14_42() -> Profile:
    lens = find_lens(0, "01", "10")
    assert lens is not None
    return Profile(
        name="olympus-14-42",
        lens=lens,
        serial="AAA243841",
        firmware="1.101",
        link_capability=bytes.fromhex("0a10c409"),
        flags=bytes.fromhex("c2e10000"),
        scaled_zoom=bytes.fromhex("000c"),
        tail=_STATUS_TAIL,
        near=-148,
        infinity=583,
        rest=12,
        rest_distance_m=0.33,
        focus_speed=2_500.0,
        focus_acceleration=40_000.0,
        focus_backlash=2.0,
        widest_av=(945, 1293),
        smallest_av=2304,
        iris_speed=12_000.0,
        zoom_steps=31,
        initialise_ns=480_000_000,
        synthetic="all mechanics but the resting position, its distance and the widest aperture at the wide end",
    )


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        _olympus_14_42(),
        from_lens("olympus-45", 0, "11", "10"),
        from_lens("olympus-12-100-is", 0, "26", "10"),
        from_lens("olympus-ft-14-54", 0, "05", "00"),
        from_lens("panasonic-pz-14-42", 2, "14", "10"),
        from_lens("panasonic-20", 2, "05", "10"),
    )
}
"""Lenses by name: a standard zoom, primes, a power zoom, one with stabilisation, a Four Thirds lens."""


def profile_named(name: str) -> Profile:
    """Return a profile.

    Raises:
        ProfileError: there is none of that name.
    """
    if name not in PROFILES:
        raise ProfileError(f"no lens profile is called {name}; profiles: {', '.join(PROFILES)}")
    return PROFILES[name]
