"""The real oslo.messaging's notification listener: one JSON line for each notification, {"ready": true} first.

Arguments: transport URL, a JSON object {"targets": [[exchange, topic], ...], "pool": name or null, "durable": bool}.
All seven priorities. Ends with its standard input.
"""
import json
import logging
import sys
import threading

import oslo_messaging
from oslo_config import cfg

PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")


class Lines:
    """Callbacks come from many threads: one writes at a time."""

    def __init__(self, out):
        self.out = out
        self.lock = threading.Lock()

    def write(self, line):
        with self.lock:
            print(json.dumps(line), file=self.out, flush=True)


class Endpoint:
    """One method a priority; what it is given is what is written."""

    def __init__(self, lines):
        for priority in PRIORITIES:
            setattr(self, priority, self.method(priority, lines))

    @staticmethod
    def method(priority, lines):
        def called(ctxt, publisher_id, event_type, payload, metadata):
            lines.write({"priority": priority, "ctxt": ctxt, "publisher_id": publisher_id,
                         "event_type": event_type, "payload": payload, "metadata": metadata,
                         "payload_json": json.dumps(payload)})
        return called


def main():
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    url, options = sys.argv[1], json.loads(sys.argv[2])
    lines = Lines(sys.stdout)
    sys.stdout = sys.stderr
    conf = cfg.ConfigOpts()
    conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    conf.set_override("amqp_durable_queues", options["durable"], group="oslo_messaging_rabbit")
    # The options are read when a transport is made: made once more with them.
    transport.cleanup()
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    targets = [oslo_messaging.Target(exchange=exchange, topic=topic) for exchange, topic in options["targets"]]
    listener = oslo_messaging.get_notification_listener(
        transport, targets, [Endpoint(lines)], executor="threading", pool=options["pool"])
    listener.start()
    lines.write({"ready": True})
    sys.stdin.read()
    listener.stop()
    listener.wait()


main()
