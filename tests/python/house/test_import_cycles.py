"""No two modules of the package need each other: not at their head, not inside a function, not for types alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from house.circles import circle

PACKAGE = Path(__file__).parents[3] / "python" / "metropulse"

pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs the source tree")


def modules(package: Path) -> dict[str, Path]:
    """Every module by its dotted name; of the native one there is the stub."""
    found = {}
    for path in [*package.rglob("*.py"), *package.rglob("*.pyi")]:
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: set[str]) -> set[str]:
    """The modules among `known` that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            # `from package import name` means the module of that name where there is one.
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= full if full & known else {str(node.module)}
    return names & known


def cycle(package: Path) -> list[str]:
    """The modules of one circle of imports, or nothing."""
    paths = modules(package)
    return circle({name: imported(path, set(paths)) - {name} for name, path in paths.items()})


def test_the_package_has_no_circle_of_imports():
    assert len(modules(PACKAGE)) > 40
    assert cycle(PACKAGE) == []


def test_a_circle_is_noticed_wherever_it_hides(tmp_path):
    package = tmp_path / "p"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def f():\n    from p.b import g\n")
    (package / "b.py").write_text("from p import c\n")
    (package / "c.py").write_text("")
    assert cycle(package) == []
    (package / "c.py").write_text("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import p.a\n")
    assert set(cycle(package)) == {"p.a", "p.b", "p.c"}
