"""A browser whose network vanishes without a word: a network namespace whose only link is taken down."""

import json
import os
import shutil
import subprocess
import time

from scene import Scene, Watcher, assert_disconnected, check
from webdriver import until

SPACE, HERE, THERE = "chat-lost", "chat-lost0", "chat-lost1"
HOST, BROWSER = "10.231.77.1", "10.231.77.2"
KEEP_ALIVE = 500


def ip(words):
    return subprocess.run(["ip", *words.split()], capture_output=True, text=True)


def obstacle():
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "needs root and ip"
    made = ip(f"netns add {SPACE}")
    return None if made.returncode == 0 else made.stderr.strip()


def lost_network(program, chromium):
    """Takes the link down while tokens flow, and while only keep-alive comments do. Gives how long each took."""
    why = obstacle()
    if why:
        return f"skipped: {why}"
    scene = None
    try:
        for words in [f"link add {HERE} type veth peer name {THERE} netns {SPACE}", f"addr add {HOST}/30 dev {HERE}",
                      f"link set {HERE} up", f"-n {SPACE} addr add {BROWSER}/30 dev {THERE}"]:
            done = ip(words)
            check(done.returncode == 0, f"ip {words}: {done.stderr}")
        scene = Scene(program, HOST, KEEP_ALIVE)
        wishes = {"tokens": "interval_ms=100&length=5000", "comments": "first_token_ms=60000"}
        took = {name: vanish(scene, chromium, name, wish) for name, wish in wishes.items()}
        return ", ".join(f"{name}: noticed after {seconds * 1000:.0f} ms" for name, seconds in took.items())
    finally:
        if scene:
            scene.close()
        ip(f"link del {HERE}")
        ip(f"netns del {SPACE}")


def vanish(scene, chromium, name, wishes):
    ip(f"-n {SPACE} link set {THERE} up")
    watcher = Watcher(scene, name)
    page = f"{scene.url}/#client={name}&{wishes}&ask=why"
    command = ["ip", "netns", "exec", SPACE, chromium, "--headless=new", "--no-sandbox", "--disable-gpu",
               "--remote-debugging-port=0", f"--user-data-dir=/tmp/chat-lost-{os.getpid()}-{name}", page]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until("the browser's chat", lambda: has_chat(scene), 30)
        time.sleep(1)
        ip(f"-n {SPACE} link set {THERE} down")
        began = time.monotonic()
        assert_disconnected(watcher.hops(f"{name}.1"))
        took = time.monotonic() - began
        # A comment comes within one interval, and is given up after another.
        check(took < 2 * KEEP_ALIVE / 1000 + 2, f"{name}: noticed after {took:.1f} s")
        return took
    finally:
        os.killpg(browser.pid, 9)
        browser.wait()
        shutil.rmtree(f"/tmp/chat-lost-{os.getpid()}-{name}", ignore_errors=True)


def has_chat(scene):
    model = json.loads(scene.get("/scene/left"))["model"]
    return model and model["streams"]
