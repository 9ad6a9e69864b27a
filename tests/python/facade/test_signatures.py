"""What a load of any table takes is said by its function; operators and commands take the same, under the same names."""

from __future__ import annotations

import inspect

import click
import pytest

import metropulse as mp
from metropulse.cli import cli
from metropulse.rollup import rollup_into

# What a connection, an open pipeline or the terminal gives instead.
ELSEWHERE = {"dsn", "pipeline", "lake", "lake_options", "source_options", "to_options", "time_zone", "progress"}


def arguments(function) -> dict[str, object]:
    """Arguments and defaults; what cannot be left out has none."""
    found = inspect.signature(function).parameters.values()
    assert all(p.kind is not p.VAR_KEYWORD for p in found), "named arguments are what completion and types live on"
    return {p.name: p.default for p in found if p.name not in ELSEWHERE}


@pytest.mark.parametrize(
    ("function", "operator", "renamed"),
    [
        (mp.copy_parquet, "CopyParquetOperator", {}),
        (mp.merge_snapshot, "MergeSnapshotOperator", {}),
        # The operator's `output` is Airflow's own word.
        (rollup_into, "RollupHourlyOperator", {"output": "target"}),
        (mp.ingest_gtfs, "IngestGtfsOperator", {}),
        (mp.ingest_gtfs_rt, "IngestGtfsRtOperator", {}),
        (mp.ingest_tides, "IngestTidesOperator", {}),
        (mp.export_tides, "ExportTidesOperator", {}),
    ],
)
def test_an_operator_takes_what_its_function_takes(function, operator, renamed):
    pytest.importorskip("airflow")
    from metropulse.airflow import operators

    made = inspect.signature(getattr(operators, operator).__init__)
    own = {name: p.default for name, p in made.parameters.items() if name not in {"self", "kwargs"}}
    taken = {renamed.get(name, name): default for name, default in arguments(function).items()}
    # Without them: the run's own day, and the lake's own recordings.
    taken |= {name: None for name in ("dt", "sources") if name in taken}
    assert own == taken


@pytest.mark.parametrize(
    ("function", "verb", "given"),
    [
        (mp.copy_parquet, "copy-parquet", {"source"}),
        (mp.merge_snapshot, "merge-snapshot", {"snapshot"}),
        (mp.rewind_snapshot, "rewind-snapshot", set()),
        (rollup_into, "rollup-hourly", {"source"}),
        (mp.ingest_gtfs, "ingest gtfs", {"source"}),
        (mp.ingest_gtfs_rt, "ingest gtfs-rt", {"sources"}),
        (mp.ingest_tides, "ingest tides", {"source"}),
        (mp.export_tides, "export tides", set()),
    ],
)
def test_a_command_takes_what_its_function_takes(function, verb, given):
    """`given` are positional on the command line: one or more sources."""
    command: click.Command = cli
    for word in verb.split():
        command = command.commands[word]
    options = {p.name: p for p in command.params if isinstance(p, click.Option)}
    for name, default in arguments(function).items():
        if name in given:
            continue
        option = options[name]
        assert option.help, f"{verb} says nothing of {name}"
        if default not in (inspect.Parameter.empty, None, (), False):
            assert option.default == default, name
        if default is False:
            assert option.is_flag, name


def test_help_is_the_functions_own_words():
    options = {p.name: p for p in cli.commands["merge-snapshot"].params}
    assert options["effective_column"].help.startswith("Instead of --effective: the column")
    assert "`" not in "".join(
        p.help or "" for command in cli.commands.values() for p in command.params if isinstance(p, click.Option)
    )
    documented = inspect.getdoc(mp.merge_snapshot)
    assert all(f"    {name}: " in documented for name in inspect.signature(mp.merge_snapshot).parameters)


def test_a_load_reaches_sources_beside_a_pipelines_lake(core, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    own = mp.Pipeline(warehouse="postgresql://h/db", lake="/lake", lake_options={}, time_zone="Asia/Tokyo")
    mp.copy_parquet("local.parquet", own, "t")
    assert core.made[-1].settings["lake_options"] == {}
    mp.copy_parquet("s3://other/a.parquet", own, "t")
    assert core.made[-1].settings["lake_options"] == {"aws_access_key_id": "from-environment"}
    assert core.made[-1].settings["warehouse"] == "postgresql://h/db"
    keyed = mp.Pipeline(warehouse="postgresql://h/db", lake="s3://raw", lake_options={"aws_access_key_id": "own"})
    mp.copy_parquet("s3://other/a.parquet", keyed, "t")
    assert core.made[-1].settings["lake_options"] == {"aws_access_key_id": "own"}
    mp.copy_parquet("s3://other/a.parquet", keyed, "t", lake_options={"aws_access_key_id": "given"})
    assert core.made[-1].settings["lake_options"] == {"aws_access_key_id": "given"}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", "key.json")
    mp.copy_parquet("gs://other/a.parquet", keyed, "t")
    assert core.made[-1].settings["lake_options"] == {"google_service_account": "key.json"}


def test_cancelling_a_pipeline_stops_the_load_that_it_lent_itself_to(core, monkeypatch):
    own = mp.Pipeline(warehouse="postgresql://h/db", lake="/lake")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")

    def copy(self, *_arguments, progress=None, **_reading):
        own.cancel()
        assert self.cancelled
        return '{"step": "copy_parquet"}'

    monkeypatch.setattr(core, "copy_parquet", copy)
    mp.copy_parquet("s3://other/a.parquet", own, "t")
    assert [made.cancelled for made in core.made] == [True, True]


@pytest.mark.parametrize("source", [[], 7, [7], None])
def test_what_is_no_source_is_refused(core, source):
    with pytest.raises(mp.ConfigError, match="the source is"):
        mp.copy_parquet(source, "postgresql://h/db", "t")
    with pytest.raises(mp.ConfigError, match="the source is"):
        mp.rollup_hourly(source, keys=["a"], time="t", measures={"n": "count"})
