"""What the driver hands to workers, and what a worker finds of Spark; no cluster is needed."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("metropulse._core")

from metropulse.spark import lifeline
from metropulse.spark.workers import access

KEYS = {
    "spark.hadoop.fs.s3a.access.key": "everybody",
    "spark.hadoop.fs.s3a.secret.key": "s1",
    "spark.hadoop.fs.s3a.session.token": "t1",
    "spark.hadoop.fs.s3a.endpoint": "minio:9000",
    "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
    "spark.hadoop.fs.s3a.bucket.raw.access.key": "raw-reader",
}


class Hadoop(dict):
    """Hadoop's configuration: values with the place that each comes from."""

    def getPropertySources(self, name):  # noqa: N802
        return [super().get(name)[0]] if name in self else None

    def get(self, name):
        return super().get(name, (None, None))[1]


def session(told: dict[str, str], **hadoop: tuple[str, str]) -> SimpleNamespace:
    named = Hadoop({f"fs.s3a.{name.replace('_', '.')}": value for name, value in hadoop.items()})
    return SimpleNamespace(
        conf=told, sparkContext=SimpleNamespace(_jsc=SimpleNamespace(hadoopConfiguration=lambda: named))
    )


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "MINIO_ENDPOINT", "MINIO_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_an_s3_lake_is_reached_with_what_spark_was_told():
    assert access(session(KEYS), "s3a://raw/dt=2024-05-01", None) == {
        "aws_access_key_id": "raw-reader",
        "aws_secret_access_key": "s1",
        "aws_session_token": "t1",
        "aws_endpoint": "http://minio:9000",
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
        "aws_virtual_hosted_style_request": "false",
    }
    assert access(session(KEYS), "s3://raw", {"aws_region": "x"}) == {"aws_region": "x"}
    assert access(session(KEYS), "/folder", None) is None
    assert access(session({}), "s3://raw", None) is None


def test_without_keys_the_rest_is_taken_and_the_environment_has_the_keys(monkeypatch):
    """Keys of a role, or of the environment, at an endpoint that Spark was told of."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the environment")
    monkeypatch.setenv("AWS_REGION", "nowhere")
    told = {"spark.hadoop.fs.s3a.endpoint": "https://store", "spark.hadoop.fs.s3a.endpoint.region": "eu-west-3"}
    found = access(session(told), "s3://raw", None)
    assert found["aws_access_key_id"] == "of the environment"
    assert (found["aws_endpoint"], found["aws_region"]) == ("https://store", "eu-west-3")
    styled = access(session({"spark.hadoop.fs.s3a.path.style.access": "true"}), "s3://raw", None)
    assert styled["aws_virtual_hosted_style_request"] == "false"


def test_hadoops_own_files_are_read_and_its_defaults_are_not():
    found = access(
        session(
            {}, endpoint=("core-site.xml", "minio:9000"), access_key=("programmatically", "k"),
            connection_ssl_enabled=("core-default.xml", "false"), secret_key=("Set by Spark on host from AWS_X", "no"),
        ), "s3://raw", None,
    )  # fmt: skip
    assert (found["aws_endpoint"], found["aws_access_key_id"]) == ("https://minio:9000", "k")
    assert "aws_secret_access_key" not in found


def within_a_worker(program: str):
    """Run a program as if PySpark's worker were it."""
    names = {"lifeline": lifeline}
    exec(compile(program, "/opt/pyspark/worker.py", "exec"), names)
    return names["call"]()


def test_a_worker_of_an_unknown_pyspark_is_told_of_once(caplog):
    lifeline._warn_of_orphans.cache_clear()
    with caplog.at_level(logging.WARNING, "metropulse.spark"):
        assert lifeline._to_spark() is None
        assert within_a_worker("def call():\n    outfile = 'socket'\n    return lifeline._to_spark()") == "socket"
        assert caplog.text == ""
        for _ in range(2):
            assert within_a_worker("def call():\n    sock = 1\n    return lifeline._to_spark()") is None
    assert caplog.text.count("native work of a task that Spark cancels runs to its end") == 1
