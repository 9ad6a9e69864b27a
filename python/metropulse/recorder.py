"""Recording an agency's GTFS-Realtime feeds, as functions: `collect`, `collect_status`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from metropulse.durations import Duration
from metropulse.feeds import SPOOL_LIMIT_BYTES, default_spool
from metropulse.ingest import opened
from metropulse.results import Report

if TYPE_CHECKING:
    from metropulse.pipeline import Pipeline
    from metropulse.results import Progress
    from metropulse.sources import Name

__all__ = ["collect", "collect_status"]


def collect(
    to: Name | Pipeline | None = None,
    *,
    vehicle_positions: str | None = None,
    trip_updates: str | None = None,
    alerts: str | None = None,
    feed: str | None = None,
    every: Duration = "10s",
    headers: Mapping[str, str] | None = None,
    secrets: Name | None = None,
    spool: Name | None = None,
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES,
    archive_every: Duration = "1h",
    timeout: Duration = "30s",
    duration: Duration | None = None,
    lake_options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Record GTFS-Realtime feeds, for months if need be: until it is stopped, or for `duration`.

    Each feed is asked at its own pace. What is new is synced to the spool, and each hour, once it is over, becomes
    one archive below ``recordings/`` in the lake, which `ingest_gtfs_rt` reads as it is. A feed that fails is asked
    less and less often until it answers. However the process ends, the next call on the same spool goes on; nothing
    that was synced is lost, and an hour leaves the spool only once its copy in the lake was read back.

    Args:
        to: The lake, as a folder or URL; or an open `Pipeline`: its lake and credentials. Else that of the environment.
        vehicle_positions: URL of the vehicle positions. ``${NAME}`` in a URL stands for a secret.
        trip_updates: URL of the trip updates.
        alerts: URL of the alerts.
        feed: Name of the feed, in a lake of several agencies: its recordings lie apart, and `ingest_gtfs_rt` reads them
            by this name.
        every: Time between two polls of a feed, such as 10s.
        headers: Headers of each request, such as a key; ``${NAME}`` in a value stands for a secret.
        secrets: File of NAME=value lines, read anew for each request; a name that it lacks is taken from the
            environment.
        spool: Folder on a disk of this machine in which recordings wait; one recorder for each.
        spool_limit_bytes: How many bytes may wait there. When it is full new messages are not kept, and the health says
            so; nothing that was kept is deleted.
        archive_every: Time that goes into one archive: an hour, or a whole part of one.
        timeout: Time until a request is given up.
        duration: Time after which the call ends by itself, with everything uploaded; None records until it is stopped.
        lake_options: Options of the lake's object store; else those of the environment.
        progress: Told what happens: a feed that fails or answers again, an archive that was uploaded.

    Returns:
        The report of a call with `duration`: polls, recordings and failures by feed; archives as ``files``.

    Raises:
        ConfigError: A feed, header or setting has the wrong form, a secret is not set, or recordings of another feed
            wait in the spool.
        ConflictError: Another recorder works on the spool.
        StorageError: The spool cannot be written, or at the end of `duration` an upload fails; what was recorded is
            kept.
    """
    return opened(to, lake_options, None).collect(
        vehicle_positions=vehicle_positions,
        trip_updates=trip_updates,
        alerts=alerts,
        feed=feed,
        every=every,
        headers=headers,
        secrets=secrets,
        spool=spool,
        spool_limit_bytes=spool_limit_bytes,
        archive_every=archive_every,
        timeout=timeout,
        duration=duration,
        progress=progress,
    )


def collect_status(spool: Name | None = None, *, feed: str | None = None) -> Report:
    """Return how the recorder of a spool is, alive or not.

    Args:
        spool: The folder; that of `collect` for this feed when None.
        feed: The name of the feed.

    Returns:
        ``is_healthy``, ``problems`` in sentences, ``is_running``, and what the recorder said last: its feeds, its
        spool, its uploads.

    Raises:
        NotFoundError: Nothing was ever recorded there.
    """
    from metropulse import _core

    return Report.from_json(_core.collect_status(os.fspath(spool or default_spool(feed))))
