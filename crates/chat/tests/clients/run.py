"""OpenAI's own client libraries as users of the chain: each stops a reply in mid-stream, and the chain ends.

Usage: run.py CHAT_PROGRAM PYTHON_WITH_THE_LIBRARY FOLDER_WITH_NODE_MODULES
"""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "browser"))

from scene import Scene, Watcher, assert_disconnected  # noqa: E402
from webdriver import Failure  # noqa: E402


def main():
    program, python, modules = sys.argv[1:]
    scene = Scene(program)
    watcher = Watcher(scene, "openai")
    # The library is found beside the script.
    script = shutil.copy(os.path.join(HERE, "client.mjs"), modules)
    clients = {"python": [python, os.path.join(HERE, "client.py")], "javascript": ["node", script]}
    failed = 0
    try:
        for name, command in clients.items():
            try:
                ended = subprocess.run([*command, scene.url], capture_output=True, text=True, timeout=60)
                if ended.returncode:
                    raise Failure(ended.stderr.strip())
                assert_disconnected(watcher.hops(ended.stdout.strip().removeprefix("chatcmpl-")))
                print(f"test openai_{name} ... ok")
            except Failure as error:
                failed += 1
                print(f"test openai_{name} ... FAILED: {error}")
    finally:
        scene.close()
    print(f"test result: {'FAILED' if failed else 'ok'}. {len(clients) - failed} passed; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
