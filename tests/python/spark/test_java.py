"""Which Java the tests of Spark go by."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark import java


def program(folder: Path, says: str) -> Path:
    folder.mkdir(parents=True)
    file = folder / "java"
    file.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    file.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ('openjdk version "17.0.11" 2024-04-16', None),
        ('openjdk version "21" 2023-09-19', None),
        ('openjdk version "11.0.2" 2019-01-15', "/bin/java is 11"),
        ('java version "1.8.0_372"', "/bin/java is 8"),
        ("no such thing", "/bin/java is no such thing"),
    ],
)
def test_java_is_the_one_of_java_home_and_new_enough(tmp_path, monkeypatch, says, expected):
    program(tmp_path / "home" / "bin", says)
    monkeypatch.setenv("PATH", str(program(tmp_path / "other", 'openjdk version "1.7.0"')))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    found = java.why_not()
    assert (found is None) == (expected is None)
    assert expected is None or found.endswith(expected)


def test_without_java_home_it_is_the_one_on_the_path(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    folder = program(tmp_path / "other", 'openjdk version "17.0.1"')
    monkeypatch.setenv("PATH", str(folder))
    assert java.why_not() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java.why_not() == "Spark needs Java 17, and there is no java on the PATH"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert "no java in JAVA_HOME" in java.why_not()
