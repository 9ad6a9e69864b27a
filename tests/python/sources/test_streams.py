"""Arrow streams as their producers really write them: Polars gives a null array a buffer that the interface does not have."""

from __future__ import annotations

import ctypes
from datetime import UTC, datetime

import pyarrow as pa
import pytest

import metropulse as mp

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]


class _Array(ctypes.Structure):
    """ArrowArray of the C data interface."""


_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]

_GetNext = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Array))


class _Stream(ctypes.Structure):
    """ArrowArrayStream of the C stream interface."""

    _fields_ = (
        ("get_schema", ctypes.c_void_p),
        ("get_next", _GetNext),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


_NO_BITMAP = (ctypes.c_void_p * 1)(None)


def _give_nulls_a_buffer(array: _Array, kind: pa.DataType) -> None:
    if pa.types.is_null(kind):
        array.n_buffers, array.buffers = 1, _NO_BITMAP
    elif pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            _give_nulls_a_buffer(array.children[index].contents, kind.field(index).type)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        _give_nulls_a_buffer(array.children[0].contents, kind.value_type)
    elif pa.types.is_dictionary(kind):
        _give_nulls_a_buffer(array.dictionary.contents, kind.value_type)


class AsPolarsWrites:
    """A table whose stream has the buffers that Polars writes."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, _requested_schema: object | None = None) -> object:
        capsule = self.table.__arrow_c_stream__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        stream = _Stream.from_address(pointer(capsule, b"arrow_array_stream"))
        inner, kind = _GetNext(ctypes.cast(stream.get_next, ctypes.c_void_p).value), pa.struct(self.table.schema)

        def get_next(of: int, out: ctypes._Pointer[_Array]) -> int:
            code: int = inner(of, out)
            if code == 0 and out.contents.release:
                _give_nulls_a_buffer(out.contents, kind)
            return code

        self.get_next = _GetNext(get_next)
        stream.get_next = self.get_next
        return capsule


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
TABLE = pa.table(
    {
        "id": pa.array(["a", "b"], pa.string_view()),
        "at": pa.array([NOON, NOON], pa.timestamp("us", "UTC")),
        "nothing": pa.nulls(2),
        "kind": pa.array(["x", None], pa.large_string()).dictionary_encode(),
        "tags": pa.array([[1, None], None], pa.large_list(pa.int64())),
    }
)


@pytest.fixture
def table():
    """The table as Polars gives it: of Polars itself where that is installed."""
    return AsPolarsWrites(TABLE)


@pytest.fixture
def frame():
    polars = pytest.importorskip("polars")
    return polars.from_arrow(TABLE)


@pytest.mark.parametrize("source", ["table", "frame"])
def test_columns_without_any_value_load_for_every_reader(source, request, pipeline_on):
    rows = request.getfixturevalue(source)
    p = pipeline_on(None)
    sql = "CREATE TABLE copied (id text, at timestamptz, nothing int, kind text, tags bigint[])"
    import psycopg

    with psycopg.connect(str(p.settings.warehouse), autocommit=True) as link:
        link.execute(sql)
        mp.copy_parquet(rows, p, "copied")
        mp.merge_snapshot(rows, p, "merged", key="id", effective="2024-05-01", tracked=["kind"])
        assert link.execute("SELECT id, at, nothing, kind, tags FROM copied ORDER BY id").fetchall() == [
            ("a", NOON, None, "x", [1, None]),
            ("b", NOON, None, None, None),
        ]
        assert link.execute("SELECT id, kind FROM merged ORDER BY id").fetchall() == [("a", "x"), ("b", None)]
    rolled = mp.rollup_hourly(rows, keys=["id"], time="at", measures={"n": "count"})
    assert [(row["id"], row["n"]) for row in rolled.to_pylist()] == [("a", 1), ("b", 1)]


def test_nulls_within_other_types_load_too(pipeline_on):
    kinds = {
        "id": pa.array([1, 2]),
        "lists": pa.array([[None], None], pa.list_(pa.null())),
        "codes": pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int32()), pa.nulls(1)),
        "parts": pa.array([{"a": None}, None], pa.struct([("a", pa.null())])),
    }
    table = AsPolarsWrites(pa.table(kinds))
    with pytest.raises(mp.SchemaError, match="parts") as caught:
        mp.copy_parquet(table, pipeline_on(None), "public.kinds", create=True)
    assert "doesn't expect buffer" not in str(caught.value)


@pytest.mark.parametrize("reader", ["copy", "merge", "rollup", "merge_rollups"])
def test_two_columns_of_one_name_are_refused_by_every_reader(reader, pipeline_on, tmp_path):
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([NOON]), pa.array(["b"])], names=["id", "at", "id"])
    pq.write_table(table, tmp_path / "twice.parquet")
    p = pipeline_on(None)
    for source in (table, tmp_path / "twice.parquet"):
        with pytest.raises(mp.SchemaError, match='has two columns "id", expected one of each name'):
            if reader == "copy":
                mp.copy_parquet(source, p, "copied", create=True)
            elif reader == "merge":
                mp.merge_snapshot(source, p, "merged", key="id", effective="2024-05-01")
            elif reader == "rollup":
                mp.rollup_hourly(source, keys=["id"], time="at", measures={"n": "count"})
            else:
                mp.merge_rollups([source])
