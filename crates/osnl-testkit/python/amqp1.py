"""AMQP 1.0 for tests. Arguments: broker PRODUCT, or publish URL.

broker: a stand-in on python-qpid-proton, with a queue for each address and dynamic sources; no PRODUCT if it is empty.
Prints {"port"}, then answers each line of standard input, a JSON object {"do", "address", "body", "properties"}.
publish: the real oslo.messaging 14.9.3; each line is {"driver", "event_type", "payload", "project", "exchange"}.
"""
import base64
import bisect
import json
import sys
import threading
import uuid

from proton import Condition, Delivery, Message
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector

OUT, sys.stdout = sys.stdout, sys.stderr


def write(line):
    print(json.dumps(line), file=OUT, flush=True)


class Queue:
    def __init__(self):
        self.ready, self.links, self.taken = [], [], {}

    def give_back(self, entry):
        bisect.insort(self.ready, entry, key=lambda entry: entry[0])


class Broker(MessagingHandler):
    def __init__(self, product):
        super().__init__(prefetch=100, auto_accept=False)
        self.product, self.queues, self.connections, self.next = product, {}, [], 0

    def queue(self, address):
        return self.queues.setdefault(address, Queue())

    def on_start(self, event):
        self.container, commands = event.container, EventInjector()
        event.container.selectable(commands)
        acceptor = event.container.listen("127.0.0.1:0")
        write({"port": acceptor._selectable._delegate.getsockname()[1]})
        threading.Thread(target=self.read, args=(commands,), daemon=True).start()

    def read(self, commands):
        for line in sys.stdin:
            commands.trigger(ApplicationEvent("command", subject=json.loads(line)))
        commands.trigger(ApplicationEvent("end"))

    def on_end(self, event):
        self.container.stop()

    def on_connection_opening(self, event):
        if self.product:
            event.connection.properties = {"product": self.product}
        self.connections.append(event.connection)

    def on_link_opening(self, event):
        link = event.link
        if link.is_receiver:
            link.target.address = link.remote_target.address
            return
        link.source.dynamic = link.remote_source.dynamic
        link.source.address = str(uuid.uuid4()) if link.source.dynamic else link.remote_source.address
        self.queue(link.source.address).links.append(link)

    def on_message(self, event):
        self.put(event.receiver.target.address or event.message.address, event.message)
        self.accept(event.delivery)

    def put(self, address, message):
        self.next += 1
        self.queue(address).ready.append((self.next, message))
        self.deliver(address)

    def on_sendable(self, event):
        self.deliver(event.sender.source.address)

    def deliver(self, address):
        queue = self.queue(address)
        while queue.ready and any(link.credit > 0 for link in queue.links):
            link = next(link for link in queue.links if link.credit > 0)
            # The link is the last that is asked for the next message.
            queue.links.append(queue.links.pop(queue.links.index(link)))
            entry = queue.ready.pop(0)
            delivery = link.send(entry[1], tag=str(uuid.uuid4()))
            queue.taken[delivery.tag] = (link, entry)

    def on_delivery(self, event):
        delivery = event.delivery
        if not (event.link.is_sender and delivery.updated):
            return
        queue = self.queue(event.link.source.address)
        if delivery.tag in queue.taken:
            _, entry = queue.taken.pop(delivery.tag)
            if delivery.remote_state == Delivery.RELEASED:
                queue.give_back(entry)
            delivery.settle()
            self.deliver(event.link.source.address)

    def leave(self, gone):
        for address, queue in list(self.queues.items()):
            queue.links = [link for link in queue.links if not gone(link)]
            for tag, (link, entry) in list(queue.taken.items()):
                if gone(link):
                    del queue.taken[tag]
                    entry[1].delivery_count += 1
                    queue.give_back(entry)
            self.deliver(address)

    def on_link_closing(self, event):
        if event.link.is_sender:
            self.leave(lambda link: link == event.link)

    def on_disconnected(self, event):
        self.leave(lambda link: link.connection == event.connection)

    def on_connection_closing(self, event):
        self.on_disconnected(event)

    def on_command(self, event):
        command, answer = event.subject, {}
        address, queue = command.get("address"), self.queue(command.get("address"))
        if command["do"] == "publish":
            body = base64.b64decode(command["body"])
            self.put(address, Message(body=body, inferred=True, **command["properties"]))
        elif command["do"] == "depth":
            answer = {"ready": len(queue.ready), "unacknowledged": len(queue.taken)}
        elif command["do"] == "cut":
            for connection in self.connections:
                if connection.transport:
                    connection.transport.close_tail()
                    connection.transport.close_head()
                self.leave(lambda link, of=connection: link.connection == of)
            self.connections = []
        elif command["do"] == "delete":
            for link in queue.links:
                link.condition = Condition("amqp:resource-deleted", "the address was deleted")
                link.close()
            self.queues.pop(address)
        write(answer)


def publish(url):
    import oslo_messaging
    from oslo_config import cfg
    from oslo_context.context import RequestContext

    class Contexts(oslo_messaging.NoOpSerializer):
        def serialize_context(self, context):
            return context.to_dict()

    for line in sys.stdin:
        told = json.loads(line)
        conf = cfg.ConfigOpts()
        conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
        oslo_messaging.set_transport_defaults(told["exchange"])
        transport = oslo_messaging.get_notification_transport(conf, url=url)
        notifier = oslo_messaging.Notifier(
            transport, publisher_id="compute.n1", driver=told["driver"], topics=["notifications"], serializer=Contexts())
        notifier.info(RequestContext(project_id=told["project"]), told["event_type"], told["payload"])
        transport.cleanup()
        write({})


if sys.argv[1] == "broker":
    Container(Broker(sys.argv[2])).run()
else:
    publish(sys.argv[2])
