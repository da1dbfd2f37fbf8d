"""Starts a script per connection, as a process forked from this one, in which the real oslo.messaging is loaded.

Loading costs a second of CPU and a test binary starts some hundred scripts. Prints its abstract address as a line.
A connection's first line is {"script": text, "arguments": [...]}; from then on it is the script's standard input and
output. A script whose peer has gone is killed, then its connection is closed. Ends with its standard input.
"""
import gc
import json
import os
import select
import signal
import socket
import sys

import amqp
import kombu
import kombu.transport.pyamqp
import oslo_context.context
import oslo_messaging
import oslo_messaging._drivers.impl_rabbit
import oslo_messaging.notify.messaging
from oslo_config import cfg


def run(connection):
    header = b""
    while not header.endswith(b"\n"):
        # What is behind the line is the script's standard input.
        seen = connection.recv(65536, socket.MSG_PEEK)
        header += connection.recv(seen.find(b"\n") + 1 or len(seen))
    header = json.loads(header)
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    connection.close()
    sys.argv = ["-c", *header["arguments"]]
    exec(compile(header["script"], "script", "exec"), {"__name__": "__main__"})


def warm_up():
    """Makes a transport and a notifier, for which stevedore looks through all packages. Scripts inherit what it finds."""
    conf = cfg.ConfigOpts()
    conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
    transport = oslo_messaging.get_notification_transport(conf, url="rabbit://127.0.0.1:1/")
    oslo_messaging.Notifier(transport, driver="messagingv2", topics=["none"])
    transport.cleanup()


def main():
    warm_up()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(b"")
    listening.listen(128)
    # A child's end wakes the poll below.
    ended, wake = socket.socketpair()
    wake.setblocking(False)
    ended.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print(listening.getsockname()[1:].decode(), flush=True)
    poll = select.poll()
    for source in (0, listening, ended):
        poll.register(source, select.POLLIN)
    gc.freeze()
    scripts = {}

    def end(pid):
        connection = scripts.pop(pid)
        poll.unregister(connection)
        connection.close()

    while True:
        for source, _ in poll.poll():
            if source == 0:
                sys.exit()
            elif source == ended.fileno():
                ended.recv(4096)
                for pid in list(scripts):
                    if os.waitpid(pid, os.WNOHANG)[0]:
                        end(pid)
            elif source == listening.fileno():
                connection, _ = listening.accept()
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for other in (listening, ended, wake, *scripts.values()):
                        other.close()
                    return run(connection)
                scripts[pid] = connection
                poll.register(connection, select.POLLRDHUP)
            else:
                for pid, connection in list(scripts.items()):
                    if connection.fileno() == source:
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)
                        end(pid)


main()
