"""Logic 2 as far as an extension meets it, after Saleae's public pages; for its Python, 3.8, so in old words.

Reads ``{"folder", "settings", "frames": [[type, start_ns, end_ns, data], ...]}`` from stdin, prints the rows as JSON.
"""

import importlib
import json
import os
import sys
import types


class GraphTimeDelta:
    def __init__(self, ns):
        self.ns = ns

    def __float__(self):
        return self.ns / 1e9


class GraphTime:
    def __init__(self, ns):
        self.ns = ns

    def __sub__(self, other):
        return GraphTimeDelta(self.ns - other.ns)


class AnalyzerFrame:
    def __init__(self, type, start_time, end_time, data=None):
        self.type, self.start_time, self.end_time, self.data = type, start_time, end_time, data or {}


class HighLevelAnalyzer:
    pass


class ChoicesSetting:
    def __init__(self, choices, label=None):
        self.choices = choices


def main():
    asked = json.load(sys.stdin)
    analyzers = types.ModuleType("saleae.analyzers")
    analyzers.AnalyzerFrame, analyzers.HighLevelAnalyzer = AnalyzerFrame, HighLevelAnalyzer
    analyzers.ChoicesSetting = ChoicesSetting
    sys.modules.update({"saleae": types.ModuleType("saleae"), "saleae.analyzers": analyzers})
    sys.path.insert(0, asked["folder"])
    with open(os.path.join(asked["folder"], "extension.json"), encoding="utf-8") as file:
        (extension,) = json.load(file)["extensions"].values()
    module, name = extension["entryPoint"].split(".")
    kind = getattr(importlib.import_module(module), name)
    for setting, value in asked["settings"].items():
        assert value in getattr(kind, setting).choices
        setattr(kind, setting, value)
    analyser = kind()
    rows = []
    for kind_of_frame, start_ns, end_ns, data in asked["frames"]:
        data = {key: bytes.fromhex(value) for key, value in data.items()}
        answer = analyser.decode(AnalyzerFrame(kind_of_frame, GraphTime(start_ns), GraphTime(end_ns), data))
        for row in answer if isinstance(answer, list) else [answer] if answer else []:
            assert row.type in kind.result_types
            assert all(isinstance(value, (str, int, float, bool, bytes)) for value in row.data.values())
            rows.append([row.type, row.start_time.ns, row.end_time.ns, row.data])
    json.dump({"python": list(sys.version_info[:2]), "rows": rows}, sys.stdout)


main()
