##
## This file is part of m43proto. SPDX-License-Identifier: Apache-2.0 (compatible with GPLv3).
##
"""Lines of the mount -> bytes with their direction, acks, pin events, transactions.

OUTPUT_PYTHON format, (startsample, endsample, [what, ...]):

    ['BYTE', sender, value]           sender is 'body', 'lens' or None where the traffic does not tell; value 0 to 255
    ['ACK', line]                     a high of an ack line: 'BODY_ACK' or 'LENS_ACK'
    ['PIN', event, level]             'power_up', 'power_down', 'wake_pulse', 'frame_sync', 'focus_toggle',
                                      'clock_hold', 'stray_clock'; level of the line for a single edge, else None
    ['TRANSACTION', seen, spans]      engine.events.TransactionSeen, and (startsample, endsample) of each of its bytes
    ['VIOLATION', cause, detail, data]  traffic that fits no transaction, why, and its bytes
    ['FRAGMENT', data]                bytes before the first whole transaction, or a command that the end cut

The direction of a byte is a matter of the grammar, so the engine runs here, and what it sees goes up the stack.
"""

import sigrokdecode as srd

from .engine.bare import BareFramer
from .engine.events import ByteSeen, FragmentSeen, PinEventSeen, TransactionSeen, Violation
from .engine.framing import Framer
from .engine.phy import PinDecoder
from .engine.pins import LINES, PINS, Line, Role
from .engine.reading import known_shape

NS_PER_S = 10**9
LOOKS_PER_S = 1000
REQUIRED = (Line.CLK, Line.DATA)
ANN_BYTE = {Role.BODY: 0, Role.LENS: 1, None: 2}
ANN_ACK = tuple((line, line.mask, ann) for line, ann in ((Line.BODY_ACK, 3), (Line.LENS_ACK, 4)))
ANN_PIN = 5
BIN_BYTE = {Role.BODY: (0, 1), Role.LENS: (0, 2), None: (0,)}
ENDS_OF_INPUT = (EOFError, SystemError)
"""What wait() raises when the input ends: EOFError, and in libsigrokdecode 0.5.3 an error of Python's own."""


def channels_of(lines):
    """Return the rows of lines as libsigrokdecode wants them."""
    purposes = {pin.line: pin.purpose for pin in PINS}
    return tuple({"id": line.lower(), "name": str(line), "desc": purposes[line]} for line in lines)


class SamplerateError(Exception):
    """The input has no sample rate."""


class Decoder(srd.Decoder):
    """The link decoder."""

    api_version = 3
    id = "m43_link"
    name = "M43 link"
    longname = "Micro Four Thirds lens mount (link)"
    desc = "Bytes between body and lens, with their direction."
    license = "apache-2.0"
    inputs = ["logic"]
    outputs = ["m43_link"]
    tags = ["Embedded/industrial"]
    channels = channels_of(REQUIRED)
    optional_channels = channels_of(line for line in LINES if line not in REQUIRED)
    annotations = (
        ("body-byte", "Byte of the body"),
        ("lens-byte", "Byte of the lens"),
        ("byte", "Byte of either"),
        ("body-ack", "BODY_ACK high"),
        ("lens-ack", "LENS_ACK high"),
        ("pin", "Event on a line"),
    )
    annotation_rows = (
        ("body", "Body", (0,)),
        ("lens", "Lens", (1,)),
        ("either", "Either", (2,)),
        ("body-acks", "BODY_ACK", (3,)),
        ("lens-acks", "LENS_ACK", (4,)),
        ("pins", "Pins", (5,)),
    )
    binary = (("all", "All bytes"), ("body", "Bytes of the body"), ("lens", "Bytes of the lens"))

    def __init__(self):
        self.reset()

    def reset(self):
        """Forget everything."""
        self.samplerate = None
        self.ack_rose = {}

    def start(self):
        """Register the outputs."""
        self.out_ann = self.register(srd.OUTPUT_ANN)
        self.out_python = self.register(srd.OUTPUT_PYTHON)
        self.out_binary = self.register(srd.OUTPUT_BINARY)

    def metadata(self, key, value):
        """Take the sample rate."""
        if key == srd.SRD_CONF_SAMPLERATE:
            self.samplerate = value

    def decode(self):
        """Feed every change to the engine until the input ends."""
        if not self.samplerate:
            raise SamplerateError("m43_link needs a sample rate")
        index = {line: place for place, line in enumerate(REQUIRED + tuple(x for x in LINES if x not in REQUIRED))}
        lines = [line for line in LINES if self.has_channel(index[line])]
        phy = PinDecoder(lines)
        framer = (Framer if phy.in_bursts else BareFramer)(known_shape)
        held = [(index[line], line.mask) for line in lines]
        wanted = [{index[line]: "e"} for line in lines] + [{"skip": max(1, self.samplerate // LOOKS_PER_S)}]
        pins = self.wait()
        try:
            while True:
                levels = sum([mask for place, mask in held if pins[place] == 1])
                self.acks(levels)
                for signal in phy.receive(self.ns_of(self.samplenum), levels):
                    self.report(framer.receive(signal))
                pins = self.wait(wanted)
        except ENDS_OF_INPUT:
            end_ns = self.ns_of(self.samplenum)
            self.report(framer.finish(phy.finish(end_ns), end_ns))
            raise

    def ns_of(self, sample):
        """Return the time of a sample, to the nearest nanosecond."""
        return (2 * sample * NS_PER_S + self.samplerate) // (2 * self.samplerate)

    def sample_of(self, t_ns):
        """Return the sample at a time."""
        return (2 * t_ns * self.samplerate + NS_PER_S) // (2 * NS_PER_S)

    def span(self, event):
        """Return the first and last sample of an event."""
        return self.sample_of(event.t_ns), self.sample_of(event.end_ns)

    def acks(self, levels):
        """Show each high of an ack line."""
        for line, mask, ann in ANN_ACK:
            high = levels & mask
            if high and line not in self.ack_rose:
                self.ack_rose[line] = self.samplenum
            elif not high and line in self.ack_rose:
                span = (self.ack_rose.pop(line), self.samplenum)
                self.put(*span, self.out_ann, [ann, [str(line), line[0]]])
                self.put(*span, self.out_python, ["ACK", str(line)])

    def report(self, events):
        """Put what the engine has seen."""
        for event in events:
            self.REPORTS[type(event)](self, event, *self.span(event))

    def put_byte(self, event, start, end):
        """Put a byte."""
        text = "%02X" % event.value
        self.put(start, end, self.out_ann, [ANN_BYTE[event.sender], [text]])
        self.put(start, end, self.out_python, ["BYTE", event.sender and str(event.sender), event.value])
        for binary in BIN_BYTE[event.sender]:
            self.put(start, end, self.out_binary, [binary, bytes([event.value])])

    def put_pin(self, event, start, end):
        """Put an event on a line."""
        text = str(event.event) if event.level is None else "%s %d" % (event.event, event.level)
        self.put(start, end, self.out_ann, [ANN_PIN, [text, str(event.event)]])
        self.put(start, end, self.out_python, ["PIN", str(event.event), event.level])

    def put_transaction(self, event, start, end):
        """Put a transaction for the decoder above."""
        spans = tuple(self.span(byte) for byte in event.wire)
        self.put(start, end, self.out_python, ["TRANSACTION", event, spans])

    def put_violation(self, event, start, end):
        """Put a violation for the decoder above."""
        self.put(start, end, self.out_python, ["VIOLATION", str(event.cause), event.detail, event.data])

    def put_fragment(self, event, start, end):
        """Put a fragment for the decoder above."""
        self.put(start, end, self.out_python, ["FRAGMENT", event.data])

    REPORTS = {
        ByteSeen: put_byte,
        PinEventSeen: put_pin,
        TransactionSeen: put_transaction,
        Violation: put_violation,
        FragmentSeen: put_fragment,
    }
