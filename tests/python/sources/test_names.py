"""What a name means: one rule for each form of URL, for every entry point."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

import metropulse as mp
from sources.reading import DAY, Readers, local_store, rows

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]

# Names that percent-decoding, fragments, queries and globs would turn into others.
HARD = ["report 24", "report%2024", "Brand#21", "ts=08%3A00", "a+b", "50%", "Ä", "a&b=c", "what?", "[x]"]


@pytest.mark.parametrize("reader", Readers.NAMES)
@pytest.mark.parametrize("form", ["path", "file URL", "key"])
def test_each_form_of_a_name_means_one_place(form, reader, readers, tmp_path, request):
    store = request.getfixturevalue("bucket") if form == "key" else local_store(tmp_path)
    # Every folder is there at once: a name that is decoded where it must not be reads another's row.
    for name in HARD:
        store.fill({f"{name}/dt={DAY}/vehicles/a.parquet": rows(name)})
    for name in HARD:
        begin = f"file://{quote(str(tmp_path))}/" if form == "file URL" else store.begin
        place = f"{begin}{quote(name) if form == 'file URL' else name}/dt={DAY}/vehicles"
        assert readers.read(reader, place, store) == [name], place
        if reader != "lake":
            assert readers.read(reader, f"{place}/a.parquet", store) == [name], place


@pytest.mark.parametrize("reader", ["copy", "merge", "rollup"])
def test_what_path_as_uri_gives_is_read(reader, readers, tmp_path):
    store = local_store(tmp_path)
    store.fill({"a b#1%20?.parquet": rows("a")})
    uri = Path(tmp_path, "a b#1%20?.parquet").as_uri()
    assert readers.read(reader, uri, store) == ["a"]
    assert readers.read(reader, uri.replace("file://", "file://localhost"), store) == ["a"]


def test_an_encoded_wildcard_of_a_url_is_a_letter(readers, tmp_path):
    store = local_store(tmp_path)
    store.fill({"x1.parquet": rows("one"), "x*.parquet": rows("star")})
    begin = tmp_path.as_uri()
    assert readers.read("copy", f"{begin}/x%2A.parquet", store) == ["star"]
    assert readers.read("copy", f"{begin}/%78?.parquet", store) == ["one", "star"]
    # As a path: what is there by that very name comes first.
    assert readers.read("copy", f"{tmp_path}/x*.parquet", store) == ["star"]


@pytest.mark.parametrize("form", ["path", "file URL", "key"])
def test_a_rollup_is_written_where_its_name_says(form, readers, tmp_path, request):
    store = request.getfixturevalue("bucket") if form == "key" else local_store(tmp_path)
    store.fill({"a.parquet": rows("a")})
    begin = f"file://{quote(str(tmp_path))}/" if form == "file URL" else store.begin
    output = f"{begin}{quote('out%20#1.parquet') if form == 'file URL' else 'out%20#1.parquet'}"
    from metropulse.rollup import rollup_into

    pipeline = mp.Pipeline(lake=store.begin, lake_options=store.options)
    rollup_into(
        pipeline, f"{store.begin}a.parquet", output, keys=["vehicle_id"], time="event_ts", measures={"n": "count"}
    )
    found = mp.rollup_hourly(
        f"{store.begin}out%20#1.parquet",
        keys=["vehicle_id"],
        time="hour_bucket",
        measures={"n": ("sum", "n")},
        lake_options=store.options,
    )
    assert [(row["vehicle_id"], row["n"]) for row in found.to_pylist()] == [("a", 1)]


@pytest.mark.parametrize(
    "name", ["s3:bucket/x", "s3://bucket//x", "s3://bucket/a//b", "file://folder/x", "ftp://host/x", "https://host/x"]
)
def test_a_malformed_name_is_the_callers_mistake(name):
    with pytest.raises(mp.ConfigError, match="expected"):
        mp.rollup_hourly(name, keys=[], time="event_ts", measures={"n": "count"}, lake_options={"aws_region": "x"})
