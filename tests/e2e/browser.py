"""A headless Chromium, driven by its DevTools protocol.

    async with Browser() as browser:
        page = await browser.open(url, width=390)

A page remembers what went wrong in it (`errors`) and what it asked for
(`requests`).  Clicks are of the mouse, at where the element is.
"""
import asyncio
import base64
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile

import websockets

PATIENCE = 60


def end_with_parent():
    """In a child: die when the parent does, also by a test's time limit."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Page:
    def __init__(self, socket):
        self.socket = socket
        self.number = 0
        self.answers = {}
        self.errors = []
        self.requests = []
        self.reader = asyncio.ensure_future(self.read())

    async def read(self):
        async for text in self.socket:
            message = json.loads(text)
            if "id" in message:
                self.answers.pop(message["id"]).set_result(message)
            else:
                self.note(message["method"], message["params"])

    def note(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(str(params["entry"]))
        elif method == "Runtime.consoleAPICalled":
            if params["type"] in ("error", "warning", "assert"):
                self.errors.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    async def do(self, method, **params):
        self.number += 1
        answer = asyncio.get_running_loop().create_future()
        self.answers[self.number] = answer
        await self.socket.send(json.dumps(
            {"id": self.number, "method": method, "params": params}))
        message = await asyncio.wait_for(answer, PATIENCE)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    async def js(self, expression):
        """The value of EXPRESSION, which may be a promise."""
        result = await self.do("Runtime.evaluate", expression=expression,
                               returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def wait(self, expression):
        """Wait until EXPRESSION is true."""
        for _ in range(PATIENCE * 20):
            if await self.js(expression):
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"never came true: {expression}")

    async def size(self, width, height=844):
        await self.do("Emulation.setDeviceMetricsOverride", width=width,
                      height=height, deviceScaleFactor=1, mobile=width < 600)

    async def scheme(self, name):
        await self.do("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": name}])

    async def point(self, selector, x=0.5, y=0.5):
        """Where in the window the element is, scrolled into it."""
        quoted = json.dumps(selector)
        box = await self.js(f"""(() => {{
            const element = document.querySelector({quoted});
            element.scrollIntoView({{ block: "center" }});
            const box = element.getBoundingClientRect();
            return [box.x, box.y, box.width, box.height];
        }})()""")
        return box[0] + box[2] * x, box[1] + box[3] * y

    async def mouse(self, kind, x, y, **more):
        await self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    async def click(self, selector):
        x, y = await self.point(selector)
        await self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.mouse(kind, x, y, button="left", clickCount=1)

    async def key(self, key):
        text = key if len(key) == 1 else None
        code = ord(key.upper()) if text else {"Tab": 9, "Enter": 13}[key]
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.do("Input.dispatchKeyEvent", type=kind, key=key,
                          windowsVirtualKeyCode=code, **more)

    async def shot(self, path, whole=False):
        result = await self.do("Page.captureScreenshot", format="png",
                               captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(result["data"]))

    async def shot_whole(self, path, width, most=8000):
        """All of the page, WIDTH wide, or its first MOST lines."""
        height = await self.js("document.documentElement.scrollHeight")
        await self.size(width, min(height, most))
        await asyncio.sleep(0.5)
        await self.shot(path)


class Browser:
    async def __aenter__(self):
        self.folder = tempfile.mkdtemp(prefix="chromium.")
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-extensions",
             "--disable-component-update", "--disable-sync",
             "--remote-debugging-port=0", f"--user-data-dir={self.folder}",
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, preexec_fn=end_with_parent,
            env=dict(os.environ, HOME=self.folder, TMPDIR=self.folder))
        loop = asyncio.get_running_loop()
        self.address = await asyncio.wait_for(
            loop.run_in_executor(None, self.find), PATIENCE)
        return self

    def find(self):
        """Where it listens; the rest of what it says is for nobody."""
        for line in self.process.stderr:
            if line.startswith(b"DevTools listening on "):
                return line.split()[-1].decode()
        raise RuntimeError("chromium does not begin")

    async def open(self, url, width=1280, scheme="light"):
        self.socket = await websockets.connect(
            self.address, max_size=None, ping_interval=None)
        whole = Page(self.socket)
        target = await whole.do("Target.createTarget", url="about:blank")
        name = target["targetId"]
        address = self.address.split("/devtools/")[0]
        page = Page(await websockets.connect(
            f"{address}/devtools/page/{name}", max_size=None,
            ping_interval=None))
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.do(f"{domain}.enable")
        await page.size(width)
        await page.scheme(scheme)
        await page.do("Page.navigate", url=url)
        await page.wait('location.href !== "about:blank" && '
                        'document.readyState === "complete"')
        return page

    async def __aexit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
