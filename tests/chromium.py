"""A headless Chromium, driven through its DevTools protocol over two pipes: no socket, no package.

with Browser(folder) as browser:
    page = browser.open(path, width=800, dark=True)
    page.run("document.title")
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome") if os.name == "posix" else ()  # pipes by number
FOUND = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync"),
    *("--force-color-profile=srgb", "--remote-debugging-pipe"),
)
PATIENCE = 60  # seconds that an answer may take on a machine with other work


class Browser:
    """A browser of its own profile in ``folder``; a context, which ends the browser that it started."""

    def __init__(self, folder):
        asks, self._asks = os.pipe()
        self._answers, answers = os.pipe()
        # the browser reads file 3 and writes file 4: a shell puts our pipes there
        command = f'exec "$@" 3<&{asks} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", FOUND, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(asks, answers),
            env=os.environ | {"HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(asks)
        os.close(answers)
        self._count, self._rest, self.events = 0, b"", []

    def __enter__(self):
        try:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for part in ("Page", "Runtime", "Log", "Network"):
                self.tell(f"{part}.enable")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *failure):
        try:
            self.ask("Browser.close")
            self._process.wait(PATIENCE)
        finally:
            self._end()

    def _end(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._asks)
        os.close(self._answers)

    def ask(self, method, session=None, **params):
        """The answer to one command; what else happens meanwhile is kept in ``events``."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._asks, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def tell(self, method, **params):
        """A command to the one page that there is."""
        return self.ask(method, self._session, **params)

    def _next(self):
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            if not select.select([self._answers], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError(f"chromium: no answer within {PATIENCE} s")
            read = os.read(self._answers, 1 << 20)
            if not read:
                raise EOFError(f"chromium ended, exit status {self._process.wait()}")
            self._rest += read
        answer, _, self._rest = self._rest.partition(b"\0")
        return json.loads(answer)

    def open(self, path, *, width=800, height=900, dark=False, media="screen"):
        """Show the file ``path`` in a window of this size and theme; returns when it is loaded -> self."""
        self.resize(width, height)
        self.turn(dark, media)
        self.events.clear()
        loader = self.tell("Page.navigate", url=path.as_uri())["loaderId"]
        while not self._loaded(loader):
            self.events.append(self._next())
        return self

    def _loaded(self, loader):
        return (
            any(event.get("method") == "Page.frameStoppedLoading" for event in self.events)
            and self.run("document.readyState") == "complete"
        )

    def resize(self, width, height=900):
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def turn(self, dark, media="screen"):
        """The reader's theme becomes dark or light; the ``media``, "screen" or "print"."""
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.tell("Emulation.setEmulatedMedia", media=media, features=theme)

    def run(self, expression):
        """The value of a JavaScript expression in the page, as JSON brings it."""
        found = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:600])
        return found["result"].get("value")

    def press(self, key):
        """Press and release a key by its name: "Tab", "ArrowRight"."""
        code = {"Tab": 9, "ArrowLeft": 37, "ArrowRight": 39}[key]
        for kind in ("keyDown", "keyUp"):
            self.tell("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, clip=None):
        """A PNG as bytes: of the window, of the box ``clip`` (x, y, width, height), or of the "page"."""
        params = {"format": "png", "captureBeyondViewport": clip is not None}
        if clip == "page":
            clip = self.run(
                "[0,0,document.documentElement.scrollWidth,document.documentElement.scrollHeight]"
            )
        if clip:
            params["clip"] = dict(zip(("x", "y", "width", "height"), clip)) | {"scale": 1}
        return base64.b64decode(self.tell("Page.captureScreenshot", **params)["data"])

    def complaints(self):
        """What went to the console, refusals of the security policy, requests beyond the page itself."""
        self.run("new Promise(done => setTimeout(done, 30))")  # what is under way arrives
        told, asked = [], []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.consoleAPICalled":
                told.append(f"console.{params['type']}: {[a.get('value') for a in params['args']]}")
            elif method == "Runtime.exceptionThrown":
                told.append(params["exceptionDetails"]["text"])
            elif method == "Log.entryAdded":
                told.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                asked.append(params["request"]["url"])
        return told + [f"requested {url[:80]}" for url in asked[1:] if not url.startswith("data:")]
