"""The message catalogues: `PUBLIC`, all commands that public sources name, and `PROVISIONAL`, this project's own."""

from m43proto.catalogue import Catalogue
from m43proto.messages.capability import BodyCapability
from m43proto.messages.drive import Drive, EnableDrive
from m43proto.messages.focusring import SetFocusRing
from m43proto.messages.identity import Identify
from m43proto.messages.lensdata import ReadC2F3, ReadCFF3, ReadLensData
from m43proto.messages.link import Initialise, InitialiseF0, LinkCapability, SelectLinkMode
from m43proto.messages.stabilisation import SetStabilisation, StabilisationStatus
from m43proto.messages.status import Status

__all__ = [
    "PROVISIONAL",
    "PUBLIC",
    "BodyCapability",
    "Drive",
    "EnableDrive",
    "Identify",
    "Initialise",
    "InitialiseF0",
    "LinkCapability",
    "ReadC2F3",
    "ReadCFF3",
    "ReadLensData",
    "SelectLinkMode",
    "SetFocusRing",
    "SetStabilisation",
    "StabilisationStatus",
    "Status",
]

PUBLIC = Catalogue(
    "public",
    (
        Initialise,
        InitialiseF0,
        LinkCapability,
        SelectLinkMode,
        Identify,
        BodyCapability,
        Status,
        SetFocusRing,
        EnableDrive,
        Drive,
        ReadLensData,
        ReadC2F3,
        ReadCFF3,
    ),
)

PROVISIONAL = Catalogue("provisional", (SetStabilisation, StabilisationStatus))
