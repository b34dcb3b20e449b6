"""`chat` without a question, its processes, and what they say of a chat's end."""

import http.client
import json
import os
import signal
import subprocess
import threading

from webdriver import Failure, free_port, until

HOPS = ["gateway", "agent", "model", "retriever"]
PATHS = {
    "gateway": None,
    "agent": ["non-ttstream path", "gateway"],
    "model": ["non-ttstream path", "gateway", "agent"],
    "retriever": ["non-ttstream path", "gateway", "agent"],
}


def check(holds, what):
    if not holds:
        raise Failure(what)


class Scene:
    """`chat` without a question, its processes, and what they say."""

    def __init__(self, program, host="127.0.0.1", keep_alive=15000):
        self.host, self.port = host, free_port()
        self.url = f"http://{host}:{self.port}"
        command = [program, "--http", f"{host}:{self.port}", "--keep-alive", str(keep_alive)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        lines = [self.process.stderr.readline() for _ in range(3)]
        check("Open http://" in lines[2], f"chat did not start: {lines}")

    def get(self, path):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse().read()
        connection.close()
        return answer

    def processes(self):
        """Process ids by service."""
        found = {"gateway": self.process.pid}
        children = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split()
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            children += open(f"/proc/{self.process.pid}/task/{task}/children").read().split()
        for child in set(children):
            words = open(f"/proc/{child}/cmdline").read().split("\0")
            if "serve" in words:
                found[words[words.index("serve") + 1]] = int(child)
        return found

    def left(self):
        """File descriptors, and what the services have open: streams and tasks."""
        descriptors = {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in self.processes().items()}
        return descriptors, json.loads(self.get("/scene/left"))

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure("chat did not end within 15 s of SIGTERM")


class Watcher:
    """Reads /tree of one client, as the page does, and keeps the reports: those of a page that is gone, too."""

    def __init__(self, scene, client):
        self.reports = {}
        self.connection = http.client.HTTPConnection(scene.host, scene.port, timeout=60)
        self.connection.request("GET", f"/tree?client={client}")
        self.response = self.connection.getresponse()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        name = ""
        try:
            for line in self.response:
                line = line.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: ") and name == "report":
                    report = json.loads(line[6:])
                    self.reports.setdefault(report["chat"], {})[report["service"]] = report
        except (OSError, ValueError, AttributeError):
            pass

    def hops(self, chat):
        until(f"each hop's report of {chat}", lambda: len(self.reports.get(chat, {})) == len(HOPS))
        return self.reports[chat]


def assert_disconnected(hops):
    """Every hop ended with the client's disconnect, along the right path, and the model made nothing after it."""
    for name in HOPS:
        hop = hops[name]
        check(hop["end"] == "canceled" and hop["code"] == 12011, f"{name}: {hop}")
        check(hop["error"].endswith("client disconnected"), f"{name}: {hop['error']}")
        check(hop["path"] == PATHS[name], f"{name}: path {hop['path']}")
    check(hops["model"]["late"] == 0, f"tokens after the cancel: {hops['model']}")
