"""Stores and readers."""

from __future__ import annotations

import os

import pytest

from sources.reading import Readers, local_store


@pytest.fixture
def readers(pipeline_on):
    return Readers(pipeline_on)


@pytest.fixture
def bucket(minio_server, minio_put):
    """A bucket of its own as a store."""
    from sources.reading import Store

    endpoint, folder = minio_server
    name = f"b{os.urandom(6).hex()}"
    (folder / name).mkdir()
    options = {
        "aws_endpoint": endpoint,
        "aws_allow_http": "true",
        "aws_access_key_id": "metropulse",
        "aws_secret_access_key": "s3-secret-key",
        "aws_region": "us-east-1",
    }
    return Store("minio", f"s3://{name}/", lambda key, data: minio_put(name, key, data), options)


@pytest.fixture(params=["local", "minio"])
def store(request, tmp_path):
    return local_store(tmp_path) if request.param == "local" else request.getfixturevalue("bucket")
