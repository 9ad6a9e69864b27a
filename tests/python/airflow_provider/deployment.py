"""A deployment as a team has it: MinIO, PostgreSQL behind TLS, ClickHouse 18.16, and Airflow with its metadata in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
from airflow_server import Server, airflow_server

import metropulse as mp
from certificates import Certificates, reload
from conftest import ask_clickhouse, minio_files, minio_options
from services import MINIO_KEY, MINIO_SECRET

LOADER, LOADER_PASSWORD = "loader", "warehouse s/cret@1"


@dataclass(frozen=True)
class City:
    """Where a city's data is: a bucket, a database of the warehouse, a database of the mart."""

    bucket: Path
    endpoint: str
    warehouse: str
    authority: Path
    mart: str
    mart_password: str

    @property
    def lake(self) -> str:
        return f"s3://{self.bucket.name}"

    def pipeline(self) -> mp.Pipeline:
        """Open the city from the test's own process."""
        return mp.Pipeline(
            lake=self.lake,
            lake_options=minio_options(self.endpoint),
            warehouse=f"{self.warehouse}?sslmode=verify-full&sslrootcert={quote(str(self.authority), safe='')}",
            mart=self.mart,
            mart_user="default",
            mart_password=self.mart_password,
        )

    def connections(self, name: str) -> dict[str, str]:
        """Airflow's connections to the city, as variables of its environment."""
        warehouse, mart = urlsplit(self.warehouse), urlsplit(self.mart)
        places = {
            "LAKE": {
                "conn_type": "aws",
                "login": MINIO_KEY,
                "password": MINIO_SECRET,
                "extra": {
                    "endpoint_url": self.endpoint,
                    "region_name": "us-east-1",
                    "service_config": {"s3": {"bucket_name": self.bucket.name}},
                },
            },
            "WAREHOUSE": {
                "conn_type": "postgres",
                "host": warehouse.hostname,
                "port": warehouse.port,
                "schema": warehouse.path[1:],
                "login": LOADER,
                "password": LOADER_PASSWORD,
                "extra": {"sslmode": "verify-full", "sslrootcert": str(self.authority)},
            },
            "MART": {
                "conn_type": "clickhouse",
                "host": mart.hostname,
                "port": mart.port,
                "schema": mart.path[1:],
                "login": "default",
                "password": self.mart_password,
            },
        }
        pattern = "METROPULSE_{}_DEFAULT" if name == "default" else name.upper() + "_{}"
        return {f"AIRFLOW_CONN_{pattern.format(role)}": json.dumps(place) for role, place in places.items()}


class Servers:
    """The servers, and the cities on them."""

    def __init__(self, postgres: str, clickhouse: str, minio: tuple[str, Path], folder: Path) -> None:
        self.postgres, self.clickhouse, self.minio = postgres, urlsplit(clickhouse), minio
        self._certificates = Certificates(folder, postgres)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Let the loader into PostgreSQL by TLS alone, until the end."""
        certificates = self._certificates
        certificates.show("server", "localhost", "IP:127.0.0.1")
        rules = certificates.data / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text(f"hostssl all {LOADER} 127.0.0.1/32 scram-sha-256\nhost all {LOADER} all reject\n{before}")
        self.role(LOADER, LOADER_PASSWORD)
        reload(self.postgres)
        try:
            yield
        finally:
            rules.write_text(before)
            certificates.hide()

    def role(self, name: str, password: str) -> None:
        """Make an account, where a deployment before has not made it."""
        with psycopg.connect(self.postgres, autocommit=True) as admin, suppress(psycopg.errors.DuplicateObject):
            admin.execute(f"create role {name} login password '{password}'")

    def database(self, name: str, owner: str) -> str:
        """Make a database; its URL with the superuser's name."""
        with psycopg.connect(self.postgres, autocommit=True) as admin:
            admin.execute(f"create database {name} owner {owner} template template0")
        return urlsplit(self.postgres)._replace(path=f"/{name}").geturl()

    def city(self, name: str, bucket: str) -> City:
        """Make a city's bucket, where no other has made it, and databases."""
        endpoint, buckets = self.minio
        (buckets / bucket).mkdir(exist_ok=True)
        place = urlsplit(self.database(name, LOADER))
        self.ask_mart(f"CREATE DATABASE {name}")
        port, login = place.port, f"{LOADER}:{quote(LOADER_PASSWORD, safe='')}"
        return City(
            bucket=buckets / bucket,
            endpoint=endpoint,
            warehouse=f"postgresql://{login}@127.0.0.1:{port}/{name}",
            authority=self._certificates.authority,
            mart=f"http://127.0.0.1:{self.clickhouse.port}/{name}",
            mart_password=self.clickhouse.password or "",
        )

    def ask_mart(self, sql: str) -> str:
        """Run a statement on ClickHouse."""
        url, password = f"http://127.0.0.1:{self.clickhouse.port}/", self.clickhouse.password or ""
        return ask_clickhouse(url, "default", password, sql).strip()


@dataclass(frozen=True)
class Deployment:
    """All of it, running."""

    servers: Servers
    cities: dict[str, City]
    airflow: Server
    metadata: str
    lineage: Path

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object into a bucket."""
        with minio_files(self.servers.minio[0]).open_output_stream(f"{bucket}/{key}") as file:
            file.write(data)

    def get(self, bucket: str, key: str) -> bytes:
        """Read an object of a bucket."""
        with minio_files(self.servers.minio[0]).open_input_file(f"{bucket}/{key}") as file:
            return bytes(file.read())

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object of a bucket."""
        minio_files(self.servers.minio[0]).delete_file(f"{bucket}/{key}")

    def secrets(self) -> dict[str, str]:
        """What must be shown nowhere."""
        return {
            "warehouse": LOADER_PASSWORD,
            "lake": MINIO_SECRET,
            "mart": self.servers.clickhouse.password or "",
            "metadata": urlsplit(self.metadata).password or "",
        }


@contextmanager
def deployed(
    servers: Servers, folder: Path, dags: Path, cities: Mapping[str, str], **variables: str
) -> Iterator[Deployment]:
    """Start Airflow over cities, each with connections of its name; the prototype's are the default ones.

    Args:
        servers: What runs already.
        folder: Where Airflow's home is made.
        dags: The folder of the DAG files.
        cities: The bucket of each city.
        **variables: More of Airflow's environment.

    Yields:
        The deployment.
    """
    lineage = folder / "lineage.jsonl"
    with servers.guarded():
        made = {name: servers.city(name, bucket) for name, bucket in cities.items()}
        servers.role("airflow", "metadata-secret")
        place = urlsplit(servers.database(f"airflow_{folder.name}", "airflow"))
        metadata = f"postgresql+psycopg://airflow:metadata-secret@127.0.0.1:{place.port}{place.path}"
        for name, city in made.items():
            variables |= city.connections("default" if name == "prototype" else name)
        with airflow_server(
            folder / "airflow",
            dags,
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=metadata,
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=metadata,
            AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE="True",
            AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps({"type": "file", "log_file_path": str(lineage), "append": True}),
            **variables,
        ) as airflow:
            yield Deployment(servers, made, airflow, metadata, lineage)
