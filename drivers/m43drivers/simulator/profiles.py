"""Lenses to simulate, as data: what is real about them, and what is made up.

A profile built by `from_lens` has the identity, the focal range and the apertures of a real lens; all mechanics behind
them, all times, serial number and firmware are synthetic. Only ``olympus-14-42`` answers with bytes of a real lens.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from m43drivers.simulator.stabiliser import Stabilisation
from m43proto.encodings import F_NUMBER, FIRMWARE, SERIAL
from m43proto.errors import M43Error
from m43proto.lensdb import find_lens

if TYPE_CHECKING:
    from m43proto.lensdb import Lens

__all__ = ["PROFILES", "Profile", "ProfileError", "from_lens", "profile_named", "profile_of"]


class ProfileError(M43Error):
    """There is no such profile, or it cannot be made; the text says what was expected."""


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
        av_step: the iris moves in steps of so many words from the widest aperture.
        iris_speed: aperture words (Av x 256) per second.
        iris_acceleration: aperture words per second squared.
        zoom_steps: highest zoom step; 0 for a prime.
        power_zoom: whether a motor zooms, by its name. No bus command for it is public: a caller turns it.
        stabilisation: its stabiliser, or None where its name has none.
        wake_ns: power-up time: BODY_ACK rises behind SLEEP to the wake pulse, at least.
        initialise_ns: how long Initialise takes.
        enable_drive_ns: how long EnableDrive takes.
        synthetic: what of all this is made up.

    Raises:
        EncodeError: the serial number or the firmware version does not fit the wire.
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
    av_step: int
    iris_speed: float
    iris_acceleration: float
    zoom_steps: int
    power_zoom: bool
    stabilisation: Stabilisation | None
    wake_ns: int
    initialise_ns: int
    enable_drive_ns: int
    synthetic: str

    def __post_init__(self) -> None:
        SERIAL.encode(self.serial)
        FIRMWARE.encode(self.firmware)

    def replace(self, **changes: Any) -> Profile:
        """Return the same lens with another serial number, firmware version, or whatever else is given."""
        return dataclasses.replace(self, **changes)

    @property
    def adapter(self) -> bool:
        """Whether it is a Four Thirds lens, which needs an adapter.

        Its identity is the lens's own. Whether an adapter shows on the bus, and how, is unknown (specs OQ-27); here it
        does not.
        """
        return self.lens.mount == "FT"

    def distance_m(self, position: float) -> float:
        """Return the distance that is in focus at a position; infinity at `infinity` and beyond."""
        per_dioptre = (self.infinity - self.rest) * self.rest_distance_m
        dioptres = (self.infinity - position) / per_dioptre
        return 1 / dioptres if dioptres > 0 else math.inf

    def widest_at(self, zoom_step: int) -> int:
        """Return the widest effective aperture at a zoom step, as a wire word."""
        wide, tele = self.widest_av
        return round(wide + (tele - wide) * zoom_step / max(self.zoom_steps, 1))


SYNTHETIC = "serial number, firmware, all times, all mechanics, and every status byte that nobody has decoded"

_STATUS_TAIL = bytes.fromhex("d2002f018c01ea014702a4025c034e02")

_EIGHTH_AV = 32

_POWER_ZOOM = re.compile(r"\b(PZ|EZ)\b")


def profile_of(lens: Lens, name: str, **changes: Any) -> Profile:
    """Return a profile with the identity, the focal range and the widest apertures of a real lens.

    Args:
        lens: which lens.
        name: what to call it.
        changes: attributes of the profile that are to be others than by default.

    Raises:
        ProfileError: the lens database has no focal range or no apertures of it.
    """
    _demand_complete(lens)
    profile = Profile(
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
        av_step=_EIGHTH_AV,
        iris_speed=12_000.0,
        iris_acceleration=400_000.0,
        zoom_steps=0 if lens.focal_min_mm == lens.focal_max_mm else 31,
        power_zoom=_POWER_ZOOM.search(lens.name) is not None,
        stabilisation=Stabilisation() if lens.stabilised else None,
        wake_ns=4_500,
        initialise_ns=300_000_000,
        enable_drive_ns=2_400_000,
        synthetic=SYNTHETIC,
    )
    return profile.replace(**changes)


def _demand_complete(lens: Lens) -> None:
    figures = {
        "focal length": (lens.focal_min_mm, lens.focal_max_mm),
        "aperture": (lens.aperture_wide_f, lens.aperture_tele_f),
    }
    for what, values in figures.items():
        if not all(0 < value < math.inf for value in values):
            raise ProfileError(f"lens {lens.id_text}, {lens.name}: its {what} is not known, so it cannot be simulated")


def from_lens(name: str, maker: int, model: str, submodel: str, **changes: Any) -> Profile:
    """Return the profile of a lens of the lens database; see `profile_of`.

    Raises:
        ProfileError: there is no such lens, or it is not known well enough.
    """
    lens = find_lens(maker, model, submodel)
    if lens is None:
        raise ProfileError(f"no lens {maker} {model} {submodel} in the lens database; m43 lenses lists them")
    return profile_of(lens, name, **changes)


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        from_lens(
            "olympus-14-42",
            0,
            "01",
            "10",
            serial="AAA243841",
            firmware="1.101",
            near=-148,
            infinity=583,
            rest=12,
            rest_distance_m=0.33,
            widest_av=(945, 1293),
            smallest_av=2304,
            av_step=1,
            initialise_ns=480_000_000,
            synthetic="all times and mechanics but the resting position, its distance and the widest aperture at the "
            "wide end",
        ),
        from_lens("olympus-45", 0, "11", "10"),
        from_lens("olympus-12-100-is", 0, "26", "10"),
        from_lens("olympus-ft-14-54", 0, "05", "00", focus_speed=900.0, focus_backlash=6.0),
        from_lens("panasonic-pz-14-42", 2, "14", "10", wake_ns=2_000_000, initialise_ns=900_000_000),
        from_lens("panasonic-20", 2, "05", "10"),
    )
}
"""Lenses by name: a standard zoom, primes, a power zoom, two with stabilisation, a Four Thirds lens on an adapter."""

_IDENTITY = re.compile(r"(?:lens:)?(\d{1,5})[ -](\d\d)[ -](\d\d)")


def profile_named(name: str) -> Profile:
    """Return a profile by its name, or that of any lens by its id, as `m43 lenses` prints it or as ``lens:2-14-10``.

    Raises:
        ProfileError: there is none of that name or id, or the lens is not known well enough.
    """
    if name in PROFILES:
        return PROFILES[name]
    identity = _IDENTITY.fullmatch(name)
    if identity is None:
        known = ", ".join(PROFILES)
        raise ProfileError(
            f"no lens profile is called {name}; profiles: {known}, or lens:MAKER-MODEL-SUBMODEL with an id that "
            "m43 lenses prints"
        )
    maker, model, submodel = identity.groups()
    return from_lens(f"lens:{int(maker)}-{model}-{submodel}", int(maker), model, submodel)
