"""How is a real browser asked what a page does?

Chromium without a screen, over the pipe of its DevTools protocol: no driver and no port. Nothing
of it calls home.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_FLAGS: Final = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--hide-scrollbars",
)
_ANSWER_S: Final = 30.0


def find_chromium() -> str | None:
    """Where a Chromium is installed, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One page in a browser of its own; ``errors`` are what its console complained of."""

    def __init__(self, chromium: str, *, width_px: int = 1280, height_px: int = 900) -> None:
        self.errors: list[str] = []
        self._stack = contextlib.ExitStack()
        self._last_id = 0
        self._unread = b""
        self._loaded = False
        self._process, self._to, self._from = self._start(chromium)
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self.resize(width_px, height_px)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser; safe to call twice."""
        self._process.kill()
        self._process.wait(timeout=_ANSWER_S)
        self._stack.close()

    def open(self, url: str) -> None:
        """Load a page, with everything that its load event waits for."""
        self._loaded = False
        self._call("Page.navigate", url="about:blank")
        self._wait(lambda: self._loaded)
        self._loaded = False
        self._call("Page.navigate", url=url)
        self._wait(lambda: self._loaded)

    def ask(self, expression: str) -> Any:
        """What a JavaScript expression comes to; a promise is waited for."""
        answer = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, timeout_s: float = 10.0) -> None:
        """Wait until a JavaScript expression holds."""
        deadline = time.monotonic() + timeout_s
        while not self.ask(expression):
            if time.monotonic() > deadline:
                raise AssertionError(f"still not so after {timeout_s} s: {expression}")

    def press(self, key: str) -> None:
        """Press and let go of a key, named as in ``KeyboardEvent.key``."""
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Escape": 27, "Enter": 13, "Tab": 9}
        code = codes.get(key, 0)
        for kind in ("rawKeyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def type_in(self, selector: str, text: str) -> None:
        """Type a text into a field."""
        self.ask(f"document.querySelector({json.dumps(selector)}).focus()")
        self._call("Input.insertText", text=text)

    def resize(self, width_px: int, height_px: int, *, phone: bool = False) -> None:
        """Give the page another size."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width_px,
            height=height_px,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def prefer(self, scheme: str) -> None:
        """Ask for the ``light`` or the ``dark`` colours."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def shoot(self, file: Path) -> None:
        """Save what is seen as PNG."""
        shot = self._call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))

    def _start(self, chromium: str) -> tuple[subprocess.Popen[bytes], int, int]:
        profile = self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        for end in (ours_out, ours_in):
            self._stack.callback(os.close, end)
        flags = [*_FLAGS, f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium's sandbox does not run as root
        # The protocol is spoken on the descriptors 3 and 4.
        command = 'exec "$0" "$@" 3<&{} 4>&{}'.format(theirs_in, theirs_out)  # noqa: UP032
        process = subprocess.Popen(
            ["/bin/bash", "-c", command, chromium, *flags],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        return process, ours_out, ours_in

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last_id += 1
        question: dict[str, Any] = {"id": self._last_id, "method": method, "params": params}
        if self._session:
            question["sessionId"] = self._session
        os.write(self._to, json.dumps(question).encode() + b"\0")
        answers: list[dict[str, Any]] = []
        self._wait(lambda: bool(answers), answers)
        if "error" in answers[0]:
            raise AssertionError(f"{method}: {answers[0]['error']}")
        result: dict[str, Any] = answers[0]["result"]
        return result

    def _wait(self, done: Any, answers: list[dict[str, Any]] | None = None) -> None:
        deadline = time.monotonic() + _ANSWER_S
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"the browser says nothing for {_ANSWER_S:.0f} s")
            for message in self._messages():
                if "id" in message:
                    if answers is not None and message["id"] == self._last_id:
                        answers.append(message)
                else:
                    self._note(message)

    def _messages(self) -> list[dict[str, Any]]:
        readable, _, _ = select.select([self._from], [], [], 0.5)
        if not readable:
            return []
        read = os.read(self._from, 1 << 20)
        if not read:
            raise AssertionError("the browser has ended")
        *whole, self._unread = (self._unread + read).split(b"\0")
        return [json.loads(message) for message in whole]

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event["method"], event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(json.dumps(params["args"]))
