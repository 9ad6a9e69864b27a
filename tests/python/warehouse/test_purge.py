"""Retention: staging goes, and nothing that was learnt from it."""

from __future__ import annotations

import pytest

import metropulse as mp

from .city import DAYS, WORLD, ask, load, state, trip, write_day

STAGED = "SELECT count(*) FROM staging.trips_raw"


def test_staging_goes_and_history_facts_and_ledger_stay(pipeline, database):
    load(pipeline, *DAYS)
    before = state(database)
    dry = pipeline.purge("90d", dry_run=True)
    assert state(database) == before
    report = pipeline.purge("90d")
    assert report.tables == dry.tables
    assert report.days == DAYS
    assert ask(database, STAGED) == [(0,)]
    after = state(database)
    kept = set(before) - {"staged", "tables", "ledger"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    day = pipeline.status().days[0]
    assert day.steps.stage.state == "purged"
    assert day.steps.load_facts.state == "loaded"
    assert pipeline.purge("90d").unchanged


def test_an_unchanged_day_is_still_known_and_a_corrected_one_replaces_its_share(
    pipeline, database, other_database, lake
):
    load(pipeline, *DAYS)
    pipeline.purge(0)
    assert pipeline.stage(DAYS[0]).unchanged
    assert pipeline.load_facts(DAYS[0]).unchanged
    pipeline.check_quality(DAYS[0])
    write_day(lake, DAYS[0], {"trips": [*WORLD[DAYS[0]]["trips"], trip(99, 1, 12)]})
    load(pipeline, DAYS[0])
    assert ask(database, STAGED) == [(4,)]
    load(mp.Pipeline(lake=lake, warehouse=other_database, reject_limit=0.5, allow_vanishing=True), *DAYS)
    kept = set(state(database)) - {"staged", "tables", "ledger"}
    assert {n: state(database)[n] for n in kept} == {n: state(other_database)[n] for n in kept}
    pipeline.undo(DAYS[1])


def test_young_days_and_what_was_not_named_stay(pipeline, database):
    load(pipeline, *DAYS)
    pipeline.check_quality(DAYS[0])
    assert pipeline.purge("5000w").unchanged
    assert ask(database, "SELECT count(*) FROM staging.rejected") == [(1,)]
    pipeline.purge("90d", what=["rejected"])
    assert ask(database, "SELECT count(*) FROM staging.rejected") == [(0,)]
    assert ask(database, STAGED) == [(9,)]
    assert pipeline.purge(0, what=["quality"]).tables["dwh.quality_result"].rows_written == 0


@pytest.mark.parametrize("wrong", ["", "90", "3 months", -1, None, 1.5, True])
def test_what_is_no_age_is_refused(pipeline, wrong):
    with pytest.raises(mp.ConfigError, match="90d or 12w"):
        pipeline.purge(wrong)


def test_what_cannot_be_purged_is_refused(pipeline):
    with pytest.raises(mp.ConfigError, match="cannot be purged"):
        pipeline.purge(what=["facts"])
