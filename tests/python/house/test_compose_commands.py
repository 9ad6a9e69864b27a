"""The commands of docker-compose.yml, run on this machine by the same programs: what containers do, without containers.

Not proven here: the images and their entry points, and that they come up together. Airflow's components run in
tests/python/airflow_provider/airflow_server.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

yaml = pytest.importorskip("yaml")

SERVICES = yaml.safe_load((Path(__file__).parents[3] / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


def run(command: list[str], **environment: str) -> str:
    """Run a command of a service as its container would, with `$$` as Compose reads it."""
    words = [word.replace("$$", "$") for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"], **environment}
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def health_check(service: str, port_inside: int | None = None, port: int | None = None) -> list[str]:
    """The command of a service's health check, for a server on another port."""
    kind, *words = SERVICES[service]["healthcheck"]["test"]
    if port:
        assert any(f":{port_inside}" in word for word in words)
        words = [word.replace(f":{port_inside}", f":{port}") for word in words]
    return ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words


@pytest.mark.parametrize("service", ["postgres", "metadata"])
def test_postgresql_takes_its_settings_and_is_found_healthy(service, debian_postgres):
    server = urlsplit(debian_postgres)
    run(
        health_check(service),
        PGHOST=str(server.hostname), PGPORT=str(server.port),
        POSTGRES_USER=str(server.username), POSTGRES_DB=server.path[1:],
    )  # fmt: skip
    settings = dict(word.split("=") for word in SERVICES[service].get("command", []) if "=" in word)
    with psycopg.connect(debian_postgres) as link:
        for name, value in settings.items():
            bytes_of = "select pg_size_bytes(%s) / case unit when 'MB' then 1048576 when '8kB' then 8192 else 1024 end"
            in_range = f"({bytes_of}) between min_val::bigint and max_val::bigint"
            sql = f"select {in_range} from pg_settings where name = %s"
            assert link.execute(sql, [value, name]).fetchone() == (True,), name


def test_minio_is_found_ready_and_the_bucket_is_made_once_and_again(minio_server, mc, tmp_path):
    endpoint, folder = minio_server
    login = {"MINIO_ACCESS_KEY": "metropulse", "MINIO_SECRET_KEY": "s3-secret-key"}
    place = endpoint.removeprefix("http://")
    near = {"PATH": f"{Path(mc).parent}:{os.environ['PATH']}", "MC_CONFIG_DIR": str(tmp_path), "HOME": str(tmp_path)}
    reached = {"MC_HOST_local": f"http://{login['MINIO_ACCESS_KEY']}:{login['MINIO_SECRET_KEY']}@{place}"}
    run(health_check("minio"), **near, **reached)
    bucket = SERVICES["bucket"]
    assert set(bucket["environment"]) == set(login)
    script = [*bucket["entrypoint"], *bucket["command"]]
    assert "http://minio:9000" in script[-1]
    assert script[-1].endswith("lake/raw")
    made = f"raw-{os.urandom(4).hex()}"
    script[-1] = script[-1].replace("minio:9000", place).removesuffix("raw") + made
    for _ in range(2):
        run(script, **near, **login)
        assert (folder / made).is_dir()


def test_clickhouse_is_found_healthy(clickhouse_18_url):
    if shutil.which("wget") is None:
        pytest.skip("wget is not installed; the image has it")
    assert run(health_check("clickhouse", 8123, urlsplit(clickhouse_18_url).port)) == "Ok.\n"
