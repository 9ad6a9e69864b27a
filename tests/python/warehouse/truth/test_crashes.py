"""Killed at any instant, the warehouse is in the state before or after; run again, it is as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import metropulse as mp
from metropulse import embedded

from .cities import DAYS, City, sample, states
from .warehouse import Truth

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow(seconds=20)]

PACKAGE = Path(__file__).parents[2]
SIDE = r"_2024\d{4}_[0-9a-f]{8}"
PHASES = ("copy", "swap", "transaction")
KILLS, SOAK_KILLS = 12, int(os.environ.get("METROPULSE_SOAK_KILLS", "100"))
SHUTDOWNS, SOAK_SHUTDOWNS = 2, 20


class Loader:
    """The process that forks children to be killed."""

    def __init__(self, truth: Truth) -> None:
        engines = truth.engines
        settings = {
            "lake": str(truth.lake),
            "warehouse": truth.url,
            "mart": engines.mart_url,
            "mart_user": engines.mart_user,
            "mart_password": engines.mart_password,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "warehouse.truth.loader", json.dumps(settings), str(DAYS[1])],
            cwd=PACKAGE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, verb: str = "load") -> int:
        """Start a verb and return its process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{verb}\n")
        self.process.stdin.flush()
        return int(self._line())

    def end(self) -> int:
        """Wait for the verb's end and return its exit status."""
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> str:
        """End the process and return what its children complained of."""
        return self.process.communicate(timeout=60)[1]


def phase(connection: psycopg.Connection) -> str:
    """What the loader's sessions are doing, as the server tells."""
    rows = connection.execute(
        "SELECT state, xact_start IS NOT NULL, query FROM pg_stat_activity "
        "WHERE application_name LIKE 'metropulse%' AND datname = current_database()"
    ).fetchall()
    if not rows:
        return "between"
    in_transaction = [query for state, inside, query in rows if inside or state == "idle in transaction"]
    if any(re.match(rf"COPY \S+{SIDE} ", query) for query in in_transaction):
        return "copy"
    if any("SAVEPOINT swap" in q or "ATTACH PARTITION" in q or "lock_timeout = '" in q for q in in_transaction):
        return "swap"
    if any(q == "COMMIT" for q in in_transaction):
        return "commit"
    return "transaction" if in_transaction else "connected"


def stop_in(pid: int, wanted: str, delay: float, connection: psycopg.Connection) -> str:
    """Freeze the process after a delay, at the first instant of a phase (any: at once), and return the true phase."""
    deadline = time.monotonic() + 20
    time.sleep(delay)
    while time.monotonic() < deadline:
        try:
            ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            ended = True  # and its parent has noticed already
        if ended:
            return "ended"
        if wanted in ("any", phase(connection)):
            break
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return "ended"
    return phase(connection)


def wait_until_gone(connection: psycopg.Connection, seconds: float = 30) -> None:
    """The server has noticed that its client is dead."""
    deadline = time.monotonic() + seconds
    while phase(connection) != "between":
        assert time.monotonic() < deadline, "sessions of a dead loader are still there"
        time.sleep(0.005)


def kill(loader: Loader, pid: int, watcher: psycopg.Connection) -> None:
    """Kill a verb that is under way, or has ended just now, and let the server notice."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert loader.end() in (-signal.SIGKILL, 0)
    wait_until_gone(watcher)


def complete(loader: Loader, verb: str, watcher: psycopg.Connection) -> None:
    """Run a verb to its end."""
    loader.start(verb)
    assert loader.end() == 0
    wait_until_gone(watcher)


class Rounds:
    """Loads versions of the second day in turn, each interrupted and then completed."""

    def __init__(self, truth: Truth, folder: Path) -> None:
        self.truth, self.city = truth, City(folder, truth.lake, 3_000)
        for name, day in (("1", DAYS[0]), ("3", DAYS[2])):
            self.city.put(name)
            truth.pipeline.load_dimensions(day)
            truth.pipeline.load_facts(day)
        self.city.put("c")
        self._load()
        # What an undisturbed load leaves, and every state on its way.
        self.states: dict[str, list[str]] = {}
        self.staged: dict[str, str] = {}
        for name in ("a", "b", "c"):
            self.states[name] = states(truth.pipeline, self.city, name, truth.reader)
            truth.pipeline.stage(DAYS[1])
            self.staged[name] = self._staging()
        begin = time.monotonic()
        self.city.put("a")
        self._load()
        self.seconds = time.monotonic() - begin
        self.names = ("b", "c", "a")

    def _load(self) -> None:
        for step in ("stage", "load_dimensions", "load_facts"):
            getattr(self.truth.pipeline, step)(DAYS[1])

    def _staging(self) -> str:
        tables = ("trips_raw", "payments_raw", "vehicle_positions_raw", "routes_raw", "users_raw")
        counted = " UNION ALL ".join(
            f"SELECT '{t}' AS t, count(*), md5(coalesce(string_agg(md5((to_jsonb(r) - 'ingestion_ts')::text), '' "
            f"ORDER BY md5((to_jsonb(r) - 'ingestion_ts')::text)), '')) FROM staging.{t} r"
            for t in tables
        )
        ledger = "SELECT target || dt || file, rows_loaded, sha256 FROM dwh.load_ledger WHERE target LIKE 'staging.%'"
        return str(sorted(self.truth.rows(f"{counted} UNION ALL {ledger}")))

    def put(self, number: int) -> str:
        name = self.names[number % 3]
        self.city.put(name)
        return name

    def check_interrupted(self, name: str) -> None:
        signature, disagreement = sample(self.truth.reader)
        assert disagreement is None
        assert signature in self.states[name], "a state between two publications"

    def check_complete(self, name: str) -> None:
        assert sample(self.truth.reader) == (self.states[name][-1], None)
        assert self._staging() == self.staged[name]
        self.truth.check_house()


@contextlib.contextmanager
def read_for_long(truth: Truth) -> Iterator[None]:
    """A reader whose query outlasts everything, so that a swap waits for it."""
    with psycopg.connect(truth.url) as reader:
        reader.execute("SELECT FROM dwh.fact_trip LIMIT 1")
        yield


def kill_many(truth: Truth, folder: Path, times: int) -> Counter[str]:
    """Kill the loader so many times, and see each time that running again completes.

    A phase that was not met, since a machine is slow or its dice fell badly, is lain in wait for in further rounds.
    """
    rounds = Rounds(truth, folder)
    dice = random.Random(20240501)
    hit: Counter[str] = Counter()
    loader = Loader(truth)
    with psycopg.connect(truth.url, autocommit=True) as watcher:
        for number in range(times * 3):
            missing = [phase for phase in PHASES if not hit[phase]]
            if number >= times and not missing:
                break
            name = rounds.put(number)
            wanted = ("any", "copy", "swap", "transaction", "any", "commit")[number % 6]
            # With a phase in mind the delay only says how far to look away first.
            delay = dice.uniform(0, rounds.seconds * (1.0 if wanted == "any" else 0.8))
            if number >= times:
                wanted, delay = missing[0], 0.0
            # Every other swap is one that waits, which no watcher can miss.
            waits = wanted == "swap" and (number // 6 % 2 == 1 or number >= times)
            with read_for_long(truth) if waits else contextlib.nullcontext():
                pid = loader.start()
                hit[stop_in(pid, wanted, delay, watcher)] += 1
            kill(loader, pid, watcher)
            rounds.check_interrupted(name)
            complete(loader, "load", watcher)
            rounds.check_complete(name)
    assert loader.close() == ""
    print(f"{hit.total()} kills hit {dict(hit)}")
    return hit


def test_a_killed_load_leaves_the_state_before_or_after_and_runs_again(truth: Truth, tmp_path: Path):
    hit = kill_many(truth, tmp_path, KILLS)
    # Else this test would prove less than it says.
    assert min(hit["copy"], hit["transaction"] + hit["commit"], hit["swap"]) > 0, hit


def test_a_killed_undo_takes_out_all_of_a_day_or_nothing(truth: Truth, tmp_path: Path):
    rounds = Rounds(truth, tmp_path)
    before = sample(truth.reader)
    begin = time.monotonic()
    truth.pipeline.undo(DAYS[1])
    seconds, after = time.monotonic() - begin, sample(truth.reader)
    assert before != after
    dice, seen, loader = random.Random(20240503), Counter(), Loader(truth)
    with psycopg.connect(truth.url, autocommit=True) as watcher:
        for _ in range(KILLS):
            rounds._load()
            assert sample(truth.reader) == before
            pid = loader.start("undo")
            time.sleep(dice.uniform(0, seconds))
            kill(loader, pid, watcher)
            found = sample(truth.reader)
            assert found in (before, after)
            seen["before" if found == before else "after"] += 1
            if found == before:
                complete(loader, "undo", watcher)
            else:  # it was committed before the kill: there is nothing left to take out
                with pytest.raises(mp.NotFoundError, match="is not loaded"):
                    truth.pipeline.undo(DAYS[1])
            assert sample(truth.reader) == after
            truth.check_house()
    assert loader.close() == ""
    assert seen["before"] > 0, seen


@pytest.mark.soak
def test_a_load_killed_a_hundred_times_leaves_the_state_before_or_after(truth: Truth, tmp_path: Path):
    hit = kill_many(truth, tmp_path, SOAK_KILLS)
    assert min(hit["copy"], hit["transaction"], hit["swap"]) > 3, hit
    assert hit.total() - hit["ended"] >= SOAK_KILLS * 0.8, hit


def shut_down_many(state_dir: Path, folder: Path, times: int) -> Counter[str]:
    """Shut PostgreSQL down at once, so many times, under the loader; what was committed survives."""
    dice = random.Random(20240502)
    hit: Counter[str] = Counter()
    with embedded.start(state_dir) as engines:
        truth = Truth(engines, folder / "truth", durable=True)
        rounds = Rounds(truth, folder / "city")
        loader = Loader(truth)
        for number in range(times):
            name = rounds.put(number)
            with psycopg.connect(truth.url, autocommit=True) as watcher:
                pid = loader.start()
                wanted = ("any", "copy", "swap", "transaction")[number % 4]
                hit[stop_in(pid, wanted, dice.uniform(0, rounds.seconds * 0.8), watcher)] += 1
                postmaster = int((state_dir / "warehouse" / "data" / "postmaster.pid").read_text().split()[0])
                # SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, recovery at the next start.
                os.kill(postmaster, signal.SIGQUIT)
            with contextlib.suppress(ProcessLookupError):  # it may have ended before it was stopped
                os.kill(pid, signal.SIGCONT)
            truth.reader.close()
            deadline = time.monotonic() + 30
            while Path(f"/proc/{postmaster}").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            embedded.start(state_dir)
            truth.connect()
            # Only now: a loader that lost the answer to its COMMIT asks the server that came back.
            assert loader.end() in (0, 1)
            rounds.check_interrupted(name)
            loader.start()
            assert loader.end() == 0
            rounds.check_complete(name)
        loader.close()
        truth.close()
        embedded.stop(state_dir)
    print(f"{times} shutdowns hit {dict(hit)}")
    return hit


def test_an_immediate_shutdown_loses_nothing_that_was_published(state_dir: Path, tmp_path: Path):
    shut_down_many(state_dir, tmp_path, SHUTDOWNS)


@pytest.mark.soak
def test_twenty_immediate_shutdowns_lose_nothing_that_was_published(state_dir: Path, tmp_path: Path):
    hit = shut_down_many(state_dir, tmp_path, SOAK_SHUTDOWNS)
    assert min(hit["copy"], hit["transaction"], hit["swap"]) > 0, hit
