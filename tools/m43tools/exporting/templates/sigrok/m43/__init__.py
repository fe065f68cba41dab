"""Messages of the Micro Four Thirds lens mount: status, drives, identity, and all others that are public.

Every message carries how sure it is: confirmed, observed, inferred, provisional or unknown. Nothing here comes from
a maker's specification. Stack it on m43_link, whose folder must stand beside this one.
"""

from .pd import Decoder
