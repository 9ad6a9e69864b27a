"""docker-compose.yml and Dockerfile, as far as they can be judged without a docker daemon.

What is not proven here: that the images exist under their tags, and that they come up together.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import jsonschema
import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ONCE = {"bucket", "secrets", "airflow-init", "spark-submit"}
"""Services that do a thing and end."""


def test_the_file_is_valid_against_the_compose_specification():
    schema = json.loads((ROOT / "tests" / "data" / "compose_spec.json").read_text())
    judge = jsonschema.Draft7Validator(schema)
    judge.validate(COMPOSE)
    with pytest.raises(jsonschema.ValidationError):
        judge.validate({**COMPOSE, "services": {"x": {"imagine": "nothing"}}})


def test_the_whole_deployment_is_there():
    airflow = {"airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"}
    servers = {"postgres", "minio", "bucket", "clickhouse", "metadata", "secrets"}
    assert set(SERVICES) == airflow | servers | {"spark-master", "spark-worker", "spark-submit"}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["spark"]} == {
        "spark-master",
        "spark-worker",
    }


def test_every_service_that_stays_has_a_health_check():
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == ONCE


def test_services_wait_for_what_they_need_in_the_state_that_it_can_reach():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how == {"condition": wanted}, f"{name} needs {other}"


def test_every_image_is_pinned():
    for name, service in SERVICES.items():
        _, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d+\.\d+|\d{4}-\d\d-\d\d", tag), f"{name}: {service['image']}"
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))
    for base in set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - stages:
        assert re.search(r":\$\{\w+_VERSION\}", base), base


def test_ports_are_open_to_this_machine_alone_and_the_ones_of_the_prototype():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:${") for port in ports)
    assert {
        "127.0.0.1:${PG_PORT:-5432}:5432",
        "127.0.0.1:${MINIO_PORT:-9000}:9000",
        "127.0.0.1:${CH_PORT:-8123}:8123",
    } <= set(ports)


@pytest.mark.parametrize(
    "line", [line for line in TEXT.splitlines() if re.search(r"(PASSWORD|SECRET_KEY|CONN): ", line)]
)
def test_every_credential_can_be_overridden(line):
    assert re.search(r"\$\{\w+:-[^}]+\}", line), f"a fixed credential: {line.strip()}"


def test_no_secret_is_baked_into_the_image():
    assert not re.search(r"password|secret_key|fernet_key|jwt", DOCKERFILE, re.IGNORECASE)
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[0] == "*", "what goes into the build is named, so no .env does"
    assert not any(".env" in line or "target" in line for line in kept)


def test_volumes_that_are_mounted_are_declared():
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert mounted == set(COMPOSE["volumes"])


def test_the_build_copies_what_is_there_and_needs():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert [name for name in allowed if not (ROOT / name).exists()] == []
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    needed = {"Cargo.toml", "Cargo.lock", "pyproject.toml", "src", "python", "README.md", "rust-toolchain.toml"}
    needed |= {bench["name"] and "benches" for bench in cargo.get("bench", ())}
    assert needed <= allowed
    for path in re.findall(r"^COPY ((?!--from)\S+) ", DOCKERFILE, re.MULTILINE):
        assert path == "." or list(ROOT.glob(path)), path


def test_versions_are_those_that_the_project_uses():
    toolchain = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    (rust,) = re.findall(r"ARG RUST_VERSION=(\S+)", DOCKERFILE)
    (airflow,) = set(re.findall(r"AIRFLOW_VERSION[=:]-?([\d.]+)", DOCKERFILE + TEXT))
    assert (rust, airflow.split(".")[:2]) == (toolchain, ["3", "3"])


def test_spark_has_the_wheel_with_what_it_needs_and_the_jobs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stage = DOCKERFILE.partition(" AS spark\n")[2].partition("\nFROM ")[0]
    assert "metropulse-*.whl')[spark]" in stage
    packages = {re.split("[<>=]", line)[0] for line in project["optional-dependencies"]["spark"]}
    assert packages == {"pandas", "pyarrow", "pyspark"}
    (python,) = re.findall(r"ARG PYTHON_VERSION=3\.(\d+)", DOCKERFILE)
    assert int(python) >= int(project["requires-python"].removeprefix(">=3."))
    (spark,) = set(re.findall(r"SPARK_VERSION[=:]-?([\d.]+)", DOCKERFILE + TEXT))
    assert spark.startswith("4.")
    places = SERVICES["scheduler"]["environment"]
    for name in ("spark-master", "spark-worker", "spark-submit"):
        assert SERVICES[name]["build"]["target"] == "spark"
        assert "secret" not in json.dumps(SERVICES[name].get("command", "")).lower()
    job = SERVICES["spark-submit"]["entrypoint"][-1]
    assert f"COPY spark_jobs/*.py {job.rpartition('/')[0]}/" in stage
    assert (ROOT / "spark_jobs" / job.rpartition("/")[2]).exists()
    assert SERVICES["spark-submit"]["environment"].items() <= places.items()


def test_airflow_can_have_what_the_spark_engine_of_its_backfill_needs():
    """The job comes with the wheel; the rest is a target of its own, which the variable AIRFLOW_TARGET chooses."""
    stage = DOCKERFILE.partition("FROM airflow AS airflow-spark\n")[2].partition("\nFROM ")[0]
    assert "jre-headless" in stage
    assert '"pyspark==${SPARK_VERSION}"' in stage
    assert "metropulse-*.whl')[spark]" in stage
    assert stage.rindex("USER 50000") > stage.rindex("USER 0")
    assert "FROM apache/airflow:${AIRFLOW_VERSION}-python3.11 AS airflow\n" in DOCKERFILE
    assert SERVICES["scheduler"]["build"]["target"] == "${AIRFLOW_TARGET:-airflow}"
    assert (ROOT / "python" / "metropulse" / "spark" / "jobs" / "mart_route_hourly.py").is_file()


def test_every_command_of_airflow_is_one():
    pytest.importorskip("airflow")
    from airflow.cli.cli_parser import get_parser

    for name, service in SERVICES.items():
        if str(service["image"]).startswith("metropulse-airflow"):
            get_parser().parse_args(service["command"])
            check = service.get("healthcheck", {}).get("test", ["", ""])[1]
            if check.startswith("airflow "):
                get_parser().parse_args(shlex.split(check)[1:]), name


def test_what_airflow_signs_with_is_made_as_it_wants_it(tmp_path):
    import subprocess

    fernet = pytest.importorskip("cryptography.fernet")
    script = SERVICES["secrets"]["command"][0].replace("$$", "$").replace("/run/metropulse", str(tmp_path))
    script = script.rpartition("chown")[0]
    for _ in range(2):
        subprocess.run(["/bin/sh", "-ec", script], check=True, timeout=10)
        made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(made) == {"jwt_secret", "fernet_key"}
    sealed = fernet.Fernet(made["fernet_key"]).encrypt(b"x")
    assert fernet.Fernet(made["fernet_key"]).decrypt(sealed) == b"x"
    assert len(made["jwt_secret"]) == 64
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_variables_are_those_that_metropulse_reads():
    from metropulse.settings import resolve

    environment = {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        for name, value in SERVICES["scheduler"]["environment"].items()
    }
    settings = resolve(environ=environment)
    assert (settings.lake, settings.warehouse) == ("s3://raw", "postgresql://dwh:dwhpass@postgres:5432/dwh")
    assert (settings.mart, settings.mart_user) == ("http://clickhouse:8123/default", "default")
    assert dict(settings.lake_options)["aws_endpoint"] == "http://minio:9000"
