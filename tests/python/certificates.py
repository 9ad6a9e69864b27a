"""TLS for servers of the tests: a throwaway authority, what it issues, and a PostgreSQL that shows it."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from waiting import until


def reload(server: str) -> None:
    """Let a PostgreSQL take up its changed settings and rules, and wait until new connections have them."""

    def loaded() -> datetime:
        with psycopg.connect(server) as link:
            return link.execute("select pg_conf_load_time()").fetchone()[0]

    before = loaded()
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("select pg_reload_conf()")
    until(lambda: loaded() > before, 60, "the server does not take up its settings", every=0.05)


class Issuer:
    """A throwaway authority in a folder: `ca.pem`, and what it issues. Without openssl the test is skipped."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self.folder = folder
        self.authority = self.another("ca")

    def _run(self, *command: str) -> str:
        done = subprocess.run(["openssl", *command], check=True, capture_output=True, text=True, cwd=self.folder)
        return done.stdout

    def another(self, name: str) -> Path:
        """Make an authority; its certificate."""
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
        return self.folder / f"{name}.pem"

    def issue(self, name: str, subject: str, names: str | None) -> tuple[Path, Path]:
        """A certificate with its key; without names it is one of version 1."""
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        more = []
        if names:
            (self.folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
            more = ["-extfile", f"{name}.ext"]
        self._run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.pem", *more)  # fmt: skip
        text = self._run("x509", "-in", f"{name}.pem", "-noout", "-text")
        assert ("Version: 1" in text) is (names is None)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


class Certificates(Issuer):
    """A throwaway authority, a stranger to it, and a PostgreSQL that shows what the authority issues."""

    def __init__(self, folder: Path, server: str) -> None:
        super().__init__(folder)
        self.server, self.stranger = server, self.another("stranger")
        with psycopg.connect(server) as link:
            self.data = Path(link.execute("show data_directory").fetchone()[0])

    def show(self, name: str, subject: str, names: str | None) -> None:
        """Let the server show a certificate of its own from the next connection on."""
        for source, target in zip(self.issue(name, subject, names), ("server.crt", "server.key"), strict=True):
            self._place(source, target)
        self._place(self.authority, "ca.crt")
        self._alter("set ssl_ca_file = 'ca.crt'", "set ssl = on")

    def hide(self) -> None:
        """Let the server be without TLS from the next connection on, as it was."""
        self._alter("reset ssl", "reset ssl_ca_file")

    def _alter(self, *changes: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as admin:
            for change in changes:
                admin.execute(f"alter system {change}")
        reload(self.server)

    def _place(self, source: Path, target: str) -> None:
        shutil.copy(source, self.data / target)
        (self.data / target).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(self.data / target, "postgres", "postgres")
