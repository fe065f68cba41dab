##
## This file is part of m43proto. SPDX-License-Identifier: Apache-2.0 (compatible with GPLv3).
##
"""The link of the Micro Four Thirds lens mount: bytes on one shared data line.

A body clocks CLK; body and lens take turns on DATA. With BODY_ACK and LENS_ACK the handshake tells where a byte,
a turn and a command begin; without them the grammar and the sums must, and a command is hunted by its sum.

Stack m43 on it for messages and their fields.
"""

from .pd import Decoder
