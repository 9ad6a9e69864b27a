"""Options made from the functions they are for: name, default and help are written once, there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import click

__all__ = ["examples", "option", "options", "reading", "row_limit"]

row_limit = click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="How many rows to print; 0 prints all.",
)


def examples(*lines: str) -> str:
    """Return the examples that stand below a command's help.

    Args:
        *lines: Commands, without the program's name.

    Returns:
        The epilog.
    """
    return "\n".join(["\b", "Examples:", *(f"  metropulse {line}" for line in lines)])


def option(function: Callable[..., Any], name: str, *declarations: str, **more: Any) -> Callable[[Any], Any]:
    """Make an option for an argument of a function.

    Args:
        function: The function; its docstring describes the argument.
        name: The argument. The option has its name, unless `declarations` say otherwise.
        *declarations: Other names of the option, as click takes them.
        **more: What click is told beyond or instead: ``type``, ``metavar``, ``multiple``.

    Returns:
        A decorator.
    """
    default = inspect.signature(function).parameters[name].default
    told: dict[str, Any] = {"help": _help(function, name) + (" May be repeated." if more.get("multiple") else "")}
    if default is inspect.Parameter.empty:
        told["required"] = True
    elif isinstance(default, bool):
        told["is_flag"] = True
    elif default is not None and default != ():
        told |= {"default": default, "show_default": True}
    return click.option(*(declarations or (f"--{name.replace('_', '-')}",)), **{**told, **more})


def reading(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """Make the options that say how the files of a source are read.

    Args:
        function: The function; its docstring describes them.

    Returns:
        A decorator.
    """
    switch = "--folder-columns/--no-folder-columns"
    return options(option(function, "plain_files"), option(function, "folder_columns", switch, default=True))


def options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Put several options into one decorator, in the order of the help.

    Args:
        *decorators: What `option` or `click.option` returned.

    Returns:
        A decorator.
    """

    def decorate(command: Any) -> Any:
        for one in reversed(decorators):
            command = one(command)
        return command

    return decorate


def _help(function: Callable[..., Any], name: str) -> str:
    """Return an argument's description, in the words of the command line."""
    text = inspect.getdoc(function) or ""  # python -OO keeps none
    found = re.search(rf"^    {name}: (.*?)(?=^    \w+: |^$|\Z)", text, re.MULTILINE | re.DOTALL)
    words = " ".join(found[1].split()) if found else ""
    known: Sequence[str] = list(inspect.signature(function).parameters)
    words = re.sub(r"(?<!`)`(\w+)`(?!`)", lambda m: f"--{m[1].replace('_', '-')}" if m[1] in known else m[1], words)
    return words.replace("``", "")
