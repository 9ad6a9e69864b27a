"""The account a server runs as when the caller is root, and what that account may reach."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metropulse.exceptions import ConfigError

_CANDIDATES = ("metropulse", "postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int

    def child(self) -> dict[str, Any]:
        """Return the arguments that make `subprocess` run a child as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or folder to this account."""
        os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def may_search(self, folder: Path) -> bool:
        """Whether this account may pass through a folder."""
        found = folder.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)

    def blocked_by(self, path: Path) -> Path | None:
        """Return the topmost folder above a path that this account may not pass through, None when the way is free.

        Args:
            path: An absolute path, its links resolved.
        """
        return next((folder for folder in reversed(path.parents) if not self.may_search(folder)), None)

    def require_way_to(self, path: Path) -> None:
        """Refuse a path whose parents this account may not pass through.

        Args:
            path: An absolute path.

        Raises:
            ConfigError: Names the folder that blocks the way.
        """
        folder = self.blocked_by(path)
        if folder is not None:
            raise ConfigError(
                f"PostgreSQL refuses to run as root, so it runs as {self.name!r}, which may not pass through {folder}; "
                f"use a state folder elsewhere (such as /var/lib/metropulse), run as an ordinary user, "
                f"or allow it yourself: chmod o+x {folder}",
                {"folder": str(folder), "account": self.name},
            )


def account_for(folder: Path) -> Account | None:
    """Choose the account that the server of a folder runs as.

    Args:
        folder: The server's folder, which may not exist yet.

    Returns:
        None when the caller is an ordinary user. For root: the folder's owner when that is somebody else, so that
        later starts agree; for a new folder the first of the accounts metropulse, postgres and nobody.

    Raises:
        ConfigError: No such account exists.
    """
    if os.geteuid() != 0:
        return None
    owner = folder.stat().st_uid if folder.exists() else 0
    names: tuple[str | int, ...] = (owner,) if owner != 0 else _CANDIDATES
    for name in names:
        try:
            entry = pwd.getpwuid(name) if isinstance(name, int) else pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ConfigError(
        "PostgreSQL refuses to run as root, and no account of this machine can run it instead; "
        "create one: useradd --system metropulse",
        {"folder": str(folder), "tried": ", ".join(str(name) for name in names)},
    )
