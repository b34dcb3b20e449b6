"""The page of the chat in a real browser: every way of going away ends the whole chain, and the services say so.

Usage: run.py CHAT_PROGRAM FOLDER_FOR_SCREENSHOTS [--stops N] [--chats N]
Needs chromium and chromedriver. Exit status 0 if every check holds.
"""

import argparse
import math
import os
import re
import shutil
import sys
import time

from lost import lost_network
from scene import HOPS, Scene, Watcher, assert_disconnected, check
from upstream import upstream_closed
from webdriver import Browser, Failure, until

class Page:
    """The page in a browser."""

    def __init__(self, browser, scene):
        self.browser, self.scene = browser, scene
        self.load()

    def load(self):
        self.browser.open(self.scene.url)
        self.ready()

    def ready(self):
        until("the page's script", lambda: self.browser.run("return !!window.scene"))
        self.client = self.browser.run("return scene.client")

    def ask(self, **wishes):
        return self.browser.run("return scene.ask('why is the sky blue?', arguments[0]).id", wishes)

    def scenario(self, name):
        self.browser.click(f"[data-scenario={name}]")

    def chat(self, chat=None):
        script = """
            const chat = arguments[0] ? scene.chats.get(arguments[0]) : scene.shown();
            return chat && { id: chat.id, state: chat.state, tokens: chat.tokens, note: chat.note, clicked: chat.clicked,
                title: chat.title, passages: chat.passages, reports: Object.fromEntries(chat.reports) };"""
        return self.browser.run(script, chat)

    def tokens(self, chat, count):
        until(f"{count} tokens of {chat}", lambda: self.chat(chat)["tokens"] >= count)

    def reports(self, chat, names=HOPS):
        until(f"reports of {chat}", lambda: set(names) <= set(self.chat(chat)["reports"]))
        return self.chat(chat)["reports"]

    def nodes(self):
        script = "return [...document.querySelectorAll('#hops li')].map(li => [li.dataset.service, li.dataset.state, li.innerText])"
        return self.browser.run(script)


def stop_by_click(page):
    chat = page.ask(interval_ms=30, length=200)
    page.tokens(chat, 10)
    live = {name: state for name, state, _ in until("the tree", lambda: len(page.nodes()) == 5 and page.nodes())}
    check(live["model"] in ("open", "half closed"), f"the tree while a reply comes: {live}")
    page.browser.click("#stop")
    assert_disconnected(page.reports(chat))
    shown = {name: (state, text) for name, state, text in page.nodes()}
    for name in HOPS:
        check(shown[name][0] == "canceled" and "client disconnected" in shown[name][1], f"{name} shows {shown[name]}")


def stop_by_key(page):
    page.browser.run("document.getElementById('prompt').value = ''")
    page.browser.keys("#prompt", "why is the sea salty?\ue007")
    chat = page.chat()["id"]
    page.tokens(chat, 3)
    page.browser.keys("#prompt", "\ue00c")
    assert_disconnected(page.reports(chat))


def stop_before_the_first_token(page):
    page.scenario("first")
    chat = until("the chat", lambda: page.chat() and page.chat()["title"] == "before the first token" and page.chat()["id"])
    until("a stop", lambda: page.chat(chat)["state"] == "stopped")
    hops = page.reports(chat)
    assert_disconnected(hops)
    check(hops["model"]["tokens"] == 0, f"the model made tokens: {hops['model']}")


def go_away(page, leave):
    """`leave` makes the page go away; the services say what they saw to another client."""
    watcher = Watcher(page.scene, page.client)
    chat = page.ask(interval_ms=50, length=400)
    page.tokens(chat, 5)
    leave(page.browser)
    assert_disconnected(watcher.hops(chat))


def close_the_tab(page):
    browser = page.browser
    first = browser.ask("GET", "/window")
    tab = browser.ask("POST", "/window/new", {"type": "tab"})["handle"]
    browser.ask("POST", "/window", {"handle": tab})
    page.load()
    go_away(page, lambda browser: browser.ask("DELETE", "/window"))
    browser.ask("POST", "/window", {"handle": first})
    page.load()


def reload_the_page(page):
    go_away(page, lambda browser: browser.ask("POST", "/refresh", {}))
    page.ready()


def go_back(page):
    page.browser.open("about:blank")
    page.load()
    go_away(page, lambda browser: browser.ask("POST", "/back", {}))
    page.load()


def kill_the_model(page):
    page.scenario("kill")
    chat = until("the chat", lambda: page.chat() and page.chat()["title"] == "the model is killed" and page.chat()["id"])
    until("an error", lambda: page.chat(chat)["state"] == "failed")
    note = page.chat(chat)["note"]
    check("agent got no whole reply from model" in note, f"the page says: {note}")
    hops = page.reports(chat, ["gateway", "agent", "retriever"])
    check(hops["agent"]["end"] in ("failed", "canceled"), f"agent: {hops['agent']}")
    check(hops["retriever"]["end"] == "canceled", f"the other branch: {hops['retriever']}")

    def answers():
        again = page.ask(interval_ms=0, length=5)
        until("an end", lambda: page.chat(again)["state"] != "streaming")
        return page.chat(again)["state"] == "complete"

    until("the model is back", answers)


def one_of_a_hundred_users(page):
    page.scenario("crowd")
    chat = until("the chat", lambda: page.chat() and page.chat()["title"] == "one of 100" and page.chat()["id"])
    until("a stop", lambda: page.chat(chat)["state"] == "stopped")
    assert_disconnected(page.reports(chat))
    crowd = page.browser.run("return scene.crowd()")
    check(crowd["reading"] == 99, f"the others go on: {crowd}")
    done = lambda: page.browser.run("return scene.crowd()")["complete"] == 99
    until("99 whole replies", done, 60)
    crowd = page.browser.run("return scene.crowd()")
    check(crowd["failed"] == 0, f"the others: {crowd}")


def deadline(page):
    page.scenario("deadline")
    chat = until("the chat", lambda: page.chat() and page.chat()["title"] == "deadline" and page.chat()["id"])
    until("an end", lambda: page.chat(chat)["state"] == "failed")
    check("code 12015" in page.chat(chat)["note"], f"the page says: {page.chat(chat)['note']}")
    for name, hop in page.reports(chat).items():
        check(hop["end"] != "complete", f"{name}: {hop}")


def one_branch(page):
    page.scenario("branch")
    chat = until("the chat", lambda: page.chat() and page.chat()["title"] == "one branch" and page.chat()["id"])
    hops = page.reports(chat, ["retriever"])
    check(hops["retriever"]["code"] == 12008 and hops["retriever"]["path"] == ["agent"], f"retriever: {hops['retriever']}")
    check("enough passages" in hops["retriever"]["error"], f"retriever: {hops['retriever']}")
    until("an end", lambda: page.chat(chat)["state"] != "streaming")
    end = page.chat(chat)
    check(end["state"] == "complete" and len(end["passages"]) >= 2, f"the other branch goes on: {end}")


def slow_reader(page):
    page.scenario("slow")
    chat = until("the chat", lambda: page.chat() and page.chat()["title"] == "slow reader" and page.chat()["id"])
    time.sleep(3)
    made = lambda: page.browser.run("return (scene.chats.get(arguments[0]).hops.get('model') || {}).messages || 0", chat)
    end = page.chat(chat)
    before = made()
    time.sleep(2)
    facts = f"state {end['state']}, note {end['note']}, made {before}, then {made()}, shown {end['tokens']}"
    # The reply has 2,000,000 tokens: that they are not all made is what a slow reader must do.
    check(before < 1900000, f"the model runs ahead of its reader: {facts}")
    if end["state"] == "streaming":
        page.browser.click("#stop")
    until("each hop's end", lambda: len(page.chat(chat)["reports"]) == len(HOPS))
    return facts


def fast_reply(page):
    """A model without a pause does not block the page: it goes on counting, and Stop works."""
    chat = page.ask(interval_ms=0, length=2000000)
    page.tokens(chat, 1000)
    began = time.monotonic()
    page.browser.click("#stop")
    clicked = time.monotonic() - began
    hops = page.reports(chat)
    assert_disconnected(hops)
    check(clicked < 30, f"the page took {clicked:.1f} s to handle a click")
    return f"click handled within {clicked * 1000:.0f} ms, after {page.chat(chat)['tokens']} tokens"


def stops_in_time(page, count):
    """From the click to the last hop's handler."""
    times, late = [], 0
    for _ in range(count):
        chat = page.ask(interval_ms=5, length=1000)
        page.tokens(chat, 3)
        page.browser.click("#stop")
        hops = page.reports(chat)
        assert_disconnected(hops)
        times.append(max(hop["ts"] / 1e6 for hop in hops.values()) - page.chat(chat)["clicked"])
        late += hops["model"]["late"]
    times.sort()
    return times, late


def nothing_is_left(page, scene, count):
    """Stopped chats leave no stream, no task and no file descriptor."""

    def settled():
        before = scene.left()
        time.sleep(0.5)
        return before if scene.left() == before and not any(part["streams"] for part in before[1].values()) else None

    script = """
        const lane = async () => {
            while (left > 0) {
                left -= 1;
                const chat = scene.ask('why is the sky blue?', { interval_ms: 1, length: 10000 });
                while (chat && chat.state === 'streaming' && chat.tokens < 2) await new Promise(done => setTimeout(done, 1));
                scene.stop(chat);
            }
        };
        let left = arguments[0];
        await Promise.all([lane(), lane(), lane()]);"""
    page.browser.run(script, 20)
    before = until("rest", settled)
    for _ in range(count // 100):
        page.browser.run(script, 100)
    after = until("rest", settled)
    for name, descriptors in before[0].items():
        check(after[0][name] <= descriptors + 2, f"file descriptors of {name}: {descriptors} before, {after[0][name]} after")
    for name, part in before[1].items():
        check(after[1][name]["tasks"] <= part["tasks"] + 2, f"tasks of {name}: {part} before, {after[1][name]} after")
    return before, after


def screenshots(page, folder):
    browser = page.browser

    def picture(name, width, height, mobile=False, scheme="light"):
        browser.size(width, height, mobile)
        browser.scheme(scheme)
        page.load()
        chat = page.ask(interval_ms=20, length=150)
        page.tokens(chat, 40)
        browser.screenshot(os.path.join(folder, f"{name}-streaming.png"))
        browser.click("#stop")
        page.reports(chat)
        time.sleep(0.8)
        browser.screenshot(os.path.join(folder, f"{name}-stopped.png"))
        wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        check(wide <= 0, f"{name}: the page is {wide} px wider than the screen")

    picture("desktop", 1100, 760)
    picture("dark", 1100, 760, scheme="dark")
    picture("phone", 390, 844, mobile=True)
    browser.cdp("Emulation.clearDeviceMetricsOverride")
    browser.scheme("light")
    page.load()


def accessible(page):
    script = """
        const bare = [...document.querySelectorAll('button, input, [role]')].filter(element => {
            const labelled = element.labels && element.labels.length;
            return !(labelled || element.innerText.trim() || element.ariaLabel || element.role === 'status' || element.role === 'tabpanel');
        });
        return bare.map(element => element.outerHTML);"""
    check(page.browser.run(script) == [], "controls without a name")
    check(page.browser.run("return document.documentElement.lang") == "en", "no language")
    outside = "return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith(location.origin))"
    check(page.browser.run(outside) == [], "assets from elsewhere")


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("program")
    words.add_argument("folder")
    words.add_argument("--stops", type=int, default=100)
    words.add_argument("--chats", type=int, default=1000)
    words.add_argument("--p99", type=float, default=20.0, help="milliseconds from a click to the last hop")
    words.add_argument("--upstream", type=float, default=50.0, help="milliseconds from a click to the end of an upstream request")
    options = words.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    scene = Scene(options.program)
    browser = Browser(shutil.which("chromedriver"), chromium)
    passed = failed = 0

    def attempt(name, work):
        nonlocal passed, failed
        began = time.monotonic()
        try:
            said = work()
            passed += 1
            print(f"test {name} ... ok ({time.monotonic() - began:.1f} s){f': {said}' if said else ''}", flush=True)
        except (Failure, OSError) as error:
            failed += 1
            print(f"test {name} ... FAILED: {error}", flush=True)
            browser.screenshot(os.path.join(options.folder, f"failed-{name}.png"))

    def stops():
        times, late = stops_in_time(page, options.stops)
        # By nearest rank: 99 of 100 took at most so long.
        at = lambda share: times[max(0, math.ceil(len(times) * share) - 1)]
        said = f"{len(times)} stops, ms from click to last hop: median {at(.5):.1f}, p99 {at(.99):.1f}, max {times[-1]:.1f}; {late} tokens after the cancel"
        check(at(.99) < options.p99 and late == 0, said)
        return said

    def upstream():
        times = upstream_closed(options.program, lambda scene: Page(browser, scene), options.stops)
        said = f"{len(times)} stops, ms from click to the end of the upstream request: median {times[len(times) // 2]:.1f}, max {times[-1]:.1f}"
        check(times[-1] < options.upstream, said)
        return said

    def left():
        before, after = nothing_is_left(page, scene, options.chats)
        return f"after {options.chats} stopped chats: {after}"

    try:
        page = Page(browser, scene)
        for work in [stop_by_click, stop_by_key, stop_before_the_first_token, close_the_tab, reload_the_page, go_back,
                     kill_the_model, one_of_a_hundred_users, deadline, one_branch, slow_reader, fast_reply, accessible]:
            attempt(work.__name__, lambda: work(page))
        attempt("stops_in_time", stops)
        attempt("nothing_is_left", left)
        attempt("upstream_request_is_closed", upstream)
        page.load()
        attempt("lost_network", lambda: lost_network(options.program, chromium))
        attempt("screenshots", lambda: screenshots(page, options.folder))
        errors = [error for error in browser.errors() if not re.search("503|ERR_CONNECTION|net::ERR", error)]
        attempt("no_errors_in_the_console", lambda: check(not errors, errors))
    finally:
        browser.close()
        scene.close()
    print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
