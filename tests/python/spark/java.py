"""The Java that Spark's own scripts would start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

LEAST = 17


def why_not() -> str | None:
    """Say why Spark cannot run by this machine's Java; None: it can."""
    home = os.environ.get("JAVA_HOME")
    program = shutil.which(f"{home}/bin/java" if home else "java")
    if program is None:
        return f"Spark needs Java {LEAST}, and there is no java {f'in JAVA_HOME ({home})' if home else 'on the PATH'}"
    told = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', told)
    if version is None or int(version[1]) < LEAST:
        return f"Spark needs Java {LEAST}, and {program} is {version[1] if version else told.strip() or 'none'}"
    return None
