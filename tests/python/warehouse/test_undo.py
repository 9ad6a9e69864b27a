"""Taking days out: what stays is what never knew them."""

from __future__ import annotations

import psycopg
import pytest

import metropulse as mp

from .city import DAYS, ask, load, state


def other(pipeline: mp.Pipeline, url: str) -> mp.Pipeline:
    return mp.Pipeline(lake=pipeline.settings.lake, warehouse=url, reject_limit=0.5, allow_vanishing=True)


@pytest.mark.parametrize("day", DAYS)
def test_undo_leaves_what_never_knew_the_day_and_a_reload_restores_it(pipeline, database, other_database, day):
    load(pipeline, *DAYS)
    whole = state(database)
    report = pipeline.undo(day)
    load(other(pipeline, other_database), *(d for d in DAYS if d != day))
    assert state(database) == state(other_database)
    assert report.tables["dwh.fact_trip"].rows_removed > 0
    assert day in report.dirty_dates
    load(pipeline, day)
    assert state(database) == whole


def test_superseded_rows_come_back_and_dates_they_touch_are_dirty(pipeline, database):
    load(pipeline, *DAYS)
    ask(database, "DELETE FROM dwh.mart_dirty")
    report = pipeline.undo(DAYS[2])
    assert report.tables["dwh.fact_trip"].rows_returned == 1
    assert report.tables["dwh.fact_payment"].rows_returned == 1
    # T2 is day 2's again, and started on day 1; P4 was paid on day 1.
    assert report.dirty_dates == ("2024-05-01", "2024-05-02", "2024-05-03")
    dirty = ask(database, "SELECT DISTINCT service_date::text FROM dwh.mart_dirty ORDER BY 1")
    assert [d for (d,) in dirty] == list(report.dirty_dates)
    assert ask(database, "SELECT dt::text, fare_amount::text FROM dwh.fact_trip WHERE trip_id = 'T2'") == [
        (DAYS[1], "3.50")
    ]


def test_a_dry_run_says_what_would_go_and_keeps_everything(pipeline, database):
    load(pipeline, *DAYS)
    before = state(database)
    dry = pipeline.undo(DAYS[1], dry_run=True)
    assert state(database) == before
    wet = pipeline.undo(DAYS[1])
    assert dry.dry_run and not wet.dry_run
    assert dry.tables == wet.tables
    assert dry.dirty_dates == wet.dirty_dates
    assert dry.inferred_removed == wet.inferred_removed > 0


def test_a_day_that_is_not_loaded_cannot_be_undone(pipeline):
    load(pipeline, DAYS[0])
    with pytest.raises(mp.NotFoundError, match="2024-05-02 is not loaded") as error:
        pipeline.undo(DAYS[1])
    assert not error.value.retryable
    pipeline.undo(DAYS[0])
    with pytest.raises(mp.NotFoundError):
        pipeline.undo(DAYS[0])


def test_rewind_forgets_later_days_and_a_second_one_finds_nothing(pipeline, database, other_database):
    load(pipeline, *DAYS)
    dry = pipeline.rewind(DAYS[0], dry_run=True)
    assert dry.days == (DAYS[2], DAYS[1])
    report = pipeline.rewind(DAYS[0])
    assert [step.dt for step in report.steps] == [DAYS[2], DAYS[1]]
    load(other(pipeline, other_database), DAYS[0])
    assert state(database) == state(other_database)
    assert pipeline.rewind(DAYS[0]).unchanged


def test_a_warehouse_rewound_to_nothing_takes_another_zone(pipeline, database):
    load(pipeline, *DAYS)
    pipeline.rewind("2024-04-30")
    assert state(database)["ledger"] == state(database)["trips"] == state(database)["route log"] == []
    moscow = mp.Pipeline(lake=pipeline.settings.lake, warehouse=database, time_zone="Europe/Moscow", reject_limit=0.5)
    load(moscow, DAYS[0])
    assert ask(database, "SELECT value FROM dwh.deployment WHERE name = 'time_zone'") == [("Europe/Moscow",)]


def test_undo_waits_for_a_reader_and_gives_up_clearly(pipeline, database):
    load(pipeline, *DAYS)
    before = state(database)
    hurried = mp.Pipeline(lake=pipeline.settings.lake, warehouse=database, swap_deadline_seconds=1)
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM dwh.fact_trip")
        with pytest.raises(mp.ConflictError, match="readers kept"):
            hurried.undo(DAYS[2])
    assert state(database) == before
    hurried.undo(DAYS[2])


def test_a_version_that_only_closes_is_written_in_its_bounds_alone(pipeline, database):
    load(pipeline, DAYS[0])
    # Fires by the columns that an UPDATE names, whether or not their values change.
    ask(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'values were written'; END$$;"
        "CREATE TRIGGER refuse BEFORE UPDATE OF schema_json ON dwh.dim_route FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    pipeline.load_dimensions(DAYS[1])
    closed = "SELECT route_id FROM dwh.dim_route WHERE valid_to IS NOT NULL ORDER BY 1"
    assert ask(database, closed) == [("R2",), ("R3",)]


def test_a_dimension_whose_rows_somebody_keeps_from_changing_is_not_published(pipeline, database):
    load(pipeline, DAYS[0])
    before = ask(database, "SELECT * FROM dwh.dim_route ORDER BY 1")
    ask(
        database,
        "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;"
        "CREATE TRIGGER skip BEFORE UPDATE ON dwh.dim_route FOR EACH ROW EXECUTE FUNCTION skip()",
    )
    with pytest.raises(mp.InternalError, match="0 rows were written where 2 were planned"):
        pipeline.load_dimensions(DAYS[1])
    assert ask(database, "SELECT * FROM dwh.dim_route ORDER BY 1") == before
