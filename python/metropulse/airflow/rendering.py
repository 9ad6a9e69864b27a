"""What the UI shows of a task that works on one raw day."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from metropulse.airflow.partitions import resolve_partition
from metropulse.exceptions import ConfigError

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context

__all__ = ["ShowsDay"]


class ShowsDay:
    """Has the rendered templates show the day that a task takes, and labels a mapped task by it."""

    dt: str | None

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, jinja_env: Any, seen_oids: set[int]
    ) -> None:
        """Render, then name the day. Airflow calls this one for mapped tasks as well, so that it may be overridden."""
        render = super()._do_render_template_fields  # type: ignore[misc]
        render(parent, template_fields, context, jinja_env, seen_oids)
        if parent is not self:
            return
        with suppress(ConfigError):  # Where no day is named the task says so, when it asks for it.
            self.dt = resolve_partition(context, self.dt)
        if context.get("map_index_template") is None and getattr(context.get("ti"), "map_index", -1) >= 0:
            context["map_index_template"] = "{{ task.dt }}"
