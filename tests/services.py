"""Runs a command with the real servers that the Rust tests need: the embedded engines, and Debian's ClickHouse 18.16.

    python tests/services.py cargo test

The command sees `METROPULSE_TEST_PG_URL` and `METROPULSE_TEST_CLICKHOUSE_URLS`. A ClickHouse that is not installed is
left out, unless `METROPULSE_REQUIRE_SERVICES=1` makes that an error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

TOOLS = Path("~/.cache/metropulse-tests/bin").expanduser()
"""Where servers that are built rather than packaged are kept between runs."""

MINIO_KEY, MINIO_SECRET = "metropulse", "s3-secret-key"

CLICKHOUSE_CONFIG = """<yandex>
  <logger><level>warning</level><log>{folder}/server.log</log><errorlog>{folder}/error.log</errorlog></logger>
  <http_port>{http}</http_port><tcp_port>{tcp}</tcp_port><listen_host>127.0.0.1</listen_host>
  <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><mark_cache_size>268435456</mark_cache_size>
  <users_config>{folder}/users.xml</users_config><default_profile>default</default_profile>
  <default_database>default</default_database>
</yandex>"""
CLICKHOUSE_USERS = """<yandex><profiles><default/></profiles><quotas><default/></quotas>
  <users><default><password>{password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>
  <quota>default</quota></default></users></yandex>"""


def required() -> bool:
    """Whether a missing service is an error rather than a skip."""
    return os.environ.get("METROPULSE_REQUIRE_SERVICES") == "1"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def old_clickhouse() -> str | None:
    """The path of Debian's ClickHouse server, or None."""
    found = shutil.which("clickhouse-server")
    if found is None and required():
        raise SystemExit("clickhouse-server is not installed, but METROPULSE_REQUIRE_SERVICES=1")
    return found


@contextlib.contextmanager
def clickhouse_18(folder: Path, password: str = "") -> Iterator[str | None]:
    """Run Debian's ClickHouse under a folder; yields its URL, or None where it is not installed."""
    binary = old_clickhouse()
    if binary is None:
        yield None
        return
    http, tcp = free_port(), free_port()
    server = start_clickhouse_18(binary, folder, http, tcp, password)
    url = f"http://127.0.0.1:{http}"
    try:
        os.environ["METROPULSE_TEST_CLICKHOUSE_18_TCP_PORT"] = str(tcp)
        yield with_user(f"{url}/default", "default", password) if password else f"{url}/default"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def start_clickhouse_18(binary: str, folder: Path, http: int, tcp: int, password: str = "") -> subprocess.Popen[bytes]:
    """Start Debian's ClickHouse over a folder, which may hold its data already, and wait until it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.xml").write_text(CLICKHOUSE_CONFIG.format(folder=folder, http=http, tcp=tcp))
    (folder / "users.xml").write_text(CLICKHOUSE_USERS.format(password=password))
    with (folder / "out.log").open("a") as log:
        server = subprocess.Popen([binary, f"--config-file={folder}/config.xml"], stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{http}/ping", server, "ClickHouse 18.16")
    except BaseException:
        # The caller does not have it yet, so nobody else would end it.
        server.kill()
        server.wait()
        raise
    return server


POSTGRES_OPTIONS = "-h 127.0.0.1 -k '' -c fsync=off -c max_wal_size=2GB -c max_connections=200"


def run_postgres(program: str, *arguments: str, check: bool = True) -> None:
    """Run a program of the distribution's newest PostgreSQL, as the account that its package made where root tests."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))[-1]
    command = [str(found), *arguments]
    subprocess.run(command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **account())


def account() -> dict[str, object]:
    """Whom servers run as that refuse root: an account that PostgreSQL's package made."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def folder_of_account(folder: Path) -> None:
    """Make a folder for a server that refuses root."""
    folder.mkdir(parents=True)
    if account():
        shutil.chown(folder, "postgres", "postgres")


def start_postgres(folder: Path, port: int) -> None:
    """Start the distribution's PostgreSQL over its data and wait until it takes connections."""
    options = f"-p {port} {POSTGRES_OPTIONS}"
    run_postgres("pg_ctl", "-D", str(folder), "-w", "-l", str(folder / "log"), "-o", options, "start")


def stop_postgres(folder: Path) -> None:
    """Stop it at once; a test may have done so before."""
    run_postgres("pg_ctl", "-D", str(folder), "-m", "immediate", "stop", check=False)


@contextlib.contextmanager
def debian_postgres(folder: Path) -> Iterator[str | None]:
    """Run the distribution's PostgreSQL under a folder; yields its URL, or None where it is not installed."""
    if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        if required():
            raise SystemExit("no PostgreSQL server is installed, but METROPULSE_REQUIRE_SERVICES=1")
        yield None
        return
    folder_of_account(folder)
    password = folder.parent / "password"
    password.write_text("pg-secret\n")
    password.chmod(0o644)
    secret = ("-A", "scram-sha-256", f"--pwfile={password}")
    run_postgres("initdb", "-D", str(folder), "-U", "dwh", *secret, "-E", "UTF8")
    port = free_port()
    start_postgres(folder, port)
    try:
        yield f"postgresql://dwh:pg-secret@127.0.0.1:{port}/postgres"
    finally:
        stop_postgres(folder)


PGBOUNCER_CONFIG = """[databases]
{databases}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
default_pool_size = 12
query_wait_timeout = 30
server_reset_query =
"""
"""One database a pool mode. A pool that resets nothing shows who left something behind."""


@contextlib.contextmanager
def pgbouncer(folder: Path, server: str) -> Iterator[str | None]:
    """Run Debian's PgBouncer before a server; yields the URL of its database `session`, or None where it is not installed.

    The databases `session`, `transaction` and `statement` are the server's database `pooled` in these modes; `tight` has
    one server connection in session mode.
    """
    binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        if required():
            raise SystemExit("pgbouncer is not installed, but METROPULSE_REQUIRE_SERVICES=1")
        yield None
        return
    folder.mkdir(parents=True)
    behind, port = urlsplit(server), free_port()
    place = f"host={behind.hostname} port={behind.port} dbname=pooled"
    modes = [f"{mode} = {place} pool_mode={mode}" for mode in ("session", "transaction", "statement")]
    databases = "\n".join([*modes, f"tight = {place} pool_mode=session pool_size=1"])
    (folder / "pgbouncer.ini").write_text(PGBOUNCER_CONFIG.format(databases=databases, port=port, folder=folder))
    (folder / "users.txt").write_text(f'"{behind.username}" "{behind.password}"\n')
    # It refuses to run as root, as PostgreSQL does; the package made the same account for both.
    if account():
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "postgres", "postgres")
    command = [binary, "--quiet", str(folder / "pgbouncer.ini")]
    pooler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **account())
    try:
        wait_for_port(port, pooler, "PgBouncer")
        yield urlunsplit(
            behind._replace(netloc=f"{behind.username}:{behind.password}@127.0.0.1:{port}", path="/session")
        )
    finally:
        pooler.terminate()
        pooler.wait(20)


@contextlib.contextmanager
def minio(folder: Path) -> Iterator[str | None]:
    """Run MinIO over a folder; yields its URL, or None where it is not installed.

    It comes from `go install github.com/minio/minio@...`, see .ci/run, and lies on the PATH or in TOOLS.
    """
    binary = shutil.which("minio", path=f"{TOOLS}:{os.environ.get('PATH', '')}")
    if binary is None:
        if required():
            raise SystemExit(f"minio is neither on the PATH nor in {TOOLS}, but METROPULSE_REQUIRE_SERVICES=1")
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    url = f"127.0.0.1:{free_port()}"
    environment = {**os.environ, "MINIO_ROOT_USER": MINIO_KEY, "MINIO_ROOT_PASSWORD": MINIO_SECRET}
    command = [
        binary,
        "server",
        str(folder),
        "--address",
        url,
        "--console-address",
        f"127.0.0.1:{free_port()}",
        "--quiet",
    ]
    with (folder.parent / f"{folder.name}.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait_for(f"http://{url}/minio/health/live", server, "MinIO")
        yield f"http://{url}"
    finally:
        server.terminate()
        server.wait(20)


def wait_for(url: str, server: subprocess.Popen[bytes], name: str) -> None:
    """Wait until a server answers; end the program when it does not."""
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            if answer.status == 200:
                return
        if server.poll() is not None:
            raise SystemExit(f"{name} ended with {server.returncode} before it answered")
        time.sleep(0.1)
    raise SystemExit(f"{name} did not answer within 30 s")


def wait_for_port(port: int, server: subprocess.Popen[bytes], name: str) -> None:
    """Wait until a server takes connections; end the program when it does not."""
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None:
            raise SystemExit(f"{name} ended with {server.returncode} before it answered")
        time.sleep(0.1)
    raise SystemExit(f"{name} did not answer within 30 s")


def with_user(url: str, user: str, password: str) -> str:
    """A URL with credentials in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(password)}@{parts.netloc}"))


def main(command: list[str]) -> int:
    """Run the command and return its exit code."""
    from metropulse import embedded

    folder = Path(tempfile.mkdtemp(prefix="metropulse-services-"))
    folder.chmod(0o755)
    try:
        with embedded.start(folder / "state") as engines, clickhouse_18(folder / "clickhouse18") as old:
            urls = [with_user(engines.mart_url, engines.mart_user, engines.mart_password), *([old] if old else [])]
            environment = {
                **os.environ,
                "METROPULSE_TEST_PG_URL": engines.warehouse_url,
                "METROPULSE_TEST_CLICKHOUSE_URLS": ",".join(urls),
            }
            return subprocess.run(command, env=environment, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
