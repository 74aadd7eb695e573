"""A real browser, told what to do over WebDriver (https://www.w3.org/TR/webdriver2/): no library, a few requests.

Chromium also keeps a log of what it asked the network for, so that "nothing is loaded from elsewhere" is looked at.
"""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from browser import chromium

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--allow-file-access-from-files",
)  # fmt: skip
DESKTOP, PHONE = (1280, 900), (390, 844)


class Browser:
    """One window."""

    def __init__(self, session):
        self._session = session

    def _ask(self, method, path, **body):
        return ask(method, f"{self._session}{path}", body if method == "POST" else None)

    def open(self, url):
        self._ask("POST", "/url", url=url)

    def script(self, text, *arguments):
        """What JavaScript returns."""
        return self._ask("POST", "/execute/sync", script=text, args=list(arguments))

    def asked(self):
        """Every address that was asked for since the last call, data: and about: left out."""
        entries = self._ask("POST", "/se/log", type="performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        urls = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if urlsplit(url).scheme not in {"data", "about", "chrome"}]

    def complaints(self):
        """What the console says of errors: a policy that was broken, a script that failed."""
        return [each["message"] for each in self._ask("POST", "/se/log", type="browser")]

    def first_paint_seconds(self):
        """From the beginning of the navigation to the first text or picture; waits for it."""
        deadline = time.monotonic() + 20
        while True:
            found = self.script("return performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)")
            if found:
                return found[0] / 1000
            assert time.monotonic() < deadline, "nothing was painted"
            time.sleep(0.05)

    def too_wide(self):
        """By how many pixels the page can be scrolled sideways."""
        return self.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


def ask(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)  # noqa: S310 - our driver's
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)["value"]


@contextmanager
def driver():
    """The address of a chromedriver; skips where there is none, except in CI."""
    if shutil.which("chromedriver") is None or chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("chromium and chromium-driver are not installed")
        pytest.skip("not checked: chromium and chromium-driver are not installed (Debian)")
    process = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                break
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@contextmanager
def window(address, size=DESKTOP, *, phone=False, script=True):
    """A window of this size; `phone` with the viewport of one."""
    options = {"args": [*FLAGS, f"--window-size={size[0]},{size[1]}"], "binary": chromium()}
    if phone:
        options["mobileEmulation"] = {"deviceMetrics": {"width": size[0], "height": size[1], "pixelRatio": 2.0}}
    if not script:
        options["prefs"] = {"profile.managed_default_content_settings.javascript": 2}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}}
    made = ask("POST", f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
    session = f"{address}/session/{made['sessionId']}"
    try:
        yield Browser(session)
    finally:
        ask("DELETE", session)
