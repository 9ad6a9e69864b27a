"""Every snippet of the documentation runs, and what the documentation names exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path.name != "CHANGELOG.md")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.core, pytest.mark.embedded]

# Commands of a shell that are run elsewhere: by the tests' own runner, or because they install or build.
ELSEWHERE = ("make ", "pip install", "docker compose", ".venv/bin/python -m pytest ")


def snippets(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(page: Path) -> list[str]:
    """The lines of shell snippets, comments taken off; those that need an agency's files have a test of their own."""
    lines = [line for text in snippets(page, "sh") if "gtfs.zip" not in text for line in text.splitlines()]
    return [" ".join(shlex.split(line, comments=True)) and line for line in lines if shlex.split(line, comments=True)]


@pytest.fixture
def folder(new_state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, whose `state` is stopped afterwards."""
    monkeypatch.chdir(new_state_dir.parent)
    return new_state_dir.parent


def test_there_are_snippets_to_run():
    assert ROOT / "README.md" in PAGES
    assert len(snippets(ROOT / "README.md", "python")) >= 2
    assert len(commands(ROOT / "README.md")) >= 8
    languages = {kind for page in PAGES for kind, _ in FENCE.findall(page.read_text(encoding="utf-8"))}
    assert languages <= {"python", "sh", "sql", "text"}, "a snippet in a language that nothing runs"


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page, "python")], ids=lambda page: page.name)
def test_python_and_sql_snippets_run(page, folder):
    """In order, in one process, as a reader would; SQL of the page runs on the mart afterwards."""
    program = "\n".join(snippets(page, "python"))
    for sql in snippets(page, "sql"):
        program += (
            f"\nimport metropulse as mp\nwith mp.Pipeline.embedded('state/', time_zone='Europe/Moscow') as q:"
            f"\n    assert q.mart.query({sql!r}).num_rows > 0\n"
        )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_run(page, folder):
    """In order, in one folder; a command that is run elsewhere must at least exist."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "METROPULSE_STATE": "state",
    }
    for line in commands(page):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert words[1] in targets, line
        elif not line.startswith(ELSEWHERE):
            assert words[0] == "metropulse", f"nothing runs {line!r}"
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)
            assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    named = re.findall(r"`((?:src|crates|tests|python|ddl|docs|benches)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_rooms_name_the_folder_of_their_tests():
    lines = {
        path.parent.name: re.findall(r"^//! Tests: .*", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in (ROOT / "src").glob("*/mod.rs")
    }
    named = {room: re.findall(r"`(tests/[\w./-]+)`", " ".join(found)) for room, found in lines.items()}
    assert [path for paths in named.values() for path in paths if path != "tests/" and not (ROOT / path).exists()] == []
    assert {room for room, found in named.items() if not found} <= {"model", "generate", "load"}, (
        "a room without its tests' folder"
    )


def test_every_verb_of_the_command_line_shows_an_example_in_its_help():
    from click.testing import CliRunner

    from metropulse.cli import cli

    for name in cli.commands:
        shown = CliRunner().invoke(cli, [name, "--help"]).output
        assert "Example" in shown, name
