"""Fixtures: a clean environment, engines of our own, and the stand-in for the native core."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import pytest

import metropulse

if TYPE_CHECKING:
    from metropulse import Pipeline
    from metropulse.embedded import Engines

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "python"), str(ROOT / "tests")]
import services


def pytest_configure(config: pytest.Config) -> None:
    """Give Airflow a home of its own before anything imports it."""
    home = tempfile.TemporaryDirectory(prefix="metropulse-airflow-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ["AIRFLOW_HOME"] = home.name
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    os.environ.setdefault("AIRFLOW__USAGE_DATA_COLLECTION__ENABLED", "False")
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "airflow_dags")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes take file after file, the longest come first: none is begun when the others are done."""
    if not hasattr(config, "workerinput"):
        return
    seconds: Counter[Path] = Counter()
    for item in items:
        if (slow := item.get_closest_marker("slow")) is not None:
            seconds[item.path] += slow.kwargs.get("seconds", 5)
    items.sort(key=lambda item: -seconds[item.path])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the back ends that the machine's own environment may name."""
    for name in list(os.environ):
        if name.startswith(("PG_", "CH_", "MINIO_", "METROPULSE_", "AWS_", "AIRFLOW_CONN_")):
            monkeypatch.delenv(name)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children of the test heed SIGINT, also where the tests run in the background and a shell had it ignored."""
    inherited = signal.getsignal(signal.SIGINT)
    if inherited is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch):
    """Put the stand-in for the native core in its place."""
    import fake_core

    fake_core.reset()
    monkeypatch.setitem(sys.modules, "metropulse._core", fake_core)
    monkeypatch.setattr(metropulse, "_core", fake_core, raising=False)
    yield fake_core.Pipeline
    fake_core.reset()


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Put a stand-in for the embedded engines in their place; it remembers what was started and ended."""
    import types

    class StandIn:
        lake = tmp_path / "state" / "lake" / "raw"
        warehouse_url = "postgresql://postgres@/postgres?host=/run/metropulse"
        mart_url = "http://127.0.0.1:18123/default"
        mart_user = "metropulse"
        mart_password = "engine-secret"

        def close(self) -> None:
            module.ended.append("close")

    module = types.ModuleType("metropulse.embedded")
    module.started, module.ended = [], []
    module.start = lambda folder: module.started.append(os.fspath(folder)) or StandIn()
    module.stop = lambda folder: {"warehouse": True, "mart": False}
    monkeypatch.setitem(sys.modules, "metropulse.embedded", module)
    monkeypatch.setattr(metropulse, "embedded", module, raising=False)
    return module


def _reachable_folder() -> Path:
    """Make a folder that PostgreSQL's own account can reach too (pytest's are closed to it when root tests)."""
    folder = Path(tempfile.mkdtemp(prefix="metropulse-test-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def empty_engines() -> Iterator[Path]:
    """A state folder whose engines were made, and stopped: making one takes seconds, copying it does not."""
    from metropulse import embedded

    folder = _reachable_folder()
    embedded.start(folder / "state").stop()
    yield folder / "state"
    shutil.rmtree(folder, ignore_errors=True)


def _forget_durability(url: str) -> None:
    """Let a server that no test crashes write at the pace of its memory; thousands of small loads wait for the disk."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def running_engines(empty_engines: Path) -> Iterator[Engines]:
    """Engines that run for the whole session, for tests that use tables of their own."""
    from metropulse import embedded

    folder = _reachable_folder()
    subprocess.run(["cp", "-a", str(empty_engines), str(folder / "state")], check=True)
    with embedded.start(folder / "state") as engines:
        _forget_durability(engines.warehouse_url)
        yield engines
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pipeline_on(running_engines: Engines) -> Iterator[Callable[..., Pipeline]]:
    """Make pipelines over a lake, each with a warehouse and a mart of its own in the session's engines."""
    import psycopg

    from metropulse import Pipeline

    databases: list[str] = []

    def make(lake: Path | str, **settings: Any) -> Pipeline:
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(running_engines.warehouse_url, autocommit=True) as link:
            link.execute(f"create database {name} template template0")
        execute_on_mart(running_engines, f"CREATE DATABASE {name}")
        databases.append(name)
        parts = urlsplit(running_engines.warehouse_url)
        return Pipeline(
            lake=lake,
            warehouse=urlunsplit(parts._replace(path=f"/{name}")),
            mart=urljoin(running_engines.mart_url, f"/{name}"),
            mart_user=running_engines.mart_user,
            mart_password=running_engines.mart_password,
            **settings,
        )

    yield make
    with psycopg.connect(running_engines.warehouse_url, autocommit=True) as link:
        for name in databases:
            link.execute(f"drop database if exists {name} with (force)")
            execute_on_mart(running_engines, f"DROP DATABASE IF EXISTS {name}")


def execute_on_mart(engines: Engines, sql: str, database: str = "default") -> str:
    """Run one statement on the session's ClickHouse."""
    url = urljoin(engines.mart_url, f"/?database={database}")
    return ask_clickhouse(url, engines.mart_user, engines.mart_password, sql)


def ask_clickhouse(url: str, user: str, password: str, sql: str) -> str:
    """Run one statement on a ClickHouse; what it answers."""
    request = urllib.request.Request(url, sql.encode())
    request.add_header("X-ClickHouse-User", user)
    request.add_header("X-ClickHouse-Key", password)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return bytes(reply.read()).decode()


@pytest.fixture
def new_state_dir() -> Iterator[Path]:
    """A state folder that does not exist yet."""
    from metropulse import embedded

    folder = _reachable_folder()
    yield folder / "state"
    embedded.stop(folder / "state")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def state_dir(new_state_dir: Path, empty_engines: Path) -> Path:
    """A state folder with engines that hold nothing and do not run."""
    subprocess.run(["cp", "-a", str(empty_engines), str(new_state_dir)], check=True)
    return new_state_dir


@pytest.fixture(scope="session")
def clickhouse_18_url() -> Iterator[str]:
    """Debian's ClickHouse 18.16, the oldest server that is promised."""
    with _service("clickhouse_18", "clickhouse-server is not installed") as (url, _):
        yield url


@pytest.fixture(scope="session")
def clickhouse_18_with_password() -> Iterator[str]:
    """The same server, whose user has a password; the URL has both."""
    with _service("clickhouse_18", "clickhouse-server is not installed", "mart-secret") as (url, _):
        yield url


@pytest.fixture(scope="session")
def debian_postgres() -> Iterator[str]:
    """The distribution's PostgreSQL, over TCP with a password."""
    with postgres_server() as (url, _):
        yield url


def postgres_server() -> AbstractContextManager[tuple[str, Path]]:
    """One more of them: its URL and the folder of its data."""
    return _service("debian_postgres", "no PostgreSQL server of the distribution is installed")


@dataclass(frozen=True)
class RotatingRole:
    """A role of PostgreSQL with a database of its own, whose password is changed."""

    server: str
    name: str

    def url(self, password: str) -> str:
        """Where the role's database is, with a password that is the role's or was."""
        parts = urlsplit(self.server)
        place = f"{self.name}:{password}@{parts.hostname}:{parts.port}"
        return urlunsplit(parts._replace(netloc=place, path=f"/{self.name}"))

    def change(self, password: str) -> None:
        """Give the role another password."""
        import psycopg

        with psycopg.connect(self.server, autocommit=True) as admin:
            admin.execute(f"alter role {self.name} password '{password}'")


@pytest.fixture
def rotating_role(debian_postgres: str) -> Iterator[RotatingRole]:
    """A role of a test's own, whose password is `first-word` until it is changed."""
    import psycopg

    name = f"r{os.urandom(5).hex()}"
    with psycopg.connect(debian_postgres, autocommit=True) as admin:
        admin.execute(f"create role {name} login password 'first-word'")
        admin.execute(f"create database {name} owner {name} template template0")
        yield RotatingRole(debian_postgres, name)
        admin.execute(f"drop database {name} with (force)")
        admin.execute(f"drop role {name}")


@pytest.fixture(scope="session")
def pools(debian_postgres: str) -> Iterator[Callable[[str], str]]:
    """PgBouncer before the distribution's PostgreSQL: the URL of the pool of a mode, all over the database `pooled`."""
    import psycopg

    with psycopg.connect(debian_postgres, autocommit=True) as admin:
        admin.execute("create database pooled template template0")
    with _service("pgbouncer", "PgBouncer is not installed", debian_postgres) as (url, _):
        yield lambda mode: urlunsplit(urlsplit(url)._replace(path=f"/{mode}"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program of Debian's Chromium."""
    return _program("chromium")


@pytest.fixture(scope="session")
def mc() -> str:
    """The program of MinIO's client."""
    return _program("mc")


@pytest.fixture(scope="session")
def minio_server() -> Iterator[tuple[str, Path]]:
    """MinIO over a folder whose children are its buckets."""
    with _service("minio", "MinIO is not installed (tests/services.py says where it is looked for)") as found:
        yield found


@pytest.fixture
def minio_variables(minio_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The prototype's variables name the test's MinIO; the folder of its buckets."""
    endpoint, folder = minio_server
    access = {"ENDPOINT": endpoint, "ACCESS_KEY": services.MINIO_KEY, "SECRET_KEY": services.MINIO_SECRET}
    for name, value in {**access, "SECURE": "false"}.items():
        monkeypatch.setenv(f"MINIO_{name}", value)
    return folder


@pytest.fixture
def minio_bucket(minio_server: tuple[str, Path]) -> tuple[str, dict[str, str]]:
    """A bucket of a test's own, and the options that reach it."""
    endpoint, folder = minio_server
    name = f"b{os.urandom(6).hex()}"
    (folder / name).mkdir()
    return name, minio_options(endpoint)


@pytest.fixture
def minio_put(minio_server: tuple[str, Path]) -> Callable[[str, str, bytes], None]:
    """Put an object into a bucket, as another program would."""
    store = minio_files(minio_server[0])

    def put(bucket: str, key: str, data: bytes) -> None:
        with store.open_output_stream(f"{bucket}/{key}") as file:
            file.write(data)

    return put


def minio_files(endpoint: str) -> Any:
    """The objects of MinIO as files, by another program's client: `bucket/key`."""
    from pyarrow import fs

    return fs.S3FileSystem(
        endpoint_override=endpoint.removeprefix("http://"),
        scheme="http",
        access_key=services.MINIO_KEY,
        secret_key=services.MINIO_SECRET,
        region="us-east-1",
    )


def minio_options(endpoint: str) -> dict[str, str]:
    """The lake's options that reach MinIO."""
    return {
        "aws_endpoint": endpoint,
        "aws_allow_http": "true",
        "aws_access_key_id": services.MINIO_KEY,
        "aws_secret_access_key": services.MINIO_SECRET,
        "aws_region": "us-east-1",
    }


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{services.TOOLS}:{os.environ.get('PATH', '')}")
    if found is None:
        missing = f"{name} is neither on the PATH nor in {services.TOOLS}; .ci/run says where it comes from"
        if services.required():
            pytest.fail(f"{missing} (METROPULSE_REQUIRE_SERVICES=1)")
        pytest.skip(missing)
    return found


@contextmanager
def _service(name: str, missing: str, *behind: str) -> Iterator[tuple[str, Path]]:
    """Run a server of tests/services.py, which the Rust tests use too; gives its URL and its folder."""
    folder = _reachable_folder()
    with getattr(services, name)(folder / name, *behind) as url:
        if url is None:
            pytest.skip(missing)
        yield url, folder / name
    shutil.rmtree(folder, ignore_errors=True)
