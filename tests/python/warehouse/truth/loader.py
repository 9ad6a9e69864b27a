"""A process to be killed: for each verb on its input it forks a child that does it, and tells its number and end.

Forking from a process that has only imported the package costs milliseconds, where starting one costs a second.
"""

from __future__ import annotations

import json
import os
import sys

import metropulse as mp


def do(verb: str, settings: dict[str, object], day: str) -> None:
    """Load everything of one day that touches the warehouse, or take it out."""
    pipeline = mp.Pipeline(**settings)  # type: ignore[arg-type]
    if verb == "undo":
        pipeline.undo(day)
        return
    pipeline.stage(day)
    pipeline.load_dimensions(day)
    pipeline.load_facts(day)


def main() -> None:
    """Serve until the input ends."""
    settings, day = json.loads(sys.argv[1]), sys.argv[2]
    for verb in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                do(verb.strip(), settings, day)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
