"""Types beyond the plain ones: into columns of a table, and back."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metropulse as mp

pytestmark = [pytest.mark.core, pytest.mark.embedded]


@pytest.fixture(params=["embedded", "distribution"])
def place(request):
    """An empty database on the embedded PostgreSQL and on the distribution's, as a URL and a connection."""
    server = request.getfixturevalue("running_engines").warehouse_url if request.param == "embedded" else request.getfixturevalue("debian_postgres")  # fmt: skip
    name = f"types{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"create database {name} template template0")
        dsn = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        with psycopg.connect(dsn, autocommit=True) as link:
            link.execute(
                "create type mood as enum ('sad', 'happy'); create domain positive as int check (value > 0); "
                "create domain feeling as mood; create domain tags as text[]"
            )
            yield dsn, link
        admin.execute(f"drop database {name} with (force)")


HALF_DAY = datetime.timedelta(hours=12, microseconds=5)


@pytest.mark.parametrize(
    ("declared", "values", "shown"),
    [
        ("mood", ["sad", None, "happy"], ["sad", None, "happy"]),
        ("feeling", ["sad", None], ["sad", None]),
        ("name", ["public", None], ["public", None]),
        ("inet", ["10.0.0.1", "10.0.0.1/8", "::1", None], ["10.0.0.1/32", "10.0.0.1/8", "::1/128", None]),
        ("cidr", ["10.0.0.0/8", None], ["10.0.0.0/8", None]),
        (
            "interval",
            ["1 day 02:00:00.5", "P1Y2M", "-3 days", None],
            ["1 day 02:00:00.5", "1 year 2 mons", "-3 days", None],
        ),
        ("interval", pa.array([HALF_DAY, None], pa.duration("us")), ["12:00:00.000005", None]),
        ("interval", pa.array([pa.MonthDayNano([14, 3, 1_000]), None]), ["1 year 2 mons 3 days 00:00:00.000001", None]),
        ("oid", pa.array([4_000_000_000, None], pa.int64()), ["4000000000", None]),
        ("positive", pa.array([1, None], pa.int64()), ["1", None]),
        ("tags", [["a", None], [], None], ["{a,NULL}", "{}", None]),
        ("text", pa.array([b"n\xc3\xa9", None], pa.binary()), ["né", None]),
        ("jsonb", pa.array([b'{"a": 1}', None], pa.large_binary()), ['{"a": 1}', None]),
        ("int4[]", [[1, None], [], None], ["{1,NULL}", "{}", None]),
        ("int4[]", ["{1,NULL}", "{}", None], ["{1,NULL}", "{}", None]),
        ("float8[]", [[1.5, None], []], ["{1.5,NULL}", "{}"]),
        ("float8[]", ["{1.5,-2}"], ["{1.5,-2}"]),
        ("bool[]", [[True, None]], ["{t,NULL}"]),
        ("date[]", [[datetime.date(2024, 5, 1)]], ["{2024-05-01}"]),
        ("date[]", ["{2024-05-01}"], ["{2024-05-01}"]),
        ("uuid[]", [[str(uuid.UUID(int=1))]], ["{00000000-0000-0000-0000-000000000001}"]),
        ("mood[]", [["sad", "happy"], None], ["{sad,happy}", None]),
        ("mood[]", ['{sad,"happy"}'], ["{sad,happy}"]),
        ("feeling[]", [["sad"]], ["{sad}"]),
        ("positive[]", [[1, 2]], ["{1,2}"]),
        ("inet[]", ["{10.0.0.1,::1}"], ["{10.0.0.1,::1}"]),
        ("varchar(3)[]", [["abc"]], ["{abc}"]),
        ("numeric[]", [[1, 2]], ["{1,2}"]),
        ("numeric[]", pa.array([[Decimal("1.50"), None], []], pa.list_(pa.decimal128(9, 2))), ["{1.50,NULL}", "{}"]),
        ("numeric[]", ["{1.50,-2e-3,NULL,NaN}", "{}", None], ["{1.50,-0.002,NULL,NaN}", "{}", None]),
        (
            "numeric[]",
            [["12345678901234567890123456789012345678901234.5"]],
            ["{12345678901234567890123456789012345678901234.5}"],
        ),
        ("numeric(5,1)[]", ["{1.25}"], ["{1.3}"]),
        ("bytea[]", [[b"\x00\xff", None, b""]], ['{"\\\\x00ff",NULL,"\\\\x"}']),
        ("bytea[]", ['{"\\\\x00ff",NULL}', "{abc}", None], ['{"\\\\x00ff",NULL}', '{"\\\\x616263"}', None]),
        ("time[]", [[datetime.time(8, 30, 0, 5), None]], ["{08:30:00.000005,NULL}"]),
        ("time[]", ["{08:30,23:59:59.5,NULL}", None], ["{08:30:00,23:59:59.5,NULL}", None]),
        ("oid[]", [[1, 4_000_000_000, None]], ["{1,4000000000,NULL}"]),
        ("oid[]", ["{1,4000000000}", None], ["{1,4000000000}", None]),
    ],
)
def test_values_arrive_in_both_forms(place, tmp_path, declared, values, shown):
    dsn, link = place
    link.execute(f"create table t (n serial, v {declared})")
    array = values if isinstance(values, pa.Array) else pa.array(values)
    mp.copy_parquet(pa.table({"v": array}), dsn, "public.t")
    assert [text for (text,) in link.execute("select v::text from t order by n")] == shown
    if not pa.types.is_interval(array.type) and not pa.types.is_duration(array.type):
        pq.write_table(pa.table({"v": array}), tmp_path / "v.parquet")
        mp.copy_parquet(tmp_path / "v.parquet", dsn, "public.t", truncate=True)
        assert [text for (text,) in link.execute("select v::text from t order by n")] == shown
    p = mp.Pipeline(warehouse=dsn)
    back = p.warehouse.read_table("public.t", columns=["v"])
    assert back.num_rows == len(shown)
    # What was read goes into the same column again.
    mp.copy_parquet(back, dsn, "public.t", truncate=True)
    assert [text for (text,) in link.execute("select v::text from t order by n")] == shown


@pytest.mark.parametrize(
    ("declared", "values", "word"),
    [
        ("int4[]", ["{1,two}"], "two"),
        ("int4[]", ["{{1},{2}}"], "int4"),
        ("numeric[]", ["{1,two}"], "two"),
        ("bytea[]", ['{"\\\\xzz"}'], "xzz"),
        ("time[]", ["{noon}"], "noon"),
        ("oid[]", ["{-1}"], "-1"),
        ("interval", ["soon"], "soon"),
        ("inet", ["host"], "host"),
        ("text", pa.array([b"\xff"]), "UTF-8"),
        ("mood", ["angry"], "angry"),
        ("positive[]", [[0]], "positive"),
    ],
)
def test_a_value_that_is_none_is_named(place, declared, values, word):
    dsn, link = place
    link.execute(f"create table t (v {declared})")
    array = values if isinstance(values, pa.Array) else pa.array(values)
    with pytest.raises(mp.DataError, match=word) as caught:
        mp.copy_parquet(pa.table({"v": array}), dsn, "public.t")
    assert caught.value.context["row"] == "1"
    assert caught.value.context["column"] == "v"


def test_citext_is_its_text(place):
    dsn, link = place
    if not link.execute("select 1 from pg_available_extensions where name = 'citext'").fetchone():
        pytest.skip("this server comes without citext")
    link.execute("create extension citext; create table t (v citext, w citext[])")
    mp.copy_parquet(pa.table({"v": ["Ä", None], "w": [["a"], None]}), dsn, "public.t")
    assert mp.Pipeline(warehouse=dsn).warehouse.query("select * from t").to_pylist() == [
        {"v": "Ä", "w": ["a"]},
        {"v": None, "w": None},
    ]


def test_the_catalog_can_be_read(place):
    dsn, _ = place
    p = mp.Pipeline(warehouse=dsn)
    found = p.warehouse.query(
        "select oid, relname, relkind, relacl is null as open from pg_class where relname = 'pg_class'"
    )
    assert found.to_pylist() == [{"oid": 1259, "relname": "pg_class", "relkind": "r", "open": False}]
    assert p.warehouse.read_table("pg_catalog.pg_enum").num_rows == 2
    rows = p.warehouse.query(
        "select interval '1 mon 2 days 00:00:03' as i, inet '10.0.0.0/8' as a, '{sad}'::mood[] as m"
    )
    assert pa.table(rows).to_pylist() == [
        {"i": pa.MonthDayNano([1, 2, 3_000_000_000]), "a": "10.0.0.0/8", "m": ["sad"]}
    ]


def test_an_extension_type_of_uuids_makes_a_uuid_column(place, tmp_path):
    dsn, link = place
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=7).bytes, None], pa.binary(16)))
    table = pa.table({"id": ids, "span": pa.array([HALF_DAY, None], pa.duration("ms")), "path": pa.array([[1.5], []])})
    mp.copy_parquet(table, dsn, "public.streamed", create=True)
    pq.write_table(table, tmp_path / "ids.parquet")
    mp.copy_parquet(tmp_path / "ids.parquet", dsn, "public.filed", create=True)
    for name in ("streamed", "filed"):
        kind = link.execute(
            f"select pg_typeof(id)::text, id::text from {name} order by id nulls last limit 1"
        ).fetchone()
        assert kind == ("uuid", str(uuid.UUID(int=7)))
    assert link.execute("select pg_typeof(span)::text, pg_typeof(path)::text from streamed limit 1").fetchone() == (
        "interval",
        "double precision[]",
    )


def test_a_name_that_postgresql_would_cut_is_refused(place):
    dsn, link = place
    long = "ü" * 32
    with pytest.raises(mp.SchemaError, match="64 bytes, of which PostgreSQL keeps 63"):
        mp.copy_parquet(pa.table({long: [1]}), dsn, "public.t", create=True)
    with pytest.raises(mp.ConfigError, match="64 bytes"):
        mp.copy_parquet(pa.table({"n": [1]}), dsn, f"public.{'t' * 64}", create=True)
    assert link.execute("select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace").fetchone() == (0,)  # fmt: skip
    fits = "n" * 63
    for _ in range(2):
        mp.copy_parquet(pa.table({fits: [1]}), dsn, "public.t", create=True)
    assert link.execute("select count(*) from t").fetchone() == (2,)
