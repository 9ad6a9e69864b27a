"""The assets that the steps read and write.

Their URIs are built from the connections while a DAG file is parsed: ``s3://raw/dt=``,
``postgres://host:5432/database/schema/table``, ``clickhouse://host:8123/database/table``. Where no connection and no
variable says where something is, the connection's id stands for its host.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from metropulse.airflow._compat import AirflowNotFoundException, Asset, AssetAlias, BaseHook
from metropulse.airflow.addresses import lake_address, mart_address, warehouse_address
from metropulse.airflow.connections import Sources
from metropulse.airflow.hooks import DEFAULT_CONN_ID, LAKE_CONN_ID, MART_CONN_ID, WAREHOUSE_CONN_ID
from metropulse.days import DATASETS, FEED_DATASETS
from metropulse.exceptions import MetropulseError
from metropulse.settings import resolve

__all__ = [
    "GROUP",
    "KINDS",
    "Places",
    "assets_of",
    "concrete",
    "facts_asset",
    "file_asset",
    "files_of",
    "mart_asset",
    "names_of",
    "raw_asset",
    "table_asset",
]

DIMENSIONS = ("route", "user", "vehicle", "stop", "shape", "payment_method")
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "raw": ("lake", ()),
    "staging": ("warehouse", tuple(f"staging.{name}_raw" for name in (*DATASETS, *FEED_DATASETS))),
    "calendar": ("warehouse", ("dwh.dim_date", "dwh.dim_time")),
    "dimensions": ("warehouse", tuple(f"dwh.dim_{name}" for name in DIMENSIONS)),
    "facts": ("warehouse", ("dwh.facts",)),
    "quality": ("warehouse", ("dwh.quality_result",)),
    "mart": ("mart", ("mart_route_hourly",)),
    "telemetry": ("mart", ("vehicle_position",)),
}
"""What a step reads or writes: the role it lies in, and its tables there. ``dwh.facts`` stands for all fact tables."""

GROUP = "metropulse"
"""Airflow's group of all our assets."""


@dataclass(frozen=True)
class Places:
    """Which connections say where lake, warehouse and mart are."""

    metropulse_conn_id: str = DEFAULT_CONN_ID
    lake_conn_id: str = LAKE_CONN_ID
    warehouse_conn_id: str = WAREHOUSE_CONN_ID
    mart_conn_id: str = MART_CONN_ID
    lake: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Places:
        """Take the places out of an operator's arguments, the rest aside."""
        return cls(**{f.name: arguments[f.name] for f in fields(cls) if arguments.get(f.name) is not None})

    def known(self, role: str) -> bool:
        """Whether the role's place is known while the file is parsed: it is no template."""
        named = [self.metropulse_conn_id, getattr(self, f"{role}_conn_id")]
        return not any("{{" in str(text) for text in named)

    def base(self, role: str) -> str:
        """Return the URI of a role, without a slash at its end."""
        # A lake that only a run names has no URI yet: the connection's own stands for it.
        lake = None if self.lake is None or "{{" in self.lake else self.lake
        return _bases(self.metropulse_conn_id, self.lake_conn_id, self.warehouse_conn_id, self.mart_conn_id, lake)[role]


def raw_asset(**places: Any) -> Asset:
    """Return the asset of the raw days; each partition of it is a day.

    Args:
        **places: Those of `Places`.

    Returns:
        The asset.
    """
    return Asset(uri=f"{Places(**places).base('lake')}/dt=", group=GROUP)


def facts_asset(**places: Any) -> Asset:
    """Return the asset of the fact tables together: what `LoadFactsOperator` publishes of a day.

    Args:
        **places: Those of `Places`.

    Returns:
        The asset.
    """
    return table_asset("dwh.facts", **places)


def mart_asset(**places: Any) -> Asset:
    """Return the asset of the hourly mart.

    Args:
        **places: Those of `Places`.

    Returns:
        The asset.
    """
    return Asset(uri=f"{Places(**places).base('mart')}/mart_route_hourly", group=GROUP)


def table_asset(table: str, **places: Any) -> Asset:
    """Return the asset of a table of the warehouse.

    Args:
        table: The table as SQL names it; without a schema, in ``public``.
        **places: Those of `Places`.

    Returns:
        The asset.
    """
    schema, _, name = table.rpartition(".")
    path = "/".join(quote(part.strip('"'), safe="") for part in (schema or "public", name))
    return Asset(uri=f"{Places(**places).base('warehouse')}/{path}", group=GROUP)


def file_asset(place: str) -> Asset | None:
    """Return the asset of a file or folder.

    Args:
        place: Path or URL.

    Returns:
        The asset; None for a template or a pattern, which name no one place.
    """
    if "{{" in place or any(sign in place for sign in "*?["):
        return None
    return Asset(uri=_lake_base(place), group=GROUP)


def files_of(source: Any) -> list[Asset]:
    """Return the assets of the files that an author named.

    Args:
        source: A path or URL, or a list of them; of a template, or of what another task returns, nothing is known yet.

    Returns:
        The assets.
    """
    return [asset for asset in map(file_asset, names_of(source)) if asset is not None]


def names_of(source: Any) -> list[str]:
    """Return the paths and URLs that an author named.

    Args:
        source: A path or URL, or a list of them; of anything else nothing is known yet.

    Returns:
        The names.
    """
    given = source if isinstance(source, (list, tuple)) else [source]
    return [name for name in given if isinstance(name, str)]


def assets_of(kinds: Iterable[str], places: Places) -> list[Asset | AssetAlias]:
    """Return what a step reads or writes.

    Args:
        kinds: Some of `KINDS`.
        places: Where they are.

    Returns:
        Assets; for a role that a template names, the alias ``metropulse_<kind>``, which takes the asset up at run time.
    """
    found: list[Asset | AssetAlias] = []
    for kind in kinds:
        role, _ = KINDS[kind]
        found += concrete(kind, places) if places.known(role) else [AssetAlias(f"metropulse_{kind}", group=GROUP)]
    return found


def concrete(kind: str, places: Places) -> list[Asset]:
    """Return the assets of a kind, at places that are known.

    Args:
        kind: One of `KINDS`.
        places: Where they are.

    Returns:
        The assets.
    """
    role, tables = KINDS[kind]
    base = places.base(role)
    if role == "lake":
        return [Asset(uri=f"{base}/dt=", group=GROUP)]
    return [Asset(uri=f"{base}/{table.replace('.', '/')}", group=GROUP) for table in tables]


@lru_cache(maxsize=64)
def _bases(base_id: str, lake_id: str, warehouse_id: str, mart_id: str, lake: str | None) -> dict[str, str]:
    """Return the URI of each role. Cached: a file is parsed in a process of its own."""
    bases = {
        "lake": f"s3://{lake_id}",
        "warehouse": f"postgres://{warehouse_id}:5432/dwh",
        "mart": f"clickhouse://{mart_id}:8123/default",
    }
    sources = Sources(
        lake=lake,
        base_connection=_find(base_id),
        lake_connection=_find(lake_id),
        warehouse_connection=_find(warehouse_id),
        mart_connection=_find(mart_id),
        environ=os.environ,
    )
    try:
        settings = resolve(**sources.arguments())
    except MetropulseError:
        return bases  # The task says what is wrong, at its own time.
    if settings.lake:
        bases["lake"] = _lake_base(settings.lake)
    if settings.warehouse:
        found = warehouse_address(settings.warehouse)
        # A socket's host is this machine's, which says nothing elsewhere.
        bases["warehouse"] = f"postgres://{found.host or f'{warehouse_id}:5432'}/{found.path}"
    if settings.mart:
        found = mart_address(settings.mart)
        bases["mart"] = f"clickhouse://{found.host}/{found.path}"
    return bases


def _find(conn_id: str) -> Any:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None


def _lake_base(place: str) -> str:
    found = lake_address(place)
    if not found.host:
        return Path(found.path).as_uri()
    return "/".join(part for part in (f"{found.scheme}://{found.host}", found.container, found.path) if part)
