"""TLS for a PostgreSQL of the tests: a throwaway authority, and certificates that it issues."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psycopg


class Certificates:
    """A throwaway authority, and a server that shows what it issues."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder, self.server = folder, server
        self.authority, self.stranger = self._authority("ca"), self._authority("stranger")
        with psycopg.connect(server) as link:
            self.data = Path(link.execute("show data_directory").fetchone()[0])

    def _run(self, *command: str) -> None:
        subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=self.folder)

    def _authority(self, name: str) -> Path:
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
        text = subprocess.run(["openssl", "x509", "-in", f"{name}.pem", "-noout", "-text"], capture_output=True, text=True, check=True, cwd=self.folder).stdout  # fmt: skip
        assert ("Version: 1" in text) is (names is None)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def show(self, name: str, subject: str, names: str | None) -> None:
        """Let the server show a certificate of its own from the next connection on."""
        for source, target in zip(self.issue(name, subject, names), ("server.crt", "server.key"), strict=True):
            self._place(source, target)
        self._place(self.authority, "ca.crt")
        with psycopg.connect(self.server, autocommit=True) as admin:
            admin.execute("alter system set ssl_ca_file = 'ca.crt'")
            admin.execute("alter system set ssl = on")
            admin.execute("select pg_reload_conf()")
            admin.execute("select pg_sleep(0.2)")

    def _place(self, source: Path, target: str) -> None:
        shutil.copy(source, self.data / target)
        (self.data / target).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(self.data / target, "postgres", "postgres")
