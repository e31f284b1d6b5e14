"""An instrumented model runs in a real browser, and what the page downloads is compared."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from browser import browser, complaints, requires_browser
from marks import requires_image, requires_onnx, requires_onnxruntime_web, requires_torch

import aligner

EXAMPLE = Path(__file__).parents[1] / "examples" / "12_onnxruntime_node"
_WAIT = 120


@contextmanager
def served(folder):
    """The folder at an address of this machine alone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def written(folder):
    spec = importlib.util.spec_from_file_location("example_12", EXAMPLE / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(folder)
    (folder / "node_modules").symlink_to(os.environ["ALIGNER_NODE_MODULES"])


@requires_browser
@requires_torch
@requires_onnx
@requires_image
@requires_onnxruntime_web
def test_onnxruntime_web_in_a_browser(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    written(folder)
    with served(folder) as address, browser(tmp_path / "profile") as driver:
        behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        driver.get(f"{address}/page.html")
        recording, until = tmp_path / "run.safetensors", time.monotonic() + _WAIT
        while time.monotonic() < until and not recording.exists():
            state = driver.find_element("id", "state").text
            assert state in {"running", "recorded"}, (state, complaints(driver))
            time.sleep(0.2)
        assert recording.exists(), complaints(driver)
    result = aligner.compare(folder / "network.pt", recording, dump_of=folder / "network.onnx")
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.name == "/body/Conv_output_0"
    assert result.causes[0].id == "padding-mode"
    clean = aligner.compare(folder / "network.onnx", recording, dump_of=folder / "tapped.onnx")
    assert clean.verdict == "aligned"
