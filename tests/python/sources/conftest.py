"""Stores and readers."""

from __future__ import annotations

import pytest

from sources.reading import Readers, Store, local_store


@pytest.fixture
def readers(pipeline_on):
    return Readers(pipeline_on)


@pytest.fixture
def bucket(minio_bucket, minio_put):
    """A bucket of its own as a store."""
    name, options = minio_bucket
    return Store("minio", f"s3://{name}/", lambda key, data: minio_put(name, key, data), options)


@pytest.fixture(params=["local", "minio"])
def store(request, tmp_path):
    return local_store(tmp_path) if request.param == "local" else request.getfixturevalue("bucket")
