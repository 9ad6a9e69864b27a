"""A page of the UI as a browser shows it: Chromium without a window, which runs the page's scripts and gives the text."""

from __future__ import annotations

import html
import re
import subprocess
import urllib.parse
from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,3000",
)


def page_text(program: str, base: str, path: str, folder: Path, budget_seconds: int = 20) -> str:
    """Log in, open a page, let its scripts work, and return the text that stands there.

    Args:
        program: Chromium.
        base: The URL of the API server.
        path: The page.
        folder: The browser's own folder.
        budget_seconds: How long the page may work, by the page's own clock.

    Returns:
        The text, with single blanks.
    """
    url = f"{base}/auth/token/login?{urllib.parse.urlencode({'next': base + path})}"
    command = [program, *FLAGS, f"--user-data-dir={folder}", f"--virtual-time-budget={budget_seconds * 1000}"]
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, timeout=240, check=True)
    shown = re.sub(r"<(script|style)\b.*?</\1>", " ", done.stdout, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", shown)).split())
