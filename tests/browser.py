"""A headless Chromium that a test drives; tests skip where there is none."""

from __future__ import annotations

import importlib.util
import shutil
from contextlib import contextmanager

import pytest

_BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_DRIVER = shutil.which("chromedriver")

requires_browser = pytest.mark.skipif(
    not (_BINARY and _DRIVER and importlib.util.find_spec("selenium")), reason="needs Chromium, its driver and selenium"
)

_FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --force-color-profile=srgb""".split()


@contextmanager
def browser(profile, width=1500, height=1000):
    """A browser with an empty profile in a folder of the test's."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = _BINARY
    for flag in (*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def complaints(driver):
    """What the page said on its console since the last look; the browser's own pages, its new tab above all, may."""
    said = [entry["message"] for entry in driver.get_log("browser")]
    return [message for message in said if not message.startswith("chrome://")]
