"""Endpoints that fail in every way: no message is lost, and the listener goes on."""

import json
import signal
import socket
import time

from stage import PAYLOAD, UUID, OnStage, Sink, until

#: Fails at a message's first coming as its payload says, and prints it at the second.
FAILING = r"""
import os
import sys
from pathlib import Path
import k2hr3_osnl
from k2hr3_osnl.endpoint import NotificationResult

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    seen = set()

    def info(self, context, publisher_id, event_type, payload, metadata):
        how = payload['how']
        if how in Own.seen:
            print(how, flush=True)
            return NotificationResult.HANDLED
        Own.seen.add(how)
        if how == 'raise':
            raise ValueError('\x1b[31m%s')
        if how == 'exit':
            sys.exit(3)
        if how == 'interrupt':
            raise KeyboardInterrupt
        if how == 'fork':
            child = os.fork()
            if child == 0:
                return NotificationResult.HANDLED
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        if how == 'forkexit':
            child = os.fork()
            if child == 0:
                sys.exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        return 'REQUEUE'

conf = k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf'))
print(k2hr3_osnl.listen([Own(conf)]))
"""

#: Handles what says so, and is stuck otherwise.
STUCK = r"""
import logging
import time
from pathlib import Path
import k2hr3_osnl

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    def info(self, context, publisher_id, event_type, payload, metadata):
        print(payload['how'], flush=True)
        if payload['how'] == 'sleep':
            time.sleep(600)
        while payload['how'] == 'spin':
            pass
        return 'handled'

logging.basicConfig(level=logging.INFO)
conf = k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf'))
print(k2hr3_osnl.listen([Own(conf)]))
"""


class Hostile(OnStage):
    """One way to fail, or several at once."""

    def test_each_end_but_a_return_brings_the_message_again(self):
        """Exceptions, sys.exit, forks, and a misspelt result."""
        process = self.run_listing(FAILING)
        ways = ['exit', 'fork', 'forkexit', 'interrupt', 'raise', 'shout']
        for how in ways:
            self.publish({'how': how})
        lines = sorted(self.line(process).strip() for _ in ways)
        self.assertEqual(lines, ways, self.errors())
        self.assertEqual(self.stop(process), '0\n')

    def test_results_without_a_meaning_are_said_once(self):
        """oslo.messaging takes them as handled."""
        process = self.run_listing(r"""
from pathlib import Path
import k2hr3_osnl

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    def info(self, context, publisher_id, event_type, payload, metadata):
        print(payload, flush=True)
        return {'requeue': True}

k2hr3_osnl.listen([Own(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))])
""")
        for _ in range(2):
            self.publish()
            self.line(process)
        self.assertEqual(self.stop(process), '', 'neither came again')
        self.assertEqual(self.errors().count('Own.info returned a dict'), 1, self.errors())

    def test_a_method_that_is_stuck_holds_nothing_but_its_message(self):
        """Others are handled beside it, two Ctrl-C end the program, and the broker has the message."""
        for how in ('sleep', 'spin'):
            process = self.run_listing(STUCK)
            for way in (how, 'other'):
                self.publish({'how': way})
                self.assertEqual(self.line(process), f'{way}\n')
            stops = self.errors().count('Stopping')
            process.send_signal(signal.SIGINT)
            until(lambda: self.errors().count('Stopping') > stops, 'the first Ctrl-C')
            self.assertEqual(self.stop(process), '0\n')
            again = self.run_listing(STUCK.replace('while', 'if').replace('time.sleep(600)', 'pass'))
            self.assertEqual(self.line(again), f'{how}\n')
            self.stop(again)

    def test_a_reader_that_is_stuck_holds_nothing_but_its_message(self):
        """A later message is read and delivered beside it."""
        process = self.run_listing(r"""
import time
from pathlib import Path
import k2hr3_osnl

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    def _payload_to_params(self, payload):
        if payload['node'] is None:
            print('stuck', flush=True)
            time.sleep(600)
        return {'cuk': payload['node']}

k2hr3_osnl.listen([Own(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))])
""")
        self.publish({'node': None})
        self.assertEqual(self.line(process), 'stuck\n')
        self.publish({'node': UUID})
        until(lambda: Sink.seen, 'a DELETE')
        self.assertIn(f'cuk={UUID}', Sink.seen[0][0])
        self.stop(process)

    def test_a_k2hr3_that_does_not_answer_holds_no_second_ctrl_c(self):
        """It ends the program before the drain would, and the broker has the message."""
        listing = r"""
import logging
from pathlib import Path
import k2hr3_osnl

logging.basicConfig(level=logging.INFO)
conf = k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf'))
print(k2hr3_osnl.listen([k2hr3_osnl.K2hr3NotificationEndpoint(conf)]))
"""
        text = self.conf.read_text(encoding='utf-8')
        with socket.create_server(('127.0.0.1', 0)) as silent:
            silent.settimeout(60)
            for old, new in ((f':{self.server.server_port}/', f':{silent.getsockname()[1]}/'),
                             ('timeout_seconds = 5', 'timeout_seconds = 600')):
                self.assertIn(old, text)
                self.conf.write_text(self.conf.read_text(encoding='utf-8').replace(old, new), encoding='utf-8')
            process = self.run_listing(listing)
            self.publish()
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                until(lambda: 'Stopping' in self.errors(), 'the first Ctrl-C')
                begun = time.monotonic()
                self.assertEqual(self.stop(process), '0\n')
                self.assertLess(time.monotonic() - begun, 20, 'the drain takes 30 s')
        self.conf.write_text(text, encoding='utf-8')
        again = self.run_listing(listing)
        until(lambda: Sink.seen, 'a DELETE')
        self.stop(again)

    def test_a_call_under_way_ends_after_ctrl_c(self):
        """Its result counts."""
        process = self.run_listing(r"""
import time
from pathlib import Path
import k2hr3_osnl

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    def info(self, context, publisher_id, event_type, payload, metadata):
        print('begun', flush=True)
        time.sleep(1)
        print('ended', flush=True)

print(k2hr3_osnl.listen([Own(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))]))
""")
        self.publish()
        self.assertEqual(self.line(process), 'begun\n')
        self.assertEqual(self.stop(process), 'ended\n0\n')

    def test_names_from_outside_do_nothing(self):
        """Formats, escapes, line ends, and length."""
        self.conf.write_text(self.conf.read_text().replace(r'^port\.delete\.end$', '^port'))
        process = self.run_listing(r"""
import json
from pathlib import Path
import k2hr3_osnl

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    calls = 0

    def info(self, context, publisher_id, event_type, payload, metadata):
        Own.calls += 1
        if Own.calls == 1:
            raise ValueError(event_type)
        print(json.dumps([publisher_id, event_type, payload]), flush=True)

k2hr3_osnl.listen([Own(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))])
""")
        event = 'port\n\x1b[31m%s%(x)s{0}\u202e' + 'x' * 50_000
        self.publish(event_type=event, publisher_id='network\x07\u2028$(id)')
        expected = ['network\x07\u2028$(id)', event, PAYLOAD]
        self.assertEqual(json.loads(self.line(process)), expected)
        self.stop(process)

    def test_a_thread_that_the_system_refuses_the_engine(self):
        """It is an exception, as with a thread of Python."""
        process = self.run_listing(r"""
import os
from pathlib import Path
import k2hr3_osnl

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    def info(self, context, publisher_id, event_type, payload, metadata):
        pass

# No stack is as large.
os.environ['RUST_MIN_STACK'] = str(1 << 47)
conf = k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf'))
endpoint = k2hr3_osnl.K2hr3NotificationEndpoint(conf)
payload = {'device_id': '12345678-1234-5678-1234-567812345678'}
for call in (lambda: k2hr3_osnl.listen([endpoint]),
             lambda: k2hr3_osnl.listen([Own(conf)]),
             lambda: endpoint.info({}, 'network.a', 'port.delete.end', payload, {})):
    try:
        print(call())
    except RuntimeError as error:
        print(error)
""")
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, self.errors())
        lines = out.splitlines()
        self.assertEqual(len(lines), 3, out)
        for line in lines:
            self.assertTrue(line.startswith('the engine cannot start: the system refuses another thread: '), line)
        self.assertNotIn('panicked', self.errors())

    def test_a_thread_that_the_system_refuses_a_call(self):
        """The thread that is there makes the calls."""
        self.conf.write_text(self.conf.read_text().replace(r'^port\.delete\.end$', '^port'))
        process = self.run_listing(r"""
import threading
from pathlib import Path
import k2hr3_osnl

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    def info(self, context, publisher_id, event_type, payload, metadata):
        print(event_type, flush=True)

def refuse(thread):
    raise RuntimeError("can't start new thread")

def once(thread, start=threading.Thread.start):
    threading.Thread.start = refuse
    start(thread)

threading.Thread.start = once
k2hr3_osnl.listen([Own(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))])
""")
        for event in ('port.first', 'port.second'):
            self.publish(event_type=event)
            self.assertEqual(self.line(process), f'{event}\n')
        self.stop(process)

    def test_the_interpreter_is_free_while_the_library_waits(self):
        """Another thread runs during listen."""
        process = self.run_listing(r"""
import threading
from pathlib import Path
import k2hr3_osnl

def beside():
    for _ in range(100):
        threading.Event().wait(0.001)
    print('ran', flush=True)

threading.Thread(target=beside).start()
conf = k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf'))
k2hr3_osnl.listen([k2hr3_osnl.K2hr3NotificationEndpoint(conf)])
""")
        self.assertEqual(self.line(process), 'ran\n')
        self.publish()
        self.stop(process)
