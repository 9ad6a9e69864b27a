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
DECLARED = ("Dataset", "FactKind", "Member", "Absent", "Kind", "Reason", "Computed", "Repetition", "Coordinates")
NAMES = "|".join(DECLARED)
# History asks only whether absence is ignored or refused: a new meaning of absence would first be one there.
EXEMPT = ("src/history/", "src/postgres/merge/")


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


def product_code() -> list[tuple[str, str]]:
    """Name and text of each Rust file, without comments, string literals and tests."""
    files = []
    for path in sorted(RUST.rglob("*.rs")):
        room = path.relative_to(RUST).parts[0]
        # ClickHouse's columns have kinds of their own.
        if path.name == "tests.rs" or "tests" in path.parts or room == "clickhouse":
            continue
        text = path.read_text(encoding="utf-8").partition("#[cfg(test)]\nmod tests")[0]
        text = re.sub(r"//[^\n]*", "", re.sub(r'"(?:[^"\\]|\\.)*"', '""', text, flags=re.DOTALL))
        files.append((path.relative_to(ROOT).as_posix(), text))
    return files


def test_what_is_declared_is_compared_by_match_alone():
    # `==`, `matches!` and `if let` compile as they are when a variant is added.
    unseen = re.compile(
        rf"[=!]=\s*(?:\w+::)*(?:{NAMES})::\w+|(?:{NAMES})::\w+\s*[=!]=|matches!\([^;]*?\b(?:{NAMES})::\w+"
        rf"|\blet\s+(?:Some\()?(?:{NAMES})::\w+"
    )
    found = [f"{name}: {hit[0]}" for name, text in product_code() for hit in unseen.finditer(text)]
    assert [line for line in found if not line.startswith(EXEMPT)] == []


def arms(text: str) -> list[str]:
    """The bodies of all `match` blocks, what stands in inner braces left out."""
    bodies = []
    for start in re.finditer(r"\bmatch\b[^;{}]*\{", text):
        depth, body = 1, []
        for letter in text[start.end() :]:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            if depth == 0:
                break
            if depth == 1:
                body.append(letter)
        bodies.append("".join(body))
    return bodies


def test_no_match_on_what_is_declared_has_an_arm_for_the_rest():
    # The lint on `_` is allowed to sleep in files that match the types of others.
    rest = re.compile(r"(?:^|[,}\n])\s*(?:_|[a-z]\w*)\s*=>")
    of_ours = re.compile(rf"\b(?:{NAMES})::\w+[\s|)\w:(]*(?:if[^=]*)?=>")
    found = [
        f"{name}: match {body.strip()[:80]}"
        for name, text in product_code()
        for body in arms(text)
        if of_ours.search(body) and rest.search(body)
    ]
    assert found == []
