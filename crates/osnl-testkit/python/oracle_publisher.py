"""Publishes numbered port deletions, one at a time, each until the broker has confirmed it and a queue has it.

Arguments: ports of the broker's nodes with commas between them, virtual host, messages per second, keys, seed, other keys.
Of the other keys, if there are any, come bursts, and few events between them. Ends with its standard input. Writes the
number of each message that has been confirmed, in order; one whose confirm was lost is published again with the same
ids, by the next node.
"""

import itertools
import json
import random
import sys
import threading
import time

import amqp

ports, vhost, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
keys, seed, others = map(int, sys.argv[4:7])
# The length of a burst in seconds, and the share of the other keys between two bursts.
BURST, BETWEEN = 3, 0.02
port = itertools.cycle(ports.split(","))
chance = random.Random(seed)
over = threading.Event()


def wait_for_the_end():
    sys.stdin.read()
    over.set()


threading.Thread(target=wait_for_the_end, daemon=True).start()


burst = time.monotonic() + chance.uniform(10, 20) if others else float("inf")


def key_now():
    global burst
    since = time.monotonic() - burst
    if since > BURST:
        burst = time.monotonic() + chance.uniform(12, 25)
    if 0 <= since <= BURST or others and chance.random() < BETWEEN:
        return keys + chance.randrange(others)
    return chance.randrange(keys)


def body(number):
    key = key_now()
    message = {
        "message_id": "10000000-0000-4000-8000-%012x" % number,
        "publisher_id": "network.node1",
        "event_type": "port.delete.end",
        "priority": "INFO",
        "payload": {
            "port": {
                "id": "port-%d" % key,
                "device_id": "00000000-0000-4000-8000-%012x" % key,
                "device_owner": "compute:nova",
                "fixed_ips": [
                    {"ip_address": "10.%d.%d.%d" % (number >> 16 & 255, number >> 8 & 255, number & 255)}
                ],
            }
        },
        "timestamp": "2026-11-20 06:00:00.000000",
        "_unique_id": "20000000000040008000%012x" % number,
    }
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)})


def connect():
    connection = amqp.Connection(
        host="127.0.0.1:" + next(port),
        virtual_host=vhost,
        userid="guest",
        password="guest",
        confirm_publish=True,
        connect_timeout=2,
        read_timeout=5,
        write_timeout=5,
    )
    connection.connect()
    return connection, connection.channel()


channel = None
number = 0
began = time.monotonic()
while not over.is_set():
    number += 1
    message = body(number)
    while not over.is_set():
        try:
            if channel is None:
                connection, channel = connect()
            channel.basic_publish_confirm(
                amqp.Message(
                    message,
                    content_type="application/json",
                    content_encoding="utf-8",
                    delivery_mode=2,
                    priority=0,
                ),
                exchange="neutron",
                routing_key="notifications.info",
                # What no queue takes is confirmed too; so it comes back, which is an exception here.
                mandatory=True,
            )
            print(number, flush=True)
            break
        except Exception:
            # The broker is away, as it should be from time to time.
            channel = None
            time.sleep(0.05)
    # Never faster to catch up: the pace is a bound, not a promise.
    began = max(began + 1 / rate, time.monotonic() - 0.1)
    time.sleep(max(0.0, began - time.monotonic()))
