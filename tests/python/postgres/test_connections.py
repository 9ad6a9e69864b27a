"""Connection strings in libpq's words, TLS, and what errors of the server mean to a retry."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metropulse as mp
from certificates import Certificates, reload

pytestmark = [pytest.mark.core, pytest.mark.embedded]


def asked(dsn: str, sql: str) -> list[dict]:
    """The rows of a query."""
    return mp.Pipeline(warehouse=dsn).warehouse.query(sql).to_pylist()


def words(url: str, **more: str) -> str:
    """The same place as `key=value` words."""
    parts = urlsplit(url)
    given = {"host": parts.hostname, "port": str(parts.port), "user": parts.username, "password": parts.password, "dbname": "postgres", **more}  # fmt: skip
    return " ".join(f"{name}='{value}'" for name, value in given.items() if value)


@pytest.fixture
def quoted(debian_postgres):
    """A role whose password has blanks, quotes and backslashes."""
    with psycopg.connect(debian_postgres, autocommit=True) as admin:
        admin.execute("drop role if exists quoted; create role quoted login password 'a  b''c\\d@:/%+'")
    return urlunsplit(
        urlsplit(debian_postgres)._replace(netloc=f"quoted@{urlsplit(debian_postgres).netloc.rpartition('@')[2]}")
    )


def test_a_password_of_any_characters_is_itself_in_every_form(quoted, tmp_path, monkeypatch):
    sql = "select current_user::text as name"
    plain = words(quoted)
    assert asked(plain + r" password = 'a  b\'c\\d@:/%+'", sql) == [{"name": "quoted"}]
    encoded = quoted.replace("quoted@", "quoted:a%20%20b'c%5Cd%40%3A%2F%25%2B@")
    assert asked(encoded, sql) == [{"name": "quoted"}]
    assert asked(quoted + "?password=a%20%20b'c%5Cd%40%3A%2F%25+", sql) == [{"name": "quoted"}]
    passwords = tmp_path / "passwords"
    passwords.write_text("# all of ours\nother:*:*:*:no\n*:*:postgres:quoted:a  b'c\\\\d@\\:/%+\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert asked(quoted, sql) == [{"name": "quoted"}]
    passwords.chmod(0o644)
    with pytest.raises(mp.ConfigError, match="chmod 600") as caught:
        asked(quoted, sql)
    assert not caught.value.retryable
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    with pytest.raises(mp.ConfigError, match="asks for a password") as caught:
        asked(quoted, sql)
    assert not caught.value.retryable


def test_a_service_says_what_the_string_does_not(debian_postgres, tmp_path, monkeypatch):
    parts = urlsplit(debian_postgres)
    services = tmp_path / "services"
    services.write_text(
        f"[dwh]\nhost={parts.hostname}\nport={parts.port}\nuser={parts.username}\npassword={parts.password}\n"
        "dbname=template1\napplication_name=from the service\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    sql = "select current_database()::text as db, current_setting('application_name') as name"
    assert asked("service=dwh dbname=postgres", sql) == [{"db": "postgres", "name": "from the service"}]
    assert asked("postgresql:///postgres?service=dwh&application_name=mine", sql) == [
        {"db": "postgres", "name": "mine"}
    ]
    with pytest.raises(mp.ConfigError, match="service other"):
        asked("service=other", sql)


@pytest.mark.parametrize(
    ("parameters", "sql", "found"),
    [
        ("", "split_part(current_setting('application_name'), ' ', 1)", "metropulse"),
        ("application_name=dbt", "current_setting('application_name')", "dbt"),
        ("options='-c geqo_threshold=7'", "current_setting('geqo_threshold')", "7"),
        ("client_encoding=latin1", "'é'::text", "é"),
        ("target_session_attrs=primary", "pg_is_in_recovery()", False),
        ("target_session_attrs=read-write", "pg_is_in_recovery()", False),
        ("target_session_attrs=prefer-standby", "pg_is_in_recovery()", False),
        ("gssencmode=prefer keepalives=1 keepalives_idle=9 tcp_user_timeout=9000 connect_timeout=5", "1", 1),
        ("hostaddr=127.0.0.1 load_balance_hosts=random channel_binding=prefer sslmode=allow", "1", 1),
    ],
)
def test_parameters_mean_what_they_mean_in_libpq(debian_postgres, parameters, sql, found):
    assert asked(f"{words(debian_postgres)} {parameters}", f"select {sql} as v") == [{"v": found}]


@pytest.mark.parametrize(
    ("parameters", "error", "word", "retryable"),
    [
        ("target_session_attrs=standby", mp.DatabaseError, "a primary", True),
        ("target_session_attrs=read-only", mp.DatabaseError, "open to writes", True),
        ("target_session_attrs=best", mp.ConfigError, "prefer-standby", False),
        ("sslmode=require", mp.ConfigError, "TLS", False),
        ("gssencmode=require", mp.ConfigError, "gssencmode", False),
        ("pool_size=5", mp.ConfigError, "pool_size", False),
        ("dbname=nowhere", mp.ConfigError, "nowhere", False),
        ("password=wrong", mp.ConfigError, "password authentication failed", False),
    ],
)
def test_what_cannot_be_had_is_said_by_name(debian_postgres, parameters, error, word, retryable):
    with pytest.raises(error, match=word) as caught:
        asked(f"{words(debian_postgres)} {parameters}", "select 1")
    assert caught.value.retryable is retryable
    assert urlsplit(debian_postgres).password not in f"{caught.value}{caught.value.__cause__}"


def test_the_next_host_is_asked_where_one_is_away(debian_postgres):
    parts = urlsplit(debian_postgres)
    with_two = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:9,127.0.0.1:{parts.port}")
    assert asked(urlunsplit(with_two), "select 1 as n") == [{"n": 1}]


# TLS


@pytest.fixture(scope="module")
def certificates(debian_postgres, tmp_path_factory):
    """A server with TLS, until the module's end."""
    made = Certificates(tmp_path_factory.mktemp("tls"), debian_postgres)
    yield made
    made.hide()


ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


@pytest.mark.parametrize("version", ["", " ssl_max_protocol_version=TLSv1.2"])
def test_modes_that_check_nothing_take_a_certificate_of_version_1(certificates, debian_postgres, version):
    certificates.show("old", "old", None)
    for mode in ("prefer", "require", "require channel_binding=require"):
        assert asked(f"{words(debian_postgres)} sslmode={mode}{version}", ENCRYPTED) == [{"ssl": True}]
    with pytest.raises(mp.ConfigError, match="version 3") as caught:
        asked(f"{words(debian_postgres)} sslmode=verify-ca sslrootcert={certificates.authority}", ENCRYPTED)
    assert not caught.value.retryable


def test_verify_ca_asks_for_the_authority_and_verify_full_for_the_host_too(certificates, debian_postgres):
    place = words(debian_postgres)
    trusted, unknown = f"sslrootcert={certificates.authority}", f"sslrootcert={certificates.stranger}"
    certificates.show("elsewhere", "elsewhere", "DNS:db.internal")
    assert asked(f"{place} sslmode=verify-ca {trusted}", ENCRYPTED) == [{"ssl": True}]
    assert asked(f"{place} sslmode=require {trusted}", ENCRYPTED) == [{"ssl": True}]
    for refused in (f"verify-full {trusted}", f"verify-ca {unknown}", f"require {unknown}", "verify-ca"):
        with pytest.raises(mp.ConfigError, match="sslrootcert") as caught:
            asked(f"{place} sslmode={refused}", ENCRYPTED)
        assert not caught.value.retryable
    certificates.show("here", "here", "IP:127.0.0.1")
    assert asked(f"{place} sslmode=verify-full {trusted}", ENCRYPTED) == [{"ssl": True}]


def test_a_certificate_of_ones_own_is_a_login(certificates, debian_postgres):
    certificates.show("here", "here", "IP:127.0.0.1")
    certificate, key = certificates.issue("carol", "carol", "DNS:carol")
    rules = certificates.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"hostssl all carol 127.0.0.1/32 cert\n{before}")
    with psycopg.connect(debian_postgres, autocommit=True) as admin:
        admin.execute("drop role if exists carol; create role carol login")
    reload(debian_postgres)
    try:
        place = words(debian_postgres, user="carol", password="")
        sql = "select current_user::text as name"
        assert asked(f"{place} sslmode=require sslcert={certificate} sslkey={key}", sql) == [{"name": "carol"}]
        with pytest.raises(mp.ConfigError):
            asked(f"{place} sslmode=require", sql)
    finally:
        rules.write_text(before)


# What errors of the server say, and whether a retry helps


@pytest.fixture
def target(pipeline_on):
    """The warehouse of a pipeline, as a URL, and a connection to it."""
    dsn = pipeline_on(".").settings.warehouse
    with psycopg.connect(dsn, autocommit=True) as link:
        yield dsn, link


@pytest.mark.parametrize(
    ("declared", "bad", "good", "code", "column"),
    [
        ("code varchar(3)", "four", "abc", "22001", "code"),
        ("code numeric(4,2)", 1_000, 1, "22003", "code"),
        ("code jsonb", '"\\u0000"', "1", "22P05", "code"),
        ("code bigint not null", None, 1, "23502", "code"),
        ("code bigint check (code < 10)", 10, 1, "23514", None),
    ],
)
@pytest.mark.parametrize("connections", [1, 3])
def test_a_value_that_the_server_refuses_is_told_with_file_row_and_column(
    target, tmp_path, declared, bad, good, code, column, connections
):
    dsn, link = target
    link.execute(f"create table public.t (n bigint, {declared})")
    values = [good] * 2_000
    values[1_500] = bad
    pq.write_table(pa.table({"n": range(2_000), "code": [good] * 2_000}), tmp_path / "a.parquet", row_group_size=300)
    pq.write_table(pa.table({"n": range(2_000), "code": values}), tmp_path / "b.parquet", row_group_size=300)
    with pytest.raises(mp.DataError) as caught:
        mp.copy_parquet(tmp_path, dsn, "public.t", connections=connections)
    context = caught.value.context
    assert (context["sqlstate"], context["row"]) == (code, "1501"), caught.value
    assert context["file"].endswith("b.parquet")
    assert context.get("column") == column
    for word in ("1501", "b.parquet", *([column] if column else [])):
        assert word in str(caught.value)
    assert not caught.value.retryable
    assert link.execute("select count(*) from public.t").fetchone() == (0,)


def test_a_value_of_a_stream_is_told_with_its_row(target):
    dsn, link = target
    link.execute("create table public.t (code varchar(3))")
    rows = pa.table({"code": ["abc"] * 1_500 + ["four"]})
    with pytest.raises(mp.DataError, match=r"row 1501 of the Arrow stream.*code"):
        mp.copy_parquet(rows, dsn, "public.t")


@pytest.mark.parametrize(
    ("prepare", "table", "rows", "code"),
    [
        ("", "nowhere.t", {"n": [1]}, "3F000"),
        ("", "public.t", {f"c{n}": [1] for n in range(1_601)}, "54011"),
        ("create table public.t (v text); alter table public.t alter v set storage plain", "public.t", {"v": ["x" * 9_000]}, "54000"),
        ("alter database {db} set default_transaction_read_only = on; create table public.t (n bigint)", "public.t", {"n": [1]}, "25006"),
        ("create table public.t (n bigint); create function public.no() returns trigger language plpgsql as "
         "$$begin raise exception 'no'; end$$; create trigger no before insert on public.t for each row execute function public.no()",
         "public.t", {"n": [1]}, "P0001"),
    ],
)  # fmt: skip
def test_what_a_retry_cannot_help_is_not_retried(target, prepare, table, rows, code):
    dsn, link = target
    if prepare:
        link.execute(prepare.replace("{db}", link.info.dbname))
    with pytest.raises(mp.MetropulseError) as caught:
        mp.copy_parquet(pa.table(rows), dsn, table, create=True)
    assert caught.value.context["sqlstate"] == code, caught.value
    assert not caught.value.retryable
