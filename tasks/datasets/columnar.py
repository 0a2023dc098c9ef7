"""Parquet, Feather and Arrow files as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import feather, ipc

from jko.core.errors import InputError
from jko.preparation.names import check_names, listed
from tasks.datasets.room import check_room
from tasks.datasets.written import Written

#: how pandas calls the labels of rows without a name
LABELS = "__index_level_"
#: from here on float64 cannot tell integers apart
EXACT = 2**53


def read_parquet(path: Path) -> Written:
    """The plain columns of a Parquet file: numbers, text, dates; lists and records are left out.

    Raises:
        InputError: it is none of this kind, is damaged, or has no room.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            check_names(_names(schema), path)
            plain = [number for number, one in enumerate(schema) if not pa.types.is_nested(one.type)]
            check_room(8 * len(plain) * file.metadata.num_rows, path)
            words = [one.name for one in schema if _is_text(one.type)]
        # text stays in its dictionary, in which many equal cells are one, until its size is known
        with pq.ParquetFile(path, read_dictionary=words, page_checksum_verification=True) as file:
            table = file.read(columns=[schema.field(number).name for number in plain])
            if table.num_rows != file.metadata.num_rows:
                raise InputError(
                    f"{path}: {file.metadata.num_rows} rows are promised, {table.num_rows} there"
                )
        table.validate(full=True)
        return _written(table, schema, path, "Parquet")
    except InputError:
        raise
    except Exception as error:  # whatever pyarrow raises
        raise InputError(
            f"{path}: this is no table in Parquet's format, or it is damaged: {_said(error)}"
        ) from None


def read_arrow(path: Path) -> Written:
    """The plain columns of a Feather or an Arrow file.

    Raises:
        InputError: it is none of this kind, is damaged, or has no room.
    """
    try:
        batches, size = [], 0
        schema, found = _batches(path)
        check_names(_names(schema), path)
        for batch in found:
            size += batch.nbytes
            check_room(size, path)
            batch.validate(full=True)
            batches.append(batch)
        table = pa.Table.from_batches(batches, schema)
        plain = [number for number, one in enumerate(schema) if not pa.types.is_nested(one.type)]
        return _written(table.select(plain), schema, path, "Feather or Arrow")
    except InputError:
        raise
    except Exception as error:  # whatever pyarrow raises
        raise InputError(
            f"{path}: this is no table in Feather's or Arrow's format, or it is damaged: {_said(error)}"
        ) from None


def _batches(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Schema and pieces of a file; of Feather's first version, of a stream, or of a file of Arrow."""
    with path.open("rb") as stream:
        start = stream.read(6)
    if start.startswith(b"FEA1"):
        table = feather.read_table(path, memory_map=False)
        return table.schema, iter(table.to_batches())
    if start != b"ARROW1":
        reader = ipc.open_stream(pa.OSFile(str(path)))
        return reader.schema, iter(reader)
    file = ipc.open_file(pa.OSFile(str(path)))
    return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))


def _names(schema: pa.Schema) -> list[str]:
    return [name or f"Unnamed: {number}" for number, name in enumerate(schema.names)]


def _said(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _written(table: pa.Table, schema: pa.Schema, path: Path, kind: str) -> Written:
    """Plain columns as pandas has them.

    Args:
        table: plain columns.
        schema: of all columns.
        path: of the file.
        kind: of the file, in words.
    """
    labels = [name for name in table.column_names if name.startswith(LABELS)]
    nested = [one.name for one in schema if pa.types.is_nested(one.type)]
    columns = {}
    check_room(sum(_bytes_of(column, of) for column, of in _with_kinds(table, schema)), path)
    for number, (column, of) in enumerate(_with_kinds(table, schema)):
        columns[number] = _in_pandas(column, of)
    frame = pd.DataFrame(columns)
    frame.columns = pd.Index(_names(table.schema))
    notes = [f"left out, lists or records: {listed(nested, 50)}"] if nested else []
    if labels:
        frame = frame.drop(columns=labels)
        notes.append("left out, an index: labels of rows without a name")
    return Written(frame, tuple(notes), how=kind)


def _with_kinds(table: pa.Table, schema: pa.Schema) -> Sequence[tuple[pa.ChunkedArray, pa.DataType]]:
    """Columns with the types that the file says they have."""
    kinds = [one.type for one in schema if not pa.types.is_nested(one.type)]
    return list(zip(table.columns, kinds, strict=True))


def _bytes_of(column: pa.ChunkedArray, kind: pa.DataType) -> int:
    """Bytes that a column takes; of text that stands in a dictionary, those of all its cells."""
    if not (pa.types.is_dictionary(column.type) and _is_text(kind)):
        return int(column.nbytes)
    found = 0
    for chunk in column.chunks:
        found += pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
    return found + 8 * len(column)


def _in_pandas(column: pa.ChunkedArray, kind: pa.DataType) -> pd.Series:
    """A column in pandas: decimals as floats, dates as moments, integers with holes exactly."""
    if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(kind):
        column = column.cast(pa.large_string())
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_integer(column.type) and column.null_count:
        ends = pc.min_max(column).as_py()
        if ends["min"] is not None and max(-ends["min"], ends["max"]) >= EXACT:
            return pd.Series(pd.array(column.to_pylist(), dtype="UInt64" if ends["min"] >= 0 else "Int64"))
    return column.to_pandas(date_as_object=False)
