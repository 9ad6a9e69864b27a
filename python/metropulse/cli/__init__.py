"""The command line ``metropulse``: the verbs of `Pipeline`, the demo, and the embedded engines.

Exit codes say what the caller can do:

====  =========================================================
code  meaning
====  =========================================================
0     done (also when there was nothing to do)
1     a defect of metropulse itself
2     wrong usage or configuration
3     the partition, file or table is not there
4     columns or types of the input cannot become ours
5     values of the input break a promise
6     a quality check failed
7     another run holds the lock: run again
8     the lake could not be read or written
9     PostgreSQL or ClickHouse refused or went away
130   stopped by Ctrl-C
143   stopped by SIGTERM
====  =========================================================
"""

from __future__ import annotations

from metropulse.cli.app import cli, main

__all__ = ["cli", "main"]
