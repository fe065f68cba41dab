"""Rows of messages from the bytes that Logic 2's SPI analyser sees on the Micro Four Thirds lens mount.

Logic 2 gives an extension the frames of one analyser. With BODY_ACK as the enable line (active high) a frame tells
where each turn begins and ends; without it there are bytes alone, and the grammar and the sums must do. LENS_ACK is
never seen.
"""

from m43_engine.bare import BareFramer
from m43_engine.events import FragmentSeen, TransactionSeen, Violation
from m43_engine.framing import Framer
from m43_engine.phy import Burst, WireByte
from m43_engine.reading import catalogue, known_shape, read_message
from m43_engine.records import fields_of
from saleae.analyzers import AnalyzerFrame, ChoicesSetting, HighLevelAnalyzer

NS_PER_S = 10**9
SUM_WORDS = {True: "right", False: "WRONG", None: "none"}


def sum_text(value, right):
    """Return a sum and whether it is right."""
    return "none" if value is None else "%02X %s" % (value, SUM_WORDS[right])


class Messages(HighLevelAnalyzer):
    """Names transactions and decodes their fields."""

    data_line = ChoicesSetting(label="DATA is connected as", choices=("MOSI", "MISO"))
    messages = ChoicesSetting(label="Messages", choices=("public", "provisional too"))

    result_types = {
        "message": {"format": "{{data.name}} {{data.fields}}"},
        "wrong_sum": {"format": "WRONG SUM: {{data.name}} command {{data.command_sum}}, data {{data.data_sum}}"},
        "broke_off": {"format": "{{data.name}}, broke off"},
        "violation": {"format": "{{data.cause}}: {{data.detail}}"},
        "fragment": {"format": "fragment {{data.data}}"},
    }

    def __init__(self):
        self._known = catalogue(self.messages == "provisional too")
        self._framer = None
        self._start = None
        self._times = {}
        self._open = None

    def decode(self, frame):
        """Take a frame of the SPI analyser; return the rows that it completes."""
        if self._start is None:
            self._start = frame.start_time
            self._framer = BareFramer(known_shape) if frame.type == "result" else Framer(known_shape)
        take = self.TAKES.get(frame.type)
        return take(self, frame) if take else None

    def _ns(self, time):
        """Return the nanoseconds since the first frame, and keep the time itself for the rows."""
        t_ns = round(float(time - self._start) * NS_PER_S)
        self._times[t_ns] = time
        return t_ns

    def _enable(self, frame):
        self._open = (self._ns(frame.start_time), [])

    def _result(self, frame):
        value = frame.data[self.data_line.lower()][0]
        byte = WireByte(self._ns(frame.start_time), self._ns(frame.end_time), value)
        if isinstance(self._framer, BareFramer):
            return self._rows(byte)
        if self._open is not None:
            self._open[1].append(byte)
        return None

    def _disable(self, frame):
        if self._open is None:
            return None
        (t_ns, held), self._open = self._open, None
        return self._rows(Burst(t_ns, self._ns(frame.end_time), None, tuple(held), None))

    def _rows(self, signal):
        rows, done_ns = [], None
        for event in self._framer.receive(signal):
            row = self.ROWS.get(type(event))
            if row is not None:
                kind, data = row(self, event)
                rows.append(AnalyzerFrame(kind, self._times[event.t_ns], self._times[event.end_ns], data))
                done_ns = event.t_ns if kind in ("message", "wrong_sum") else done_ns
        if done_ns is not None:
            self._times = {t_ns: time for t_ns, time in self._times.items() if t_ns >= done_ns}
        return rows

    def _transaction(self, seen):
        found = read_message(seen, self._known)
        fields = fields_of(found)
        kind = "message" if seen.sums_ok else "wrong_sum"
        data = {
            "name": found.name,
            "fields": ", ".join("%s = %s" % field for field in fields.items()),
            "evidence": str(found.evidence),
            "shape": str(seen.shape),
            "command": seen.command.hex(),
            "command_sum": sum_text(seen.command_sum, seen.command_sum_ok),
            "block": seen.data.hex(),
            "data_sum": sum_text(seen.data_sum, seen.data_sum_ok),
            "status": "none" if seen.status is None else "%02X" % seen.status,
        }
        data.update({name: "none" if value is None else value for name, value in fields.items()})
        return kind if seen.complete else "broke_off", data

    def _violation(self, event):
        return "violation", {"cause": str(event.cause), "detail": event.detail, "data": bytes(event.data).hex()}

    def _fragment(self, event):
        return "fragment", {"data": bytes(event.data).hex()}

    TAKES = {"enable": _enable, "result": _result, "disable": _disable}
    ROWS = {TransactionSeen: _transaction, Violation: _violation, FragmentSeen: _fragment}
