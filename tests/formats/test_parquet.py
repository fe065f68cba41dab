"""``--format parquet``, read back by DuckDB."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from m43tools.render import columns_parquet
from tests.formats.support import FOLDERS, capture_in, every_capture, golden, sniffed

if TYPE_CHECKING:
    from pathlib import Path

duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed (pip install -e '.[dev]')")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (pip install -e '.[dev]')")


def rows_of(path: Path, query: str = "SELECT * FROM '{}'") -> list[dict[str, Any]]:
    relation = duckdb.connect().sql(query.format(path))
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def as_in_json(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return "infinity" if math.isinf(value) else round(value, 4)
    return value


@every_capture
def test_rows_are_the_golden_decode(folder: Path, tmp_path: Path) -> None:
    rows = rows_of(sniffed(folder, "parquet", tmp_path / "capture.parquet"))
    records = golden(folder)
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        flat = {**record.get("fields", {}), **{key: value for key, value in record.items() if key != "fields"}}
        given = {key: as_in_json(value) for key, value in row.items() if value is not None}
        assert given.pop("capture") == str(capture_in(folder))
        assert given == {key: value for key, value in flat.items() if value is not None}


def test_columns_have_types_units_and_evidence(tmp_path: Path) -> None:
    folder = next(folder for folder in FOLDERS if folder.name.endswith("focus-sweep"))
    path = sniffed(folder, "parquet", tmp_path / "capture.parquet")
    types = {row["column_name"]: row["column_type"] for row in rows_of(path, "DESCRIBE SELECT * FROM '{}'")}
    assert types["t_ns"] == "BIGINT"
    assert types["complete"] == "BOOLEAN"
    assert types["aperture_f"] == types["focus_distance_m"] == "DOUBLE"
    assert types["focus_position"] == "BIGINT"
    assert types["focus_operation"] == types["lens"] == "VARCHAR"
    assert types["flags"] == types["command"] == "BLOB"
    metadata = parquet.read_schema(path).field("aperture_f").metadata
    assert metadata[b"unit"] == b"f"
    told = json.loads(metadata[b"messages"])
    assert list(told) == ["Status", "Drive"]
    assert told["Drive"]["evidence"] == "inferred"
    assert told["Drive"]["source"]
    farthest = rows_of(path, "SELECT max(focus_position) AS most FROM '{}' WHERE name = 'Status'")
    assert farthest[0]["most"] == max(
        r["fields"]["focus_position"] for r in golden(folder) if r.get("name") == "Status"
    )


@pytest.mark.parametrize("layer", ["bytes", "transactions"])
def test_other_layers_have_rows_too(layer: str, tmp_path: Path) -> None:
    path = sniffed(FOLDERS[0], "parquet", tmp_path / "capture.parquet", "--layer", layer)
    rows = rows_of(path)
    if layer == "bytes":
        sent = [row["value"] for row in rows if row["value"] is not None]
        assert bytes(sent).startswith(bytes.fromhex("b0f20000"))
    else:
        assert [row["command"].hex() for row in rows if row["command"]] == [
            record["command"] for record in golden(FOLDERS[0]) if "command" in record
        ]


def test_rows_come_in_groups_and_through_a_pipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(columns_parquet, "ROWS_PER_GROUP", 7)
    path = sniffed(FOLDERS[0], "parquet", tmp_path / "capture.parquet")
    assert parquet.ParquetFile(path).num_row_groups == math.ceil(len(golden(FOLDERS[0])) / 7)
    command = [sys.executable, "-m", "m43tools", "sniff", str(FOLDERS[0] / "capture.sr"), "--format", "parquet"]
    piped = tmp_path / "piped.parquet"
    piped.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    assert rows_of(piped) == rows_of(path)
