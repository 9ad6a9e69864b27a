"""What a folder of files means: one table of rules, for every reader and every store."""

from __future__ import annotations

from datetime import date

import pytest

import metropulse as mp
from conftest import minio_files
from sources.reading import DAY, Readers, local_store, rows

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]

FOLDER = f"raw/dt={DAY}/vehicles"
A, B, GONE = rows("a"), rows("b"), rows("gone")

# What lies in the folder, and what is read of it: keys, or the words of an error. A reader may differ.
RULES = {
    "an unfinished job of Spark": (
        {"part-0.parquet": A, "part-1.parquet": B, "_SUCCESS": b"", "_temporary/0/part-2.parquet": GONE},
        ["a", "b"],
        {},
    ),
    "hidden names": ({"a.parquet": A, ".b.parquet": GONE, "_c.parquet": GONE, ".d/e.parquet": GONE}, ["a"], {}),
    "a suffix in capitals": ({"a.PARQUET": A, "b.Parquet": B}, ["a", "b"], {}),
    "no suffix": ({"000000_0": A, "000001_0": B}, ["a", "b"], {}),
    "no suffix and no Parquet": (
        {"a.parquet": A, "LICENSE": b"do as you like"},
        ["a"],
        {"lake": (mp.DataError, "is not a Parquet file")},
    ),
    "other suffixes": ({"a.parquet": A, "a.parquet.crc": b"crc", "notes.txt": b"notes"}, ["a"], {}),
    "key=value folders": ({"hour=08/a.parquet": A, "hour=09/city=%C3%84/b.parquet": B}, ["a", "b"], {}),
    "a folder named as a file": (
        {"a.parquet/part-0.parquet": A, "a.parquet/part-1.parquet": B},
        ["a", "b"],
        {"lake": (mp.DataError, "no dataset has")},
    ),
    "other folders": (
        {"a.parquet": A, "more/b.parquet": B},
        ["a", "b"],
        {"lake": (mp.DataError, "more/b.parquet lies in a folder that no dataset has")},
    ),
    "a table of Delta Lake": (
        {"a.parquet": A, "gone.parquet": GONE, "_delta_log/00000000000000000000.json": b"{}"},
        (mp.DataError, "Delta Lake"),
        {},
    ),
    "a checkpoint of Delta Lake": (
        {"a.parquet": A, "_delta_log/00000000000000000010.checkpoint.parquet": GONE},
        (mp.DataError, "Delta Lake"),
        {},
    ),
    "a table of Hudi": ({"a.parquet": A, ".hoodie/hoodie.properties": b"x"}, (mp.DataError, "Hudi"), {}),
    "a table of Iceberg": ({"a.parquet": A, "metadata/v1.metadata.json": b"{}"}, (mp.DataError, "Iceberg"), {}),
    "nothing but marks": ({"_SUCCESS": b"", "notes.txt": b"notes"}, (mp.NotFoundError, "no"), {}),
    "a file without bytes": ({"a.parquet": A, "b.parquet": b""}, (mp.DataError, "b.parquet is empty"), {}),
    "columns of different kinds": (
        {"a.parquet": rows("a", model=[1]), "b.parquet": rows("b", model=["x"])},
        (mp.SchemaError, r"column \"model\" is Int64 in .*a.parquet and .* in .*b.parquet"),
        # A dataset's parts are typed each for itself.
        {"lake": ["a", "b"]},
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("reader", Readers.NAMES)
def test_a_folder_means_the_same_to_every_reader(rule, reader, store, readers):
    files, expected, others = RULES[rule]
    expected = others.get(reader, expected)
    store.fill({f"{FOLDER}/{path}": data for path, data in files.items()})
    place = f"{store.begin}{FOLDER}"
    if isinstance(expected, list):
        assert readers.read(reader, place, store) == expected
        return
    kind, words = expected
    with pytest.raises(kind, match=words) as caught:
        readers.read(reader, place, store)
    assert not caught.value.retryable or kind is mp.NotFoundError


@pytest.mark.parametrize("reader", ["copy", "merge", "rollup"])
def test_the_files_of_another_formats_table_are_read_when_that_is_asked_for(reader, store, readers):
    store.fill({f"t/{path}": data for path, data in RULES["a table of Delta Lake"][0].items()})
    store.fill({"t/part=1/b.parquet": B})
    assert readers.read(reader, f"{store.begin}t", store, plain_files=True) == ["a", "b", "gone"]
    for part in ("t/part=1", "t/*.parquet", "t/part=*"):
        with pytest.raises(mp.DataError, match="Delta Lake"):
            readers.read(reader, f"{store.begin}{part}", store)
    # A file that is named itself is meant.
    assert readers.read(reader, f"{store.begin}t/a.parquet", store) == ["a"]


@pytest.mark.parametrize("reader", ["copy", "merge", "rollup"])
def test_each_match_of_a_glob_is_read_as_if_it_was_named(reader, store, readers):
    store.fill(
        {
            "raw/dt=1/v.parquet": A,
            "raw/dt=2/v.parquet/part-0.parquet": B,
            "raw/dt=2/v.parquet/_temporary/part-1.parquet": GONE,
            "raw/_old/v.parquet": GONE,
            "raw/.old/v.parquet": GONE,
            "raw/dt=3/w.parquet": GONE,
        }
    )
    for glob, expected in (("raw/*/v.parquet", ["a", "b"]), ("raw/dt=[12]/*", ["a", "b"]), ("raw/_o*/*", ["gone"])):
        assert readers.read(reader, f"{store.begin}{glob}", store) == expected, glob


@pytest.mark.parametrize("begin", ["./", ""])
@pytest.mark.parametrize("reader", ["copy", "merge", "rollup"])
def test_a_glob_below_the_working_folder_means_the_same_with_and_without_its_dot(
    reader, begin, tmp_path, readers, monkeypatch
):
    store = local_store(tmp_path)
    store.fill({"_data/a.parquet": A, "_data/_b.parquet": GONE})
    monkeypatch.chdir(store.begin)
    assert readers.read(reader, f"{begin}_data/*.parquet", store) == ["a"]


def test_folders_become_typed_columns(store, readers):
    store.fill(
        {
            "t/dt=2024-05-01/ts=08%3A00/country=DE/n=07/a.parquet": rows("a"),
            "t/dt=2024-05-02/ts=a b/country=__HIVE_DEFAULT_PARTITION__/n=-1/b.parquet": rows("b"),
            "t/dt=2024-05-02/c.parquet": rows("c", country=["FR"]),
        }
    )
    for reader, table in (("copy", "copied"), ("merge", "merged")):
        readers.read(reader, f"{store.begin}t", store)
        assert readers.ask(f"SELECT vehicle_id, dt, ts, country, n FROM {table} ORDER BY 1") == [
            ("a", date(2024, 5, 1), "08:00", "DE", 7),
            ("b", date(2024, 5, 2), "a b", None, -1),
            ("c", date(2024, 5, 2), None, "FR", None),
        ]
    options = {"keys": ["dt"], "time": "event_ts", "measures": {"n": "count"}, "lake_options": store.options}
    found = mp.rollup_hourly(f"{store.begin}t/dt=*/**/*.parquet", **options).to_pylist()
    assert [(row["dt"], row["n"]) for row in found] == [(date(2024, 5, 1), 1), (date(2024, 5, 2), 2)]
    with pytest.raises(mp.SchemaError, match="column dt is missing"):
        mp.rollup_hourly(f"{store.begin}t", **options, folder_columns=False)


@pytest.mark.parametrize("reader", ["copy", "merge", "lake"])
def test_a_folder_and_a_column_of_its_name_must_agree(reader, store, readers):
    store.fill({f"{FOLDER}/capacity=08/a.parquet": rows("a", "b", capacity=[8, 8])})
    place = f"{store.begin}{FOLDER}"
    assert readers.read(reader, place, store) == ["a", "b"]
    store.fill({f"{FOLDER}/capacity=09/b.parquet": rows("c", "d", capacity=[9, None])})
    with pytest.raises(mp.DataError, match=r'b.parquet row 2: column "capacity" is NULL, its folder says capacity=09'):
        readers.read(reader, place, store)
    if reader != "lake":
        assert readers.read(reader, place, store, folder_columns=False) == ["a", "b", "c", "d"]


def test_a_dataset_takes_a_column_from_its_folder_and_names_others(store, readers):
    store.fill({f"{FOLDER}/vendor=Tatra%20T3/hour=08/a.parquet": rows("a")})
    pipeline = readers.make(f"{store.begin}raw", lake_options=store.options)
    pipeline.apply_schema()
    report = pipeline.stage(DAY)
    assert report.tables["staging.vehicles_raw"].unknown_columns == ("event_ts", "hour")
    assert pipeline.warehouse.query("SELECT vendor FROM staging.vehicles_raw").to_pylist() == [{"vendor": "Tatra T3"}]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_columns_unite_by_name_whichever_file_comes_first(order, store, readers):
    store.fill(
        {
            f"t/{order[0]}.parquet": rows("a", n=[1], note=[None]),
            f"t/{order[1]}.parquet": rows("b", big=[2**40], note=["x"], n=[2**40]),
        }
    )
    for reader, table in (("copy", "copied"), ("merge", "merged")):
        readers.read(reader, f"{store.begin}t", store)
        assert readers.ask(f"SELECT vehicle_id, n, big, note FROM {table} ORDER BY 1") == [
            ("a", 1, None, None),
            ("b", 2**40, 2**40, "x"),
        ]
    found = mp.rollup_hourly(
        f"{store.begin}t",
        keys=["vehicle_id"],
        time="event_ts",
        measures={"big": ("sum", "big")},
        lake_options=store.options,
    )
    assert [(row["vehicle_id"], row["big"]) for row in found.to_pylist()] == [("a", None), ("b", 2**40)]


def test_a_changed_value_of_a_column_that_only_the_second_file_has_opens_a_version(store, readers):
    merging = {"key": "vehicle_id", "lake_options": store.options}
    for day, value in ((1, "b2"), (2, "b2 CHANGED")):
        store.fill({f"{day}/1.parquet": rows("a"), f"{day}/2.parquet": rows("b", note=[value])})
        mp.merge_snapshot(f"{store.begin}{day}", readers.dsn, "dim", effective=f"2024-05-0{day}", **merging)
    assert readers.ask("SELECT vehicle_id, note, is_current FROM dim ORDER BY 1, valid_from") == [
        ("a", None, True),
        ("b", "b2", False),
        ("b", "b2 CHANGED", True),
    ]


def test_a_required_column_that_one_file_lacks_is_named_before_anything_is_sent(store, readers):
    store.fill({"t/a.parquet": rows("a", n=[1]), "t/b.parquet": rows("b")})
    with pytest.raises(mp.SchemaError, match=r'b.parquet: has no column "n" \(integer\), which is NOT NULL'):
        _copy_into(readers, store, "vehicle_id text, event_ts timestamptz, n integer NOT NULL")


def _copy_into(readers, store, columns):
    import psycopg

    with psycopg.connect(readers.dsn, autocommit=True) as link:
        link.execute(f"CREATE TABLE target ({columns})")
    mp.copy_parquet(f"{store.begin}t", readers.dsn, "target", lake_options=store.options)


def test_a_day_with_parquet_that_no_dataset_takes_fails_unless_it_is_allowed(store, readers):
    store.fill({f"{FOLDER}.parquet": A, f"raw/dt={DAY}/trip.parquet": B, f"raw/dt={DAY}/zones/b.parquet": B})
    place = f"{store.begin}{FOLDER}"
    words = (
        r"dt=2024-05-01/trip.parquet \(and 1 more\) is Parquet that no dataset takes, expected routes, .*unknown_files"
    )
    with pytest.raises(mp.DataError, match=words):
        readers.read("lake", place, store)
    assert readers.read("lake", place, store, unknown_files="allow") == ["a"]
    with pytest.raises(mp.ConfigError, match=r"unknown_files|expected"):
        readers.read("lake", place, store, unknown_files="perhaps")


def test_objects_that_stand_for_folders_are_no_data(bucket, readers, minio_server):
    minio = minio_files(minio_server[0])
    name = bucket.begin.removeprefix("s3://")
    for folder in (FOLDER, f"{FOLDER}/hour=08", f"{FOLDER}/empty"):
        minio.create_dir(f"{name}{folder}")
    bucket.fill({f"{FOLDER}/hour=08/a.parquet": A})
    for reader in Readers.NAMES:
        assert readers.read(reader, f"{bucket.begin}{FOLDER}", bucket) == ["a"], reader
