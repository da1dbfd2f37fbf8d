"""What the on-ramps' tests have in common: each script gets the work folder and the repository as arguments."""

import http.server
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

WORK, ROOT = (pathlib.Path(path) for path in sys.argv[1:3])
OSNL, URL, PORT = (os.environ[name] for name in ("OSNL", "BROKER_URL", "BROKER_PORT"))
BEGIN = [time.monotonic()]


def step(words):
    now = time.monotonic()
    print(f"package: {words:<66} {(now - BEGIN[0]) * 1000:6.0f} ms", flush=True)
    BEGIN[0] = now


def same(found, expected, words):
    if found != expected:
        sys.exit(f"package: FAILED: {words}: found {found!r}, expected {expected!r}")


def run(*command, ok=True, **options):
    """Returns the output of a command, which must succeed, or must not."""
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, **options)
    if (done.returncode == 0) != ok:
        sys.exit(f"package: FAILED: {' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def soon(holds, words):
    deadline = time.monotonic() + 120
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"package: FAILED: in vain for 120 s: {words}")
        time.sleep(0.05)


def send(url, exchange, event_type):
    run(OSNL, "send", "--transport-url", url, "--exchange", exchange, "--event-type", event_type, "--declare",
        "--payload", '{"instance_id": "i-1"}')


def block(page, name):
    """Returns the block of a page of the book that is the file `name`."""
    text = (ROOT / "docs" / page).read_text()
    return re.search(rf"^```\w+ file={re.escape(name)}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[1]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Target(http.server.BaseHTTPRequestHandler):
    """Keeps the paths of requests, and answers 204."""

    def do_POST(self):
        self.server.paths.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_words):
        pass


def receiver():
    """Returns a target of webhooks with its `url` and the `paths` that were asked for."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Target)
    server.url, server.paths = f"http://127.0.0.1:{server.server_port}/", []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
