"""A dataset is declared once: the compiler names every place that has to know a new one, and CONTRIBUTING.md lists them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUST = ROOT / "src"

pytestmark = pytest.mark.skipif(not RUST.is_dir(), reason="needs the source tree")

# The enums that declare datasets, facts and dimensions, and what is said of them.
DECLARED = ("Dataset", "FactKind", "Member", "Kind", "Reason", "Computed", "Repetition", "Coordinates")


def stops() -> set[str]:
    """The files in which the compiler stops when a dataset, a fact and a dimension are declared and nothing handles them."""
    check = "cargo check --release --locked --lib --features fictitious-dataset --message-format json"
    run = subprocess.run(check.split(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 101, run.stderr
    found: set[str] = set()
    for line in run.stdout.splitlines():
        message = json.loads(line).get("message")
        if not message or message["level"] != "error" or not message["spans"]:
            continue
        assert message["code"] and message["code"]["code"] == "E0004", message["rendered"]
        assert "Fictitious" in message["rendered"]
        found |= {span["file_name"] for span in message["spans"] if span["is_primary"]}
    return found


def listed() -> set[str]:
    """The files that CONTRIBUTING.md names as those where the compiler stops."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = re.search(r"The compiler stops in:\n\n(.*?)\n\n", text, re.DOTALL)
    assert part, "CONTRIBUTING.md no longer says where the compiler stops"
    return set(re.findall(r"^- `(src/[^`]+)`", part[1], re.MULTILINE))


@pytest.mark.slow
def test_the_compiler_stops_exactly_where_contributing_says():
    if shutil.which("cargo") is None:
        pytest.skip("needs cargo")
    assert stops() == listed()


def product_code(path: Path) -> str:
    """Rust text without comments and without the tests at its end."""
    text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
    return text.partition("#[cfg(test)]\nmod tests")[0]


def test_what_is_declared_is_only_matched_exhaustively():
    # `==`, `matches!` and `if let` compile as they are when a variant is added; the lint on `_` does not see them.
    names = "|".join(DECLARED)
    unseen = re.compile(
        rf"[=!]=\s*(?:\w+::)*(?:{names})::\w+|(?:{names})::\w+\s*[=!]=|matches!\([^;]*?\b(?:{names})::\w+"
        rf"|\blet\s+(?:Some\()?(?:{names})::\w+"
    )
    found = []
    for path in RUST.rglob("*.rs"):
        room = path.relative_to(RUST).parts[0]
        # ClickHouse's columns have kinds of their own.
        if path.name == "tests.rs" or "tests" in path.parts or room == "clickhouse":
            continue
        text = product_code(path)
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in unseen.finditer(text)]
    assert found == []
