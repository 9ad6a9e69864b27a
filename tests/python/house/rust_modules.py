"""Which Rust modules name which: read from `use` declarations and paths, as the compiler resolves them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from house.circles import circle

Module = tuple[str, ...]

USES = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.MULTILINE)


def modules(root: Path) -> dict[Module, Path]:
    """The file of each module below `src`."""
    found = {}
    for path in root.rglob("*.rs"):
        parts = path.relative_to(root).with_suffix("").parts
        found[() if parts == ("lib",) else parts[:-1] if parts[-1] == "mod" else parts] = path
    return found


def branches(tree: str) -> Iterator[str]:
    """The paths of a `use` declaration: `a::{b, c::d}` has a::b and a::c::d."""
    head, brace, rest = tree.strip().partition("{")
    if not brace:
        if head:
            yield head.split(" as ")[0].strip()
        return
    depth, item = 0, ""
    for letter in rest[: rest.rindex("}")] + ",":
        if letter == "," and depth == 0:
            yield from (head + below for below in branches(item))
            item = ""
            continue
        depth += (letter == "{") - (letter == "}")
        item += letter


def production(path: Path) -> str:
    """The text without comments and without the tests at its end."""
    text = re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", path.read_text(encoding="utf-8"))[0]
    return re.sub(r"//[^\n]*", "", text)


def absolute(path: str, me: Module, known: dict[Module, Path]) -> tuple[str, ...] | None:
    """A path from the crate's root; None where it leads out of the crate."""
    words = path.split("::")
    if words[0] == "crate":
        return tuple(words[1:])
    if words[0] == "self":
        return (*me, *words[1:])
    here = me
    while words and words[0] == "super":
        here, words = here[:-1], words[1:]
    return (*here, *words) if here != me or (*me, words[0]) in known else None


class House:
    """The modules, and the arrows between them."""

    def __init__(self, root: Path) -> None:
        self.files = modules(root)
        self.handed_on: dict[tuple[Module, str], Module] = {}
        for me, file in self.files.items():
            for tree in re.findall(r"(?m)^\s*pub(?:\([^)]*\))?\s+use\s+([^;]+);", production(file)):
                for path in branches(tree):
                    if (target := self.target(path, me)) and target[1]:
                        self.handed_on[me, target[1]] = target[0]

    def target(self, path: str, me: Module) -> tuple[Module, str] | None:
        """The module that a path leads to, and the name it takes from there."""
        words = absolute(path, me, self.files)
        for length in range(len(words or ()), 0, -1):
            if words and words[:length] in self.files:
                return words[:length], words[length] if length < len(words) else ""
        return None

    def arrows(self, me: Module) -> set[Module]:
        """The modules that a module names. A folder's own file hands its modules on, which is no arrow."""
        text = production(self.files[me])
        used = [path for tree in USES.findall(text) for path in branches(tree)]
        short = {path.rpartition("::")[2]: path for path in used}
        for path in re.findall(r"\b(?:\w+::)+\w+", USES.sub("", text)):
            first, _, rest = path.partition("::")
            used.append(f"{short[first]}::{rest}" if first in short else path)
        found = set()
        for path in used:
            if target := self.target(path, me):
                module, name = target
                while (further := self.handed_on.get((module, name), module)) != module:
                    module = further
                found.add(module)
        is_face = self.files[me].name == "mod.rs"
        return {module for module in found - {me} if not (is_face and module[: len(me)] == me)}

    def circle(self) -> list[str]:
        """One circle of files that name each other, in order; empty where there is none."""
        return ["/".join(module) for module in circle({me: self.arrows(me) for me in self.files})]
