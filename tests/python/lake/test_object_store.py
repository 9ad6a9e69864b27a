"""The lake in a real S3-compatible store: MinIO."""

from __future__ import annotations

import pytest

import metropulse as mp
from answers import DATA, check_prototype

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]


def test_days_are_generated_into_and_loaded_from_a_bucket(minio_bucket, pipeline_on):
    name, options = minio_bucket
    p = pipeline_on(f"s3://{name}/raw", lake_options=options)
    p.generate("2024-05-01", days=1, scale=0.2)
    ready = p.partition_ready("2024-05-01")
    assert (ready.ready, ready.has_manifest) == (True, True)
    report = p.run("2024-05-01")
    assert report.steps[1].rows > 10_000
    assert p.run("2024-05-01").unchanged
    assert "s3-secret-key" not in repr(p) + str(report)


def test_the_prototypes_days_from_a_bucket_give_their_answers(minio_bucket, pipeline_on, minio_put):
    name, options = minio_bucket
    for path in sorted((DATA / "prototype_raw").rglob("*.parquet")):
        minio_put(name, f"{path.parent.name}/{path.name}", path.read_bytes())
    p = pipeline_on(f"s3://{name}", lake_options=options)
    for dt in ("2024-05-03", "2024-05-01", "2024-05-02"):
        p.run(dt)
    check_prototype(p)


def test_the_prototypes_variables_name_the_bucket(minio_variables):
    (minio_variables / "raw").mkdir(exist_ok=True)
    p = mp.Pipeline.from_env()
    assert p.settings.lake == "s3://raw"
    p.generate("2024-05-01", days=1, scale=0.05)
    assert p.partition_ready("2024-05-01").has_manifest


@pytest.mark.parametrize(
    ("change", "retryable", "word"),
    [
        ({"aws_secret_access_key": "wrong"}, False, "SignatureDoesNotMatch"),
        ({"aws_endpoint": "http://127.0.0.1:9"}, True, "127.0.0.1"),
    ],
)
def test_what_the_store_refuses_is_clear_and_shows_no_secret(minio_bucket, change, retryable, word):
    name, options = minio_bucket
    p = mp.Pipeline(lake=f"s3://{name}", lake_options={**options, **change})
    with pytest.raises(mp.StorageError) as caught:
        p.partition_ready("2024-05-01")
    text = f"{caught.value} {caught.value.context} {caught.value.__cause__}"
    assert caught.value.retryable is retryable, text
    assert word in text
    assert "s3-secret-key" not in text


def test_a_bucket_that_is_not_there_is_named(minio_bucket):
    _, options = minio_bucket
    p = mp.Pipeline(lake="s3://nowhere-at-all", lake_options=options, warehouse="postgresql:///x")
    with pytest.raises(mp.NotFoundError, match="NoSuchBucket"):
        p.stage("2024-05-01")
