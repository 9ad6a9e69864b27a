"""Attempts that are lost between a shadow table and its swap: the mart is that of one machine all the same."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("metropulse._core")
pytest.importorskip("pyspark")

from answers import DATA, mart_rows, same_rows
from metropulse.spark import build_route_hourly, mart
from spark import attacks
from spark.conftest import executors

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow, pytest.mark.end_to_end]


@pytest.fixture
def by_value():
    """Executors have no tests: what they run of them travels whole."""
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(attacks)
    yield
    cloudpickle.unregister_pickle_by_value(attacks)


@pytest.mark.parametrize("how", ["fails", "loses its executor"])
def test_a_task_that_goes_after_it_filled_changes_nothing(
    spark, by_value, pipeline_on, shadows, tmp_path, monkeypatch, how
):
    here, there = pipeline_on(DATA / "prototype_raw"), pipeline_on(DATA / "prototype_raw")
    here.build_route_hourly("2024-04-30", "2024-05-05", source="lake")
    before, marker, found = executors(spark), tmp_path / "here", there.settings
    monkeypatch.setattr(mart, "FillTask", partial(attacks.Suffering, how=how, marker=str(marker)))
    report = build_route_hourly(
        spark, found.lake, mart=found.mart, mart_user=found.mart_user, mart_password=found.mart_password
    )
    assert marker.exists()
    assert (set(executors(spark)) >= set(before)) == (how == "fails")
    assert report.service_dates_rebuilt
    same_rows(mart_rows(there), mart_rows(here))
    assert shadows(there) == [], "the one of the lost attempt went with the build"
