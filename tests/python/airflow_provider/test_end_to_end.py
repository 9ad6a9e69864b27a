"""A whole deployment of servers: a DAG triggered over REST, from S3 over TLS into PostgreSQL and into ClickHouse 18.16.

All tests share one Airflow.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import psycopg
import pytest

import metropulse as mp
from answers import DATA, PROTOTYPE_DAYS, check_prototype

pytest.importorskip("airflow.sdk")
from browser import page_text
from deployment import Deployment, Servers, deployed

pytestmark = [pytest.mark.core, pytest.mark.airflow, pytest.mark.slow]
OF_THE_METADATA = {"xcom": "load_facts", "rendered_task_instance_fields": "2024-05-01", "asset_event": "payment"}
"""Tables of Airflow's metadata that show what a task was given and gave, and what stands there of the days."""


@pytest.fixture(scope="module")
def deployment(
    debian_postgres: str, clickhouse_18_with_password: str, minio_server, tmp_path_factory
) -> Iterator[Deployment]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "certificates").mkdir()
    servers = Servers(debian_postgres, clickhouse_18_with_password, minio_server, folder / "certificates")
    with deployed(servers, folder) as running:
        yield running


@pytest.fixture(scope="module")
def prototype(deployment: Deployment) -> mp.Pipeline:
    """The prototype's three days, loaded by runs that were triggered over REST."""
    airflow, pipeline = deployment.airflow, deployment.cities["prototype"].pipeline()
    for file in sorted((DATA / "prototype_raw").rglob("*.parquet")):
        deployment.put("prototype", str(file.relative_to(DATA / "prototype_raw")), file.read_bytes())
    airflow.unpause("metropulse_daily")
    runs = [airflow.trigger("metropulse_daily", {"partition": d, "stable_seconds": 0}) for d in PROTOTYPE_DAYS]
    for run in runs:
        ended = airflow.wait_for_run("metropulse_daily", run)
        assert ended["state"] == "success", airflow.tasks("metropulse_daily", run)
    return pipeline


def test_days_triggered_over_rest_come_from_s3_over_tls_into_clickhouse_18(prototype, deployment):
    check_prototype(prototype)
    assert deployment.servers.ask_mart("SELECT version()").startswith("18.16")
    with pytest.raises(mp.MetropulseError):
        mp.Pipeline(warehouse=f"{deployment.cities['prototype'].warehouse}?sslmode=disable").warehouse.query("select 1")


def test_assets_and_their_events_are_seen_in_a_browser(prototype, deployment, chromium, tmp_path):
    airflow = deployment.airflow
    [event, *_] = airflow.events("/prototype/dwh/facts")
    listed = page_text(chromium, airflow.base, "/assets", tmp_path / "list")
    for ending in ("/prototype/dwh/facts", "/prototype/mart_route_hourly", "s3://prototype/dt="):
        assert ending in listed, listed
    shown = page_text(chromium, airflow.base, f"/assets/{event['asset_id']}", tmp_path / "facts")
    assert "/prototype/dwh/facts" in shown, shown
    for day in PROTOTYPE_DAYS:
        assert f"Source: metropulse_daily Partition Key: {day}" in shown, shown
    for secret in deployment.secrets().values():
        assert secret not in listed + shown


def test_no_secret_is_in_any_log_xcom_template_asset_or_lineage_event(prototype, deployment):
    texts = {str(path): path.read_text(errors="replace") for path in (deployment.airflow.home).rglob("*.log*")}
    assert any("dag_id=metropulse_daily" in name for name in texts), "no log of a task"
    texts["lineage"] = deployment.lineage.read_text()
    with psycopg.connect(deployment.metadata.replace("+psycopg", "")) as link:
        for (table,) in link.execute("select tablename from pg_tables where schemaname = 'public'").fetchall():
            rows = link.execute(f'select t::text from "{table}" t').fetchall()
            texts[table] = "\n".join(text for (text,) in rows)
    for table, told in OF_THE_METADATA.items():
        assert told in texts[table], f"{table} tells nothing of the days"
    assert "dwh.fact_trip" in texts["lineage"]
    assert "s3://prototype" in texts["asset"]
    shown = [
        (whose, place)
        for whose, secret in deployment.secrets().items()
        for place, text in texts.items()
        if any(form in text for form in forms(secret))
    ]
    assert shown == []


def forms(secret: str) -> set[str]:
    """The secret as it may be written."""
    return {secret, quote(secret, safe=""), quote_plus(secret), base64.b64encode(secret.encode()).decode()}
