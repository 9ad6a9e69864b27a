"""Who may name whom: the walls of the house, as a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from house.rust_modules import House

ROOT = Path(__file__).parents[3]
RUST = ROOT / "src"
PYTHON = ROOT / "python" / "metropulse"

pytestmark = pytest.mark.skipif(not RUST.is_dir(), reason="needs the source tree")


def code(path: Path) -> str:
    """The Rust text without comments."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"//[^\n]*", "", text)


def rust_files(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in [*(RUST / room).rglob("*.rs"), *RUST.glob(f"{room}.rs")]]
    assert found, f"no Rust file in {rooms}: the test looks in the wrong place"
    return found


def imports(path: Path) -> set[str]:
    """Top-level names of what a Python file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def naming(files: list[Path], *crates: str) -> list[str]:
    words = re.compile(rf"\b({'|'.join(crates)})\b")
    return [f"{path.relative_to(ROOT)}: {hit[0]}" for path in files if (hit := words.search(code(path)))]


def test_only_src_py_names_pyo3():
    others = [p for p in RUST.rglob("*.rs") if "py" not in p.relative_to(RUST).parts[:1] and p != RUST / "lib.rs"]
    assert len(others) > 10
    assert naming(others, "pyo3", "pyo3_async_runtimes") == []
    # lib.rs opens the room, behind its feature, and says nothing else of Python.
    assert naming([RUST / "lib.rs"], "pyo3", "pyo3_async_runtimes") == []
    assert re.search(r'#\[cfg\(feature = "python"\)\]\s*(pub )?mod py;', code(RUST / "lib.rs"))


def test_a_transaction_that_wrote_is_committed_in_one_place():
    """A COMMIT whose answer is lost must be found out; only those that read may do without."""
    commits = re.compile(r'\("COMMIT"\)')
    found = {str(path.relative_to(RUST)) for path in RUST.rglob("*.rs") if commits.search(code(path))}
    readers = {"postgres/read_table.rs", "warehouse/mart_source.rs", "warehouse/status.rs"}
    assert found == {"postgres/commit.rs", *readers}
    assert all("READ ONLY" in code(RUST / reader) for reader in readers)


def test_pure_rooms_name_no_runtime_and_no_client():
    files = rust_files("clean", "history", "rollup", "model")
    clients = ("tokio", "tokio_postgres", "object_store", "clickhouse", "reqwest", "hyper", "futures")
    assert naming(files, *clients) == []


def test_the_copy_codec_names_no_client():
    codec = [*(RUST / "postgres" / "copy").rglob("*.rs"), *(RUST / "postgres").glob("copy.rs")]
    if not codec:
        pytest.skip("no copy codec in this tree")
    assert naming(codec, "tokio", "tokio_postgres", "object_store") == []


# Arrows run one way: a room may name the rooms of the levels below its own, and no other. `control`, `error`, `queue` and
# `config` are free to all but may name only the model themselves.
LEVELS = [
    {"py"},
    {"pipeline"},
    {"warehouse", "clickhouse", "lake", "generate", "quality", "feeds"},
    {"postgres", "load"},
    {"clean", "history", "rollup"},
    {"model"},
]
# The toolkit loads what `load` describes; nothing else looks sideways.
SIDEWAYS = {("postgres", "load")}


def rooms_named(path: Path) -> set[str]:
    text = code(path)
    named = set(re.findall(r"\bcrate::(\w+)", text))
    for group in re.findall(r"\bcrate::\{([^;]*)\};", text):
        named |= set(re.findall(r"(?:^|,)\s*(\w+)", group))
    return named


def test_arrows_between_rooms_run_one_way():
    level_of = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
    wrong = [
        f"{path.relative_to(ROOT)} names {other}"
        for room, level in level_of.items()
        for path in rust_files(room)
        for other in rooms_named(path) & level_of.keys()
        if other != room and level_of[other] <= level and (room, other) not in SIDEWAYS
    ]
    assert wrong == []


def test_every_room_has_a_level():
    free = {"backoff", "control", "digest", "error", "queue", "config", "runtime", "scratch", "lib"}
    rooms = {path.stem for path in RUST.iterdir()} - free
    assert rooms == set().union(*LEVELS)


def test_only_metropulse_airflow_imports_airflow():
    files = [path for path in PYTHON.rglob("*.py") if "airflow" not in path.relative_to(PYTHON).parts]
    assert len(files) > 10
    assert [path for path in files if "airflow" in imports(path)] == []


def test_airflow_modules_are_imported_through_the_one_module_of_shims():
    allowed = {"_compat.py", "local.py"}
    # The DAG files are written as a user would write them.
    files = [p for p in (PYTHON / "airflow").rglob("*.py") if p.name not in allowed and p.parent.name != "dags"]
    assert [path for path in files if "airflow" in imports(path)] == []


def test_neither_operators_nor_hook_import_the_core_at_their_head():
    for path in (PYTHON / "airflow").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        heads = [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert [h for h in heads if "_core" in h or "embedded" in h or "metropulse.pipeline" in h] == [], path


def test_no_python_file_is_too_long():
    long = {path: n for path in PYTHON.rglob("*.py") if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}


def test_no_rust_files_import_each_other_in_a_circle():
    house = House(RUST)
    # It sees what is there: through a folder's face, by `super`, and by a path in the text.
    assert ("postgres", "copy", "types") in house.arrows(("postgres", "merge", "place"))
    assert ("feeds", "gtfs", "row") in house.arrows(("feeds", "gtfs", "rows"))
    assert ("warehouse", "schema") in house.arrows(("warehouse", "context"))
    assert house.circle() == []
