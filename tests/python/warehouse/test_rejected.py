"""The quarantine: repaired rows stand where the rejected ones stood."""

from __future__ import annotations

import pytest

import metropulse as mp

from .city import DAYS, WORLD, ask, load, state, trip, write_day

BAD = {
    "trips": [
        trip(1, 1, 8),
        trip(2, 1, 9, fare=-3.0),
        trip(3, 1, 10, vehicle="V9", route="R3"),
        trip(2, 1, 9, fare=-1.0),
    ],
}
FILE = f"dt={DAYS[0]}/trips.parquet"


@pytest.fixture
def bad(pipeline, lake):
    write_day(lake, DAYS[0], BAD)
    load(pipeline, *DAYS)
    return pipeline


def conserved(database: str) -> None:
    wrong = ask(
        database,
        "SELECT target, dt FROM dwh.load_ledger WHERE rows_read <> rows_loaded + rows_duplicate + rows_superseded + rows_rejected",
    )
    assert wrong == []
    for table in ("staging.trips_raw", "dwh.fact_trip"):
        (held,) = ask(database, f"SELECT count(*) FROM {table}")
        assert ask(database, f"SELECT sum(rows_loaded)::bigint FROM dwh.load_ledger WHERE target = '{table}'") == [held]


def test_rejected_rows_are_listed_by_dataset_day_and_reason(bad):
    report = bad.rejected(dataset="trips")
    assert report.total == 2
    assert [(r.row_number, r.reasons) for r in report.rejected] == [(2, ("negative",)), (4, ("negative",))]
    assert report.rejected[0].row.trip_id == "T2"
    assert bad.rejected(reason="speed").rejected[0].dataset == "vehicle_positions"
    assert bad.rejected(dt=DAYS[1]).total == 0
    assert len(bad.rejected(limit=1).rejected) == 1
    assert bad.rejected(limit=1).total == 3


def test_too_many_rejects_stop_a_step_and_the_first_is_shown(database, lake):
    write_day(lake, DAYS[0], BAD)
    p = mp.Pipeline(lake=lake, warehouse=database)
    with pytest.raises(
        mp.DataError, match=r"2 of 4 rows of trips .* the first: row 2 of dt=\S+trips.parquet, negative, .*T2"
    ):
        p.stage(DAYS[0])
    assert ask(database, "SELECT count(*) FROM staging.rejected") == [(0,)]


def test_a_repaired_row_is_loaded_as_if_its_file_had_held_it(bad, database, other_database, lake):
    report = bad.requeue([{"file": FILE, "row_number": 2, "row": {"fare": "3.00"}}])
    assert report.rows_passed == 1
    assert bad.rejected(dataset="trips").total == 1
    conserved(database)
    # T2 is newest on day 3: the repaired row of day 1 waits behind it, and comes back like any other.
    assert ask(database, "SELECT fare_amount::text FROM dwh.superseded_trip WHERE dt = '2024-05-01'") == [("3.00",)]
    repaired = [*BAD["trips"][:1], trip(2, 1, 9, fare=3.0), *BAD["trips"][2:]]
    write_day(lake, DAYS[0], {"trips": repaired})
    load(mp.Pipeline(lake=lake, warehouse=other_database, reject_limit=0.5, allow_vanishing=True), *DAYS)
    ours, theirs = state(database), state(other_database)
    ignored = {"ledger", "repaired"}
    assert {n: v for n, v in ours.items() if n not in ignored} == {n: v for n, v in theirs.items() if n not in ignored}


def test_a_repair_outlives_reloads_of_its_file_and_goes_with_another_file_or_an_undo(bad, database, lake):
    bad.requeue(
        [{"file": FILE, "row_number": 2, "row": {"fare": 3}}, {"file": FILE, "row_number": 4, "row": {"fare": 4.5}}]
    )
    once = state(database)
    assert bad.rejected(dataset="trips").total == 0
    assert bad.stage(DAYS[0]).unchanged
    assert bad.load_facts(DAYS[0]).unchanged
    assert bad.requeue().rows_passed == 0
    assert state(database) == once
    # Row 4 is the later row of T2 in its file, and wins within the day as it would have.
    assert ask(database, "SELECT fare_amount::text FROM dwh.superseded_trip WHERE dt = '2024-05-01'") == [("4.50",)]
    kept = (lake / FILE).read_bytes()
    write_day(lake, DAYS[0], {"trips": WORLD[DAYS[0]]["trips"]})
    load(bad, DAYS[0])
    assert ask(database, "SELECT fare_amount::text FROM dwh.superseded_trip WHERE dt = '2024-05-01'") == [("3.00",)]
    (lake / FILE).write_bytes(kept)
    load(bad, DAYS[0])
    assert state(database) == once
    assert bad.undo(DAYS[0]).repairs_removed == 2
    load(bad, DAYS[0])
    assert bad.rejected(dataset="trips").total == 2


def test_a_broken_off_requeue_is_completed_by_an_ordinary_load(bad, database):
    bad.requeue([{"file": FILE, "row_number": 2, "row": {"fare": 3}}])
    whole = state(database)
    # As if the process had died between staging and the facts: the facts are of before the repair.
    ask(database, "UPDATE dwh.load_ledger SET loaded_at = loaded_at - interval '1 hour' WHERE target LIKE 'dwh.%'")
    assert not bad.load_facts(DAYS[0]).unchanged
    assert state(database) == whole


def test_a_dimension_learns_from_a_repaired_row(pipeline, lake, database):
    vehicles = [{"vehicle_id": "V1", "capacity": "80"}, {"vehicle_id": "V2", "capacity": "many"}]
    write_day(lake, DAYS[0], {"vehicles": vehicles})
    load(pipeline, DAYS[0])
    assert ask(database, "SELECT capacity FROM dwh.dim_vehicle WHERE vehicle_id = 'V2'") == []
    file = f"dt={DAYS[0]}/vehicles.parquet"
    assert pipeline.requeue([{"file": file, "row_number": 2, "row": {"capacity": 40}}]).rows_passed == 1
    assert ask(database, "SELECT capacity FROM dwh.dim_vehicle WHERE vehicle_id = 'V2'") == [(40,)]


def test_what_is_still_wrong_stays_rejected(bad, database):
    report = bad.requeue([{"file": FILE, "row_number": 2, "row": {"start_ts": None}}])
    assert report.rows_passed == 0
    assert bad.rejected(dataset="trips").rejected[0].reasons == ("no_time", "negative")
    conserved(database)


def test_rows_that_are_not_rejected_unknown_columns_and_changed_files_are_refused(bad, lake, database):
    before = state(database)
    with pytest.raises(mp.NotFoundError, match=r"row 1 of .*trips.parquet is not among the rejected rows"):
        bad.requeue([{"file": FILE, "row_number": 1, "row": {"fare": 1}}])
    with pytest.raises(mp.ConfigError, match='no column "fares"'):
        bad.requeue([{"file": FILE, "row_number": 2, "row": {"fares": 1}}])
    with pytest.raises(mp.ConfigError, match="row_number"):
        bad.requeue([{"file": FILE}])
    write_day(lake, DAYS[0], {"trips": WORLD[DAYS[0]]["trips"]})
    with pytest.raises(mp.ConflictError, match="load the day"):
        bad.requeue([{"file": FILE, "row_number": 2, "row": {"fare": 1}}])
    assert state(database) == before
