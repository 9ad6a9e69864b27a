"""A ClickHouse server that is killed while a mart is built, and comes back with what it had on its disk."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

import metropulse as mp
import services
from answers import DATA
from faults.proxies import proxy_before

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]
DT = "2024-05-01"
MART = "select count() as rows, sum(trip_cnt) as trips, sum(revenue) as revenue from mart_route_hourly"


class Server:
    """Debian's ClickHouse over a folder of its own."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._start = lambda: services.start_clickhouse_18(binary, folder, self.port, tcp)
        self.port, tcp = services.free_port(), services.free_port()
        self._process = self._start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)

    def restart(self) -> None:
        self._process = self._start()


@pytest.fixture
def server(tmp_path):
    binary = services.old_clickhouse()
    if binary is None:
        pytest.skip("clickhouse-server is not installed")
    server = Server(binary, tmp_path / "clickhouse")
    yield server
    server.kill()


MOMENTS = {
    "in mid-insert": (rb"INSERT(\+|%20| )INTO", "before"),
    "before the swap": (rb"REPLACE PARTITION", "before"),
    "once it heard of the swap": (rb"REPLACE PARTITION", "after"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_mart_whose_server_is_killed_is_whole_before_and_after(server, pipeline_on, moment):
    pattern, when = MOMENTS[moment]
    sound = pipeline_on(DATA / "prototype_raw")
    for verb in (sound.load_dimensions, sound.load_facts):
        verb(DT)
    killed = threading.Event()

    def kill():
        server.kill()
        killed.set()
        time.sleep(0.5)
        server.restart()

    def up(data):
        if not killed.is_set() and re.search(pattern, data):
            if when == "before":
                killing = threading.Thread(target=kill, daemon=True)
                killing.start()
                killed.wait(20)
            else:
                threading.Timer(0.2, kill).start()
        return data

    with proxy_before("127.0.0.1", server.port) as proxy:
        p = mp.Pipeline(
            lake=DATA / "prototype_raw",
            warehouse=sound.settings.warehouse,
            mart=f"http://127.0.0.1:{proxy.port}/default",
        )
        p.apply_schema()
        proxy.up = up
        try:
            p.build_route_hourly()
        except mp.DatabaseError as error:
            assert error.retryable, error
        assert killed.wait(20)
        direct = mp.Pipeline(mart=f"http://127.0.0.1:{server.port}/default").mart
        deadline = time.monotonic() + 30
        while True:
            try:
                [between] = direct.query(MART).to_pylist()
                break
            except mp.DatabaseError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        proxy.calm()
        p.build_route_hourly()
        [after] = direct.query(MART).to_pylist()
        assert between in ({"rows": 0, "trips": 0, "revenue": between["revenue"]}, after), "never half a day"
        sound.build_route_hourly("2024-04-01", "2024-06-01", force=True)
        [wanted] = sound.mart.query(MART).to_pylist()
        assert [str(value) for value in after.values()] == [str(value) for value in wanted.values()]
        assert p.build_route_hourly().unchanged
