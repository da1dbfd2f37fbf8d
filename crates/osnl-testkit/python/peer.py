"""The real oslo.messaging as a peer: JSON lines in, one JSON line out per line in.

{"ok": true, ...} or {"ok": false, "error": "..."}; "op" chooses:
  notify   by oslo.messaging's own Notifier; answered when the broker has confirmed
  raw      any bytes with any properties, by py-amqp; answered when the broker has confirmed
  prepare  declares an exchange, a queue and bindings, as an operator would
  take     takes the next message off a queue, or null
Ends with its standard input. Arguments: transport URL, then true or false for amqp_durable_queues, then, if the service has
one, its configuration file: "notify" then takes driver, topics, and durability from it.
"""
import json
import logging
import sys

import amqp
import kombu
import oslo_messaging
from oslo_config import cfg
from oslo_context import context as oslo_context


class Failures(logging.Handler):
    """oslo's messaging driver logs a failed send and goes on; here a failure is the answer."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


class Peer:
    def __init__(self, url, durable, file=None):
        self.url = url
        self.durable = durable
        self.files = [file] if file else []
        self.notifiers = {}
        self.transports = {}
        self.connection = None
        self.failures = Failures()
        logging.getLogger("oslo_messaging").addHandler(self.failures)

    def transport(self, exchange):
        if exchange not in self.transports:
            conf = cfg.ConfigOpts()
            conf([], project="osnl-test", default_config_files=self.files, default_config_dirs=[])
            transport = oslo_messaging.get_notification_transport(conf, url=self.url)
            conf.set_override("control_exchange", exchange)
            if not self.files:
                conf.set_override("amqp_durable_queues", self.durable, group="oslo_messaging_rabbit")
            # The exchange and the options are read when a transport is made: made once more with them.
            transport.cleanup()
            self.transports[exchange] = oslo_messaging.get_notification_transport(conf, url=self.url)
        return self.transports[exchange]

    def notify(self, exchange, topic, driver, publisher_id, event_type, priority, payload, context):
        key = (exchange, topic, driver)
        if key not in self.notifiers:
            own = {} if self.files else {"driver": driver, "topics": [topic]}
            self.notifiers[key] = oslo_messaging.Notifier(self.transport(exchange), retry=3, **own)
        notifier = self.notifiers[key].prepare(publisher_id=publisher_id)
        context = {} if context is None else oslo_context.RequestContext.from_dict(context)
        self.failures.lines.clear()
        getattr(notifier, priority)(context, event_type, payload)
        if self.failures.lines:
            raise RuntimeError("; ".join(self.failures.lines))
        return {}

    def channel(self):
        if self.connection is None or not self.connection.connected:
            self.connection = kombu.Connection(
                self.url.replace("rabbit://", "amqp://", 1), transport_options={"confirm_publish": True})
            self.connection.connect()
        return self.connection.default_channel

    def raw(self, exchange, routing_key, body, properties, headers, declare, durable):
        channel = self.channel()
        if declare:
            channel.exchange_declare(exchange, "topic", durable=durable, auto_delete=False)
        message = amqp.Message(bytes.fromhex(body), application_headers=headers, **properties)
        channel.basic_publish_confirm(message, exchange, routing_key)
        return {}

    def prepare(self, exchange, queue, routing_keys, durable, auto_delete, exclusive, arguments):
        channel = self.channel()
        if exchange:
            channel.exchange_declare(exchange, "topic", durable=durable, auto_delete=auto_delete)
        if queue:
            channel.queue_declare(
                queue, durable=durable, auto_delete=auto_delete, exclusive=exclusive, arguments=arguments or None)
            for key in routing_keys:
                channel.queue_bind(queue, exchange, key)
        return {}

    def take(self, queue):
        message = self.channel().basic_get(queue, no_ack=True)
        if message is None:
            return {"message": None}
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        properties = {k: v for k, v in message.properties.items() if k != "application_headers"}
        return {"message": {
            "exchange": message.delivery_info["exchange"],
            "routing_key": message.delivery_info["routing_key"],
            "redelivered": bool(message.delivery_info["redelivered"]),
            "properties": properties,
            "headers": message.headers or {},
            "body": body.hex(),
        }}


def main():
    peer = Peer(sys.argv[1], sys.argv[2] == "true", *sys.argv[3:])
    replies = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        try:
            request = json.loads(line)
            reply = {"ok": True, **getattr(peer, request.pop("op"))(**request)}
        except Exception as error:  # whatever it is, it is the answer
            if peer.connection is not None:
                # A channel error leaves a closed channel behind.
                peer.connection.release()
                peer.connection = None
            reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply, default=str), file=replies, flush=True)


main()
