"""A headless Chromium, driven as a person would: keys, a picture, a download.

It speaks the browser's own DevTools protocol over two pipes, JSON messages ended by NUL. That needs no driver whose
version must match, no port, and nothing installed but the browser.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 20.0  # seconds, for a machine that has much else to do
FLAGS = (
    "--headless",
    "--no-sandbox",  # root, as containers are, is refused a sandbox; only our own page is opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--remote-debugging-pipe",
)
# The browser reads the protocol from 3 and writes it to 4.
CONNECT = "import os, sys; [os.dup2(int(sys.argv[n]), n + 2) for n in (1, 2)]; os.execvp(sys.argv[3], sys.argv[3:])"
CODES = {  # name of a key: (code, number, text)
    " ": ("Space", 32, " "),
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
}

ADVICE = (
    f"this test opens a page in Chromium, and none of {', '.join(NAMES)} is installed: install one "
    "(Debian: apt-get install chromium), or name it in the environment variable CHROMIUM"
)


def installed() -> str:
    """The browser that CHROMIUM names, or else the first there is.

    Without one the test that asks is skipped, or fails where QUARTERWAVE_BROWSER is `required`.
    """
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        (pytest.fail if os.environ.get("QUARTERWAVE_BROWSER") == "required" else pytest.skip)(ADVICE)
    return path


class Chromium:
    """A browser with one page.

    Attributes:
        downloads: the folder that they go to.
        requests: addresses that the page asked for.
        complaints: errors that the page's scripts raised or logged, and what the browser refused it.
    """

    def __init__(self, path: str, profile: Path, downloads: Path) -> None:
        self.downloads = downloads
        self.requests: list[str] = []
        self.complaints: list[str] = []
        reads, self._out = os.pipe()
        self._in, writes = os.pipe()
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (reads, writes)]  # out of the way of 3 and 4
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-S",
                "-c",
                CONNECT,
                *map(str, theirs),
                path,
                *FLAGS,
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (reads, writes, *theirs):
            os.close(end)
        self._received = b""
        self._n_sent = 0
        self._session = ""
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(info["targetId"] for info in targets if info["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._out)  # the browser ends with its pipe
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer; events on the way are noted."""
        self._n_sent += 1
        message: dict[str, Any] = {"id": self._n_sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(method)
            if answer.get("id") == self._n_sent:
                assert "error" not in answer, f"{method}: {answer}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _receive(self, method: str) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], PATIENCE)
            piece = os.read(self._in, 1 << 16) if ready else b""
            assert piece, f"{method}: Chromium gave no answer in {PATIENCE} s, or ended ({self._process.poll()})"
            self._received += piece
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(params["args"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(json.dumps(params["entry"]))

    def open(self, page: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for(f"location.href === {page.as_uri()!r} && document.readyState === 'complete'")

    def offline(self) -> None:
        """Take the network away."""
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def evaluate(self, script: str) -> Any:
        """Evaluate an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, f"{script}: {result}"
        return result["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until an expression is true in the page."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({script})"):
            assert time.monotonic() < until, f"still not so after {PATIENCE} s: {script}\n{self.text()}"
            time.sleep(0.02)

    def text(self) -> str:
        """What the page shows."""
        return str(self.evaluate("document.body.innerText"))

    def press(self, *keys: str) -> None:
        """Press and release keys, one after another."""
        for key in keys:
            code, number, text = CODES.get(key, (f"Key{key.upper()}", ord(key.upper()[0]), key))
            common = {"key": key, "code": code, "windowsVirtualKeyCode": number}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def tap(self, selector: str) -> None:
        """Touch the middle of the first element that a CSS selector finds."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[self._place(selector, 0.5)])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def click(self, selector: str, across: float = 0.5) -> None:
        """Click the first element that a CSS selector finds, at a share of its width."""
        for kind in ("mousePressed", "mouseReleased"):
            place = self._place(selector, across)
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def _place(self, selector: str, across: float) -> dict[str, float]:
        element = f"document.querySelector({selector!r})"
        self.evaluate(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.evaluate(f"{element}.getBoundingClientRect().toJSON()")
        return {"x": box["x"] + box["width"] * across, "y": box["y"] + box["height"] / 2}

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Show the page at a size, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=mobile)
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def picture(self, path: Path) -> None:
        """Write what the page shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
