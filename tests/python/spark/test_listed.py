"""What the driver lists is what every task finds, or the task fails: whatever folder it works in, whatever it sees."""

from __future__ import annotations

import json
import os
import shutil
from types import SimpleNamespace

import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("metropulse._core")
pytest.importorskip("pandas")

import metropulse as mp
from answers import DATA, PROTOTYPE_DAYS
from metropulse import _core
from metropulse.rollup import spec_json
from metropulse.settings import resolve
from metropulse.spark.lake import CleanTask, JudgeTask, lake_settings
from metropulse.spark.mart import SharesTask
from metropulse.spark.packed import date_of_share

pytestmark = pytest.mark.core

SESSION = SimpleNamespace(conf={})
BUILD = json.dumps({"build": 1 << 48, "snapshot_ts": "2024-06-01T00:00:00Z", "date_from": None, "date_to": None})
KEYED = ["trips", "payments"]


@pytest.mark.parametrize("lost", ["the lake", "a day", "a file"])
def test_an_executor_that_does_not_see_what_was_listed_fails_by_lake_and_day(tmp_path, lost):
    lake = tmp_path / "raw"
    shutil.copytree(DATA / "prototype_raw", lake)
    settings = resolve(lake=lake, environ={}).to_json()
    [work] = _core.Pipeline(settings).listed([PROTOTYPE_DAYS[1]], ["trips"])
    gone = {"the lake": lake, "a day": lake / f"dt={work[0]}", "a file": lake / f"dt={work[0]}" / "trips.parquet"}[lost]
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    (lake / f"dt={work[0]}" / "_manifest.json").unlink(missing_ok=True)
    own = SimpleNamespace(value={"settings": settings, "build": BUILD, "routes": None})
    for task in (
        SharesTask(own, [work], date_of_share),
        JudgeTask(SimpleNamespace(value=settings), [work]),
        CleanTask(SimpleNamespace(value=settings), [work], rejects=False),
        CleanTask(SimpleNamespace(value=settings), [work], rejects=True),
    ):
        with pytest.raises(mp.NotFoundError, match="every executor must see the lake that the driver listed") as caught:
            list(task(iter([pa.RecordBatch.from_pydict({"id": [0]})])))
        assert str(lake) in caught.value.message
        assert caught.value.context["dt"] == work[0]


def test_a_day_without_files_is_no_work(tmp_path):
    (tmp_path / "dt=2024-05-01").mkdir()
    (tmp_path / "dt=2024-05-01" / "notes.txt").write_text("nothing yet")
    pipeline = _core.Pipeline(resolve(lake=tmp_path, environ={}).to_json())
    assert pipeline.listed(None, KEYED) == []
    with pytest.raises(mp.NotFoundError, match="dt=2024-05-01"):
        pipeline.listed(["2024-05-01"], KEYED)


def test_a_relative_lake_is_the_drivers_wherever_a_worker_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lake_settings(SESSION, "raw", {}, {}).lake == str(tmp_path / "raw")
    for lake in (str(tmp_path), "s3://raw/city", "file:///raw"):
        assert lake_settings(SESSION, lake, {}, {}).lake == lake
    with pytest.raises(mp.ConfigError, match="lacks the slashes of a URL"):
        lake_settings(SESSION, "s3:raw", {}, {})


def test_relative_files_of_a_rollup_are_the_drivers_wherever_a_worker_works(tmp_path, monkeypatch):
    day = DATA / "prototype_raw" / f"dt={PROTOTYPE_DAYS[0]}"
    shutil.copy(day / "vehicle_positions.parquet", tmp_path / "a.parquet")
    monkeypatch.chdir(tmp_path)
    spec = spec_json(["route_id"], "event_ts", {"n": "count"})
    settings = resolve(environ={}).to_json()
    for name in ("a.parquet", "*.parquet", "."):
        [file] = json.loads(_core.parquet_layout(settings, [name], spec))
        assert file["file"] == str(tmp_path / "a.parquet")
    os.chdir("/")
    piece = {"file": file["file"], "size_bytes": file["size_bytes"], "first": 0, "end": len(file["rows"])}
    assert len(_core.rollup_pieces(settings, json.dumps([piece]), spec)) > 0
