"""A file whose clocks ran wild touches hundreds of service dates: the mart takes them together, not one by one."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metropulse as mp

pytestmark = [pytest.mark.core, pytest.mark.embedded]

DATES = 400


class Statements:
    """A port that passes on what a client says to ClickHouse, and counts the statements in it."""

    def __init__(self, server: str) -> None:
        self.count = 0
        self._server = urlsplit(server)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._server.hostname, self._server.port))
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_client: bool) -> None:
        while data := source.recv(1 << 16):
            if is_client:
                with self._lock:
                    self.count += data.count(b"POST /") + data.count(b"GET /")
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


def test_hundreds_of_service_dates_take_a_handful_of_statements(pipeline_on, tmp_path):
    lake = tmp_path / "raw"
    folder = lake / "dt=2024-05-01"
    folder.mkdir(parents=True)
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    rows = 2 * DATES
    positions = {
        "event_ts": [noon - timedelta(days=row // 2) for row in range(rows)],
        "vehicle_id": [f"V{row % 7}" for row in range(rows)],
        "route_id": [f"R{row % 5}" for row in range(rows)],
        "lat": [55.7] * rows,
        "lon": [37.6] * rows,
        "speed": [float(row % 60) for row in range(rows)],
    }
    pq.write_table(pa.table(positions), folder / "vehicle_positions.parquet")
    pq.write_table(pa.table({"route_id": [f"R{route}" for route in range(5)]}), folder / "routes.parquet")
    direct = pipeline_on(lake)
    direct.load_dimensions("2024-05-01")
    direct.load_facts("2024-05-01")
    statements = Statements(direct.settings.mart)
    try:
        mart = urlsplit(direct.settings.mart)._replace(netloc=f"127.0.0.1:{statements.port}")
        settings = direct.settings
        counted = mp.Pipeline(
            warehouse=settings.warehouse,
            mart=urlunsplit(mart),
            mart_user=settings.mart_user,
            mart_password=settings.mart_password,
        )
        report = counted.build_route_hourly()
    finally:
        statements.close()
    assert len(report.service_dates_rebuilt) == DATES
    assert report.rows == rows, "two routes an hour, one hour a date"
    assert 0 < statements.count <= DATES / 2, "one by one it would be six statements a date"
    [found] = direct.mart.query(
        "select count() as hours, sum(position_cnt) as positions, uniqExact(service_date) as dates from mart_route_hourly"
    ).to_pylist()
    assert found == {"hours": rows, "positions": rows, "dates": DATES}
    # Nothing is left to do, and a date of them by itself is what it was.
    assert direct.build_route_hourly().unchanged
    again = direct.build_route_hourly(date_from="2024-05-01", date_to="2024-05-02", force=True)
    assert again.service_dates_same == ("2024-05-01",)
