"""How long a step took besides the native work, written down for the test."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from metropulse.airflow.operators import StageRawOperator


class TimedStageOperator(StageRawOperator):
    """Stages a day, and notes what `execute` took beyond its verb: by the clock, and of this thread's processor time."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Execute the step between two looks at the clocks."""
        clock, processor = time.monotonic(), time.thread_time()
        report = super().execute(context)
        line = {
            "unchanged": report["unchanged"],
            "clock_seconds": time.monotonic() - clock - report["seconds"],
            "processor_seconds": time.thread_time() - processor - self._verb_processor_seconds,
        }
        with Path(os.environ["METROPULSE_TEST_TIMES"]).open("a") as file:
            file.write(json.dumps(line) + "\n")
        return report

    def call(self, pipeline: Any, context: Any) -> Any:
        """Call the verb between two looks at the processor's clock."""
        began = time.thread_time()
        report = super().call(pipeline, context)
        self._verb_processor_seconds = time.thread_time() - began
        return report
