"""Where lake, warehouse and mart are, as assets and lineage name them: no user, no password, no option.

Pure functions of the settings' addresses.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from metropulse.stores import store_kind

__all__ = ["Address", "lake_address", "mart_address", "warehouse_address"]


@dataclass(frozen=True)
class Address:
    """A back end: its scheme, its host with the port, and the folder or database there.

    Attributes:
        scheme: ``file`` for a folder.
        host: Empty for a folder, and for a database that a socket of this machine leads to.
        path: Without slashes at its ends; for a folder, from the root.
        container: Of an Azure URL, the container that stands before its host.
    """

    scheme: str
    host: str
    path: str
    container: str = ""


def lake_address(place: str) -> Address:
    """Return where a folder or file of the lake is.

    Args:
        place: Path or URL.

    Returns:
        The address.
    """
    if "://" not in place:
        return Address("file", "", str(Path(place).absolute()))
    scheme, _, rest = place.partition("://")
    authority, _, path = rest.partition("?")[0].partition("/")
    if scheme == "file":
        return Address(scheme, "", "/" + path.rstrip("/"))
    # What stands before the host is a secret, but with Azure, where it is the container.
    user, _, host = authority.rpartition("@")
    return Address(scheme, host, path.strip("/"), user if store_kind(place) == "az" else "")


def warehouse_address(text: str) -> Address:
    """Return where a database of PostgreSQL is.

    Args:
        text: A URL, or libpq's words.

    Returns:
        The address, with the first of several hosts.
    """
    if "://" in text:
        parts = urlsplit(text)
        hosts, database = parts.netloc.rpartition("@")[2], parts.path.strip("/")
        words = dict(parse_qsl(parts.query))
    else:
        words = dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)
        hosts, database = "", words.get("dbname", "")
    host = hosts.partition(",")[0] or words.get("host", "").partition(",")[0]
    if not host or host.startswith("/"):
        return Address("postgres", "", database or "postgres")
    port = "" if ":" in host.rpartition("]")[2] else f":{words.get('port', '5432').partition(',')[0]}"
    return Address("postgres", host + port, database or "postgres")


def mart_address(url: str) -> Address:
    """Return where a database of ClickHouse is.

    Args:
        url: The URL of its HTTP interface.

    Returns:
        The address; where a proxy has ClickHouse under a path, that is left out.
    """
    parts = urlsplit(url)
    database = dict(parse_qsl(parts.query)).get("database") or parts.path.strip("/") or "default"
    return Address("clickhouse", parts.netloc.rpartition("@")[2], database)
