"""What all tests have: a broker, a K2HR3 that answers, a configuration, and programs on the library.

Run in an environment that has only the two wheels. OSNL_BROKER is the URL of a broker; `osnl` of this environment
publishes.
"""

import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

BROKER = os.environ['OSNL_BROKER']
BIN = Path(sys.executable).parent
UUID = '12345678-1234-5678-1234-567812345678'
PAYLOAD = {'port': {'device_id': UUID, 'fixed_ips': [{'ip_address': '172.16.0.1'}]}}
HERE = Path(__file__).parent
MANUAL = HERE.parents[2] / 'fixtures/k2hr3/manual'

# Children inherit it: a shell ignores Ctrl-C in what runs in the background, and Python then leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Sink(http.server.BaseHTTPRequestHandler):
    """K2HR3, as far as a DELETE goes."""

    seen = []
    #: The statuses of the next answers, before 204.
    refusals = []

    def do_DELETE(self):  # noqa: N802
        """Keep the request."""
        Sink.seen.append((self.path, self.headers))
        self.send_response(Sink.refusals.pop(0) if Sink.refusals else 204)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def until(condition, what):
    """Wait for a condition, at most 60 s."""
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f'in vain for 60 s: {what}')
        threading.Event().wait(0.05)


class OnStage(unittest.TestCase):
    """One configuration and one exchange for each test."""

    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Sink)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        Sink.seen.clear()
        Sink.refusals.clear()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.exchange = f'wheel-{os.getpid()}-{self._testMethodName}'
        text = (HERE / 'etc/k2hr3_osnl.conf').read_text(encoding='utf-8')
        url = f'http://127.0.0.1:{self.server.server_port}'
        for name, value in (('@BROKER@', BROKER), ('@NAME@', self.exchange), ('@SINK@', url)):
            text = text.replace(name, value)
        self.etc = Path(self.folder.name) / 'etc'
        self.etc.mkdir()
        self.stderr = open(Path(self.folder.name) / 'stderr', 'a', encoding='utf-8')
        self.addCleanup(self.stderr.close)
        self.conf = self.etc / 'k2hr3_osnl.conf'
        self.conf.write_text(text, encoding='utf-8')

    def run_listing(self, text):
        """Run a program as the manual has it, in a folder that has etc/k2hr3_osnl.conf."""
        process = subprocess.Popen([sys.executable, '-c', text], cwd=self.folder.name, text=True,
                                   stdout=subprocess.PIPE, stderr=self.stderr)
        # In this order, from the last: killed, reaped, closed.
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def line(self, process):
        """Return the next line that it prints; it ends at the end of time."""
        timer = threading.Timer(60, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        self.assertTrue(line, self.errors())
        return line

    def publish(self, payload=None, priority='info', event_type='port.delete.end', publisher_id='network.host1'):
        """Publish as neutron does, once the queue is there."""
        self.send(self.exchange, '--event-type', event_type, '--publisher-id', publisher_id,
                  '--priority', priority, '--payload', json.dumps(payload or PAYLOAD))

    def send(self, exchange, *what):
        """Publish by the program, once the queue is there and bound."""
        command = [BIN / 'osnl', 'send', '--mandatory', '--transport-url', BROKER, '--exchange', exchange, *what]
        said = []

        def sent():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said[:] = [done.stdout + done.stderr]
            return done.returncode == 0
        until(sent, said)

    def stop(self, process):
        """End it by Ctrl-C; return what it printed."""
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, self.errors())
        return out

    def errors(self):
        """Return what went to the standard error of a listing."""
        return Path(self.stderr.name).read_text(encoding='utf-8')
