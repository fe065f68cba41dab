"""Transactions -> their parts, messages, fields, sums, and what breaks a rule.

OUTPUT_PYTHON format, (startsample, endsample, ['MESSAGE', name, fields, evidence]): fields is a dict in the units of
their names; unknown bytes are hex.
"""

import json

import sigrokdecode as srd
from m43_link.engine.checksum import wire_sum
from m43_link.engine.reading import catalogue, places, read_message, spans_of
from m43_link.engine.records import fields_of
from m43_link.engine.turns import Phase

TRANSACTION, PART, MESSAGE, FIELD, RIGHT_SUM, WRONG_SUM, VIOLATION, FRAGMENT = range(8)
SUMS = {Phase.COMMAND_SUM: "command", Phase.READ_SUM: "data", Phase.WRITE_SUM: "data"}
LENGTHS = (Phase.READ_LENGTH, Phase.WRITE_LENGTH)


def hex_text(data):
    """Return bytes as a person reads them."""
    return " ".join("%02X" % value for value in data)


def shown(value):
    """Return a value of a field in words."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


class Decoder(srd.Decoder):
    """The message decoder."""

    api_version = 3
    id = "m43"
    name = "M43"
    longname = "Micro Four Thirds lens mount"
    desc = "Messages between body and lens."
    license = "apache-2.0"
    inputs = ["m43_link"]
    outputs = ["m43"]
    tags = ["Embedded/industrial"]
    options = (
        {
            "id": "catalogue",
            "desc": "Messages to know; provisional adds this project's placeholders",
            "default": "public",
            "values": ("public", "provisional"),
        },
    )
    annotations = (
        ("transaction", "Transaction"),
        ("part", "Part of a transaction"),
        ("message", "Message"),
        ("field", "Field"),
        ("right-sum", "Right sum"),
        ("wrong-sum", "Wrong sum"),
        ("violation", "Violation"),
        ("fragment", "Fragment"),
    )
    annotation_rows = (
        ("transactions", "Transactions", (TRANSACTION, FRAGMENT)),
        ("parts", "Parts", (PART,)),
        ("messages", "Messages", (MESSAGE,)),
        ("fields", "Fields", (FIELD,)),
        ("sums", "Sums", (RIGHT_SUM,)),
        ("warnings", "Warnings", (WRONG_SUM, VIOLATION)),
    )
    binary = (("transactions", "Bytes of whole transactions"), ("data", "Data of blocks, without length and sum"))

    def __init__(self):
        self.reset()

    def reset(self):
        """Forget nothing: each transaction comes whole."""

    def start(self):
        """Register the outputs."""
        self.out_ann = self.register(srd.OUTPUT_ANN)
        self.out_python = self.register(srd.OUTPUT_PYTHON)
        self.out_binary = self.register(srd.OUTPUT_BINARY)
        self.known = catalogue(self.options["catalogue"] == "provisional")

    def decode(self, ss, es, data):
        """Take what the link decoder has seen."""
        take = self.TAKES.get(data[0])
        if take is not None:
            take(self, ss, es, *data[1:])

    def note(self, ss, es, ann, *texts):
        """Put an annotation."""
        self.put(ss, es, self.out_ann, [ann, list(texts)])

    def take_transaction(self, ss, es, seen, spans):
        """Show a transaction and its message."""
        text = str(seen.shape) if seen.complete else "%s, broke off" % seen.shape
        self.note(ss, es, TRANSACTION, text, seen.shape[0].upper())
        self.put_parts(seen, spans)
        self.put_message(ss, es, seen, spans)
        if seen.complete:
            self.put(ss, es, self.out_binary, [0, bytes(byte.value for byte in seen.wire)])
        if seen.data:
            self.put(ss, es, self.out_binary, [1, bytes(seen.data)])

    def put_parts(self, seen, spans):
        """Show the parts of a transaction, and judge its sums."""
        held = bytes(byte.value for byte in seen.wire)
        for phase, (start, end) in places(seen).items():
            if start == end or (phase in LENGTHS and seen.length is None):
                continue
            span, part = (spans[start][0], spans[end - 1][1]), held[start:end]
            text = str(int.from_bytes(part, "little")) if phase in LENGTHS else hex_text(part)
            self.note(*span, PART, "%s %s" % (phase, text), text)
            if phase in SUMS:
                self.put_sum(span, SUMS[phase], part[0], seen.command if phase is Phase.COMMAND_SUM else seen.data)

    def put_sum(self, span, what, given, data):
        """Judge a sum."""
        due = wire_sum(data)
        if given == due:
            self.note(*span, RIGHT_SUM, "%s sum %02X is right" % (what, given), "right")
        else:
            self.note(*span, WRONG_SUM, "%s sum %02X is wrong, %02X is due" % (what, given, due), "wrong sum")

    def put_message(self, ss, es, seen, spans):
        """Name a transaction and show its fields."""
        found = read_message(seen, self.known)
        fields = fields_of(found)
        self.note(ss, es, MESSAGE, "%s (%s)" % (found.name, found.evidence), found.name)
        at = spans_of(found, self.known)
        if found.rest:
            start = next(start for phase, (start, _) in places(seen).items() if phase.endswith("data"))
            end = start + len(seen.data)
            at["rest"] = (end - len(found.rest), end)
        for name, value in fields.items():
            start, end = at.get(name, (0, len(spans)))
            text = shown(value)
            self.note(spans[start][0], spans[max(start, end - 1)][1], FIELD, "%s = %s" % (name, text), text)
        self.put(ss, es, self.out_python, ["MESSAGE", found.name, fields, str(found.evidence)])

    def take_violation(self, ss, es, cause, detail, data):
        """Show a violation."""
        self.note(ss, es, VIOLATION, "%s: %s [%s]" % (cause, detail, hex_text(data)), "%s: %s" % (cause, detail), cause)

    def take_fragment(self, ss, es, data):
        """Show a fragment."""
        self.note(ss, es, FRAGMENT, "fragment %s" % hex_text(data), "fragment")

    TAKES = {"TRANSACTION": take_transaction, "VIOLATION": take_violation, "FRAGMENT": take_fragment}
