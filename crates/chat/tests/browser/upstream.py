"""How long after a click on Stop the model's request to an OpenAI endpoint is closed. The endpoint is a socket here."""

import json
import os
import select
import socket
import threading
import time

from scene import Scene, check
from webdriver import until


class Endpoint:
    """Answers each request with a stream of tokens, and notes when the client closes it."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        self.closed = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client):
        event = "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]}) + "\n\n"
        chunk = f"{len(event):x}\r\n{event}\r\n".encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                request += client.recv(65536)
            # What is left of the request is read below, with the end of the connection.
            client.sendall(head)
            pause = 0
            while True:
                if select.select([client], [], [], pause)[0] and not client.recv(65536):
                    break
                client.sendall(chunk)
                pause = 0.01
        except OSError:
            pass
        self.closed.append(time.time() * 1000)
        client.close()


def upstream_closed(program, page_of, count):
    """Gives the times from the click to the end of the upstream request, in milliseconds, in order."""
    endpoint = Endpoint()
    os.environ["OPENAI_BASE_URL"] = endpoint.url
    scene = None
    try:
        scene = Scene(program)
        page = page_of(scene)
        times = []
        for _ in range(count):
            before = len(endpoint.closed)
            chat = page.ask()
            page.tokens(chat, 3)
            page.browser.click("#stop")
            until("the end of the upstream request", lambda: len(endpoint.closed) > before)
            times.append(endpoint.closed[before] - page.chat(chat)["clicked"])
            page.reports(chat)
        check(len(endpoint.closed) == count, f"one request a chat: {len(endpoint.closed)} of {count}")
        return sorted(times)
    finally:
        del os.environ["OPENAI_BASE_URL"]
        endpoint.socket.close()
        if scene:
            scene.close()
