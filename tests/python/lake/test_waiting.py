"""The wait for a raw day: a native coroutine, of which one event loop holds thousands."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from pathlib import Path

import pytest

import metropulse as mp

DATA = Path(__file__).parents[2] / "data" / "prototype_raw"
DT = "2024-05-01"

pytestmark = pytest.mark.core


def raw(name: str) -> bytes:
    return (DATA / f"dt={DT}" / f"{name}.parquet").read_bytes()


def write(lake: Path, name: str, data: bytes) -> None:
    """Write a file of the day such that whoever looks meanwhile finds all of it or nothing."""
    (lake / f"dt={DT}").mkdir(parents=True, exist_ok=True)
    (lake / "unfinished").write_bytes(data)
    (lake / "unfinished").replace(lake / f"dt={DT}" / name)


def put(lake: Path, *names: str) -> None:
    for name in names:
        write(lake, f"{name}.parquet", raw(name))


def manifest(lake: Path, *names: str) -> None:
    files = []
    for name in names:
        data = raw(name)
        files.append(
            {"path": f"{name}.parquet", "rows": 20, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        )
    write(lake, "_manifest.json", json.dumps({"version": 1, "files": files}).encode())


async def soon(seconds: float, call, *arguments) -> None:
    await asyncio.sleep(seconds)
    call(*arguments)


def test_a_manifest_ends_the_wait_at_once(tmp_path):
    async def wait() -> mp.Report:
        p = mp.Pipeline(lake=tmp_path)
        put(tmp_path, "routes")
        later = asyncio.create_task(soon(0.2, manifest, tmp_path, "routes"))
        found = await p.wait_for_partition(DT, required=["routes"], poll_seconds=0.05, stable_seconds=None)
        await later
        return found

    begun = time.monotonic()
    found = asyncio.run(asyncio.wait_for(wait(), 60))
    assert found.ready
    assert found.has_manifest
    assert time.monotonic() - begun >= 0.2


def test_without_a_manifest_files_must_lie_still(tmp_path):
    async def wait() -> float:
        p = mp.Pipeline(lake=tmp_path)
        put(tmp_path, "routes")
        begun = time.monotonic()
        later = asyncio.create_task(soon(0.3, put, tmp_path, "trips"))
        await p.wait_for_partition(DT, required=["routes", "trips"], poll_seconds=0.05, stable_seconds=0.5)
        await later
        return time.monotonic() - begun

    assert asyncio.run(asyncio.wait_for(wait(), 60)) >= 0.8, "the clock starts with the last file"


def test_a_thousand_waits_share_the_loop_and_take_no_thread_each(tmp_path):
    async def wait() -> tuple[int, int]:
        p = mp.Pipeline(lake=tmp_path)
        (tmp_path / f"dt={DT}").mkdir()
        waits = [
            asyncio.ensure_future(p.wait_for_partition(DT, required=["routes"], poll_seconds=0.2, stable_seconds=0.0))
            for _ in range(1000)
        ]
        ticks = 0
        for _ in range(20):
            await asyncio.sleep(0.02)
            ticks += 1
        threads = len(list(Path("/proc/self/task").iterdir()))
        put(tmp_path, "routes")
        found = await asyncio.gather(*waits)
        assert all(report.ready for report in found)
        return ticks, threads

    before = threading.active_count()
    ticks, threads = asyncio.run(asyncio.wait_for(wait(), 60))
    assert ticks == 20
    assert threads < 600, "blocking threads of the runtime are bounded; a thread a wait would be a thousand"
    assert threading.active_count() == before


def test_a_cancelled_wait_ends(tmp_path):
    async def wait() -> None:
        p = mp.Pipeline(lake=tmp_path)
        task = asyncio.ensure_future(p.wait_for_partition(DT, required=["routes"], poll_seconds=60, stable_seconds=1.0))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)

    asyncio.run(wait())


def test_a_lake_that_refuses_ends_the_wait_with_its_error(tmp_path):
    async def wait() -> None:
        await mp.Pipeline(lake="ftp://host/raw").wait_for_partition(DT, required=["routes"], poll_seconds=0.05)

    with pytest.raises(mp.ConfigError, match="ftp"):
        asyncio.run(asyncio.wait_for(wait(), 60))


def test_who_watches_hears_each_change_in_the_loop_of_the_caller(tmp_path):
    """What is missing, which file is not as the manifest says, and what keeps the lake from answering."""
    seen: list[mp.Report] = []

    def watch(found: mp.Report) -> None:
        assert asyncio.get_running_loop() is not None
        seen.append(found)

    async def wait() -> mp.Report:
        lake = tmp_path / "raw"
        p = mp.Pipeline(lake=lake)
        waiting = asyncio.create_task(
            p.wait_for_partition(DT, required=["routes", "trips"], poll_seconds=0.02, stable_seconds=None, watch=watch)
        )
        steps = [
            (lambda found: "error" in found, lambda: put(lake, "routes")),
            (lambda found: found.get("missing") == ("trips",), lambda: put(lake, "trips")),
            (
                lambda found: found.get("missing") == (),
                lambda: (write(lake, "trips.parquet", raw("trips")[:100]), manifest(lake, "routes", "trips")),
            ),
            (lambda found: found.get("differing"), lambda: put(lake, "trips")),
        ]
        for is_told, step in steps:
            while not (seen and is_told(seen[-1])):
                await asyncio.sleep(0.01)
            step()
        return await waiting

    assert asyncio.run(asyncio.wait_for(wait(), 60)).has_manifest
    assert "does not exist" in seen[0]["error"], "the lake itself was not there"
    assert ("trips",) in [found.get("missing") for found in seen[1:]]
    [cut] = [found for found in seen if found.get("differing")]
    size = len(raw("trips"))
    assert cut.differing == (mp.Report({"path": f"dt={DT}/trips.parquet", "bytes": 100, "manifest_bytes": size}),)
    assert cut.missing == ()
    assert cut.last_change.startswith(time.strftime("%Y-", time.gmtime()))
    assert len(seen) < 12, "only changes are told"
