"""The lens database: which lens an identity on the wire belongs to, and where we know it from.

The rows stand in ``lenses.csv`` beside this file. Identities and names come from what bodies store in photographs
(EXIFTOOL), so they are observed, not read off the wire, except where a row says more. Focal lengths and apertures are
read off the names; a lens is marked as stabilised only where its name says so.
"""

from __future__ import annotations

from functools import cache

from m43proto.evidence import Evidence
from m43proto.records import record

__all__ = ["MOUNTS", "Lens", "find_lens", "lenses", "search_lenses"]

MOUNTS = {"FT": "Four Thirds", "MFT": "Micro Four Thirds"}


@record(frozen=True, slots=True)
class Lens:
    """One lens.

    Attributes:
        maker: the maker's number.
        model: model code, two BCD digits as text.
        submodel: sub-model code, two BCD digits as text.
        maker_name: who sells it.
        name: its name.
        mount: a key of `MOUNTS`.
        focal_min_mm: focal length at the wide end.
        focal_max_mm: focal length at the tele end; equal for a prime.
        aperture_wide_f: widest f-number at the wide end.
        aperture_tele_f: widest f-number at the tele end.
        stabilised: True where the name says so; None where nobody told.
        evidence: how sure the identity is.
        source: citation.
        note: a caveat, or an empty string.
    """

    maker: int
    model: str
    submodel: str
    maker_name: str
    name: str
    mount: str
    focal_min_mm: float
    focal_max_mm: float
    aperture_wide_f: float
    aperture_tele_f: float
    stabilised: bool | None
    evidence: Evidence
    source: str
    note: str

    @property
    def id_text(self) -> str:
        """Maker, model and sub-model as EXIF tools print them: ``"0 01 10"``."""
        return f"{self.maker} {self.model} {self.submodel}"

    @property
    def id_bytes(self) -> bytes:
        """The first four bytes of its identity block: maker little-endian, model, sub-model."""
        return self.maker.to_bytes(2, "little") + bytes.fromhex(self.model + self.submodel)


def _lens(row: dict[str, str]) -> Lens:
    return Lens(
        maker=int(row["maker"]),
        model=row["model"],
        submodel=row["submodel"],
        maker_name=row["maker_name"],
        name=row["name"],
        mount=row["mount"],
        focal_min_mm=float(row["focal_min_mm"]),
        focal_max_mm=float(row["focal_max_mm"]),
        aperture_wide_f=float(row["aperture_wide_f"]),
        aperture_tele_f=float(row["aperture_tele_f"]),
        stabilised=True if row["stabilised"] == "yes" else None,
        evidence=Evidence(row["evidence"]),
        source=row["source"],
        note=row["note"],
    )


@cache
def lenses() -> tuple[Lens, ...]:
    """Return every lens, in the order of maker, model and sub-model."""
    import csv  # Most decoding needs no lens by name, and these two take longer to import than all of this package.
    from importlib import resources

    text = resources.files("m43proto").joinpath("lenses.csv").read_text(encoding="utf-8")
    return tuple(_lens(row) for row in csv.DictReader(text.splitlines()))


@cache
def _by_identity() -> dict[tuple[int, str, str], Lens]:
    return {(lens.maker, lens.model, lens.submodel): lens for lens in lenses()}


def find_lens(maker: int, model: str, submodel: str) -> Lens | None:
    """Return the lens of an identity as `m43proto.messages.Identify` decodes it, or None."""
    return _by_identity().get((maker, model, submodel))


def search_lenses(words: tuple[str, ...]) -> tuple[Lens, ...]:
    """Return the lenses that every word fits; all of them for no words.

    A word fits in any part of name, maker or mount, as the whole id (``"0 01 10"``), or as the first bytes of the
    identity block (``"00 00 01 10"``).
    """
    wanted = [word.casefold() for word in words]
    return tuple(lens for lens in lenses() if all(_fits(word, lens) for word in wanted))


def _fits(word: str, lens: Lens) -> bool:
    text = f"{lens.name}\n{lens.maker_name}\n{lens.mount}\n{MOUNTS[lens.mount]}".casefold()
    return word in text or word in (lens.id_text, lens.id_bytes.hex(" "), lens.id_bytes.hex())
