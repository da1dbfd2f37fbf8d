"""The library as its manual shows it."""

import json
import logging
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from stage import BIN, BROKER, MANUAL, PAYLOAD, UUID, OnStage, Sink, until


class Behaviour(OnStage):
    """The listings of the manual, and the names in it."""

    def test_the_first_listing(self):
        """A value of a configuration."""
        process = self.run_listing(r"""
from k2hr3_osnl.exceptions import K2hr3ConfError
from k2hr3_osnl.cfg import K2hr3Conf
from pathlib import Path
try:
    conf = K2hr3Conf(Path('etc/k2hr3_osnl.conf'))
    print(conf.oslo_messaging_notifications.event_type)
except K2hr3ConfError as error:
    print('{}'.format(error))
""")
        out, _ = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (0, '^port\\.delete\\.end$\n'))

    def test_the_second_listing(self):
        """A listener: the same request as k2hr3_osnl's, and an end by Ctrl-C."""
        process = self.run_listing(r"""
from k2hr3_osnl.cfg import K2hr3Conf
from k2hr3_osnl.exceptions import K2hr3Error
from k2hr3_osnl.endpoint import K2hr3NotificationEndpoint
import k2hr3_osnl
from pathlib import Path
try:
    conf = K2hr3Conf(Path('etc/k2hr3_osnl.conf'))
    endpoints = [K2hr3NotificationEndpoint(conf)]
    k2hr3_osnl.listen(endpoints)
except K2hr3Error as error:
    print(error)
""")
        self.publish()
        until(lambda: Sink.seen, 'a DELETE')
        expected = f'/v1/role?extra=openstack-auto-v1&cuk={UUID}&host=%5B%22172.16.0.1%22%5D'
        self.assertEqual(Sink.seen[0][0], expected)
        self.stop(process)

    def test_the_manual_as_printed(self):
        """Its file with each of its messages, by a listener and by hand."""
        printed = json.loads((MANUAL / 'messages.json').read_text(encoding='utf-8'))
        self.assertEqual(len(printed), 3)
        for message in printed:
            with self.subTest(message['body']):
                Sink.seen.clear()
                self.play(message)

    def play(self, printed):
        """Play one of its messages."""
        import k2hr3_osnl
        url = f'http://127.0.0.1:{self.server.server_port}/v1/role'
        text = (MANUAL / 'k2hr3_osnl.conf').read_text(encoding='utf-8')
        text = text.replace('rabbit://user:pass@127.0.0.1:5672/', BROKER)
        text = text.replace('https://localhost/v1/role', url)
        lines = [line.partition(' = ') for line in text.splitlines()]
        lines = [f'{name}{sign}{printed["options"].get(name, value)}' for name, sign, value in lines]
        self.conf.write_text('\n'.join(lines), encoding='utf-8')
        process = self.run_listing(r"""
from pathlib import Path
import k2hr3_osnl
k2hr3_osnl.listen([k2hr3_osnl.K2hr3NotificationEndpoint(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))])
""")
        self.send(printed['exchange'], '--topic', printed['topic'], MANUAL / printed['body'])
        until(lambda: Sink.seen, 'a DELETE')
        self.stop(process)
        endpoint = k2hr3_osnl.K2hr3NotificationEndpoint(k2hr3_osnl.K2hr3Conf(self.conf))
        message = json.loads((MANUAL / printed['body']).read_text(encoding='utf-8'))
        publisher, event, payload = (message[key] for key in ('publisher_id', 'event_type', 'payload'))
        self.assertEqual(endpoint._payload_to_params(payload)['cuk'], UUID)
        self.assertEqual(endpoint.info({}, publisher, event, payload, {}), 'handled')
        self.assertEqual([seen[0] for seen in Sink.seen], [printed['request']] * 2)

    def test_the_sample(self):
        """It is beside the operator's file, which no installation replaces: pip show -f osnl-k2hr3."""
        import k2hr3_osnl
        found = [file for file in metadata.files('osnl-k2hr3') if 'etc' in file.parts]
        self.assertEqual([str(file) for file in found], ['../../../etc/k2hr3/k2hr3_osnl.conf.sample'])
        sample = Path(found[0].locate()).resolve()
        self.assertEqual(sample, Path(sys.prefix).resolve() / 'etc/k2hr3/k2hr3_osnl.conf.sample')
        values = [{group: conf[group] if isinstance(conf[group], str) else dict(conf[group]) for group in conf}
                  for conf in map(k2hr3_osnl.K2hr3Conf, (sample, MANUAL / 'k2hr3_osnl.conf'))]
        self.assertEqual(values[0], values[1])
        self.assertEqual(values[0]['oslo_messaging_notifications']['transport_url'],
                         'rabbit://user:pass@127.0.0.1:5672/')

    def test_the_brokers_of_the_program(self):
        """A file that the program takes is one for the library too."""
        import k2hr3_osnl
        text = self.conf.read_text(encoding='utf-8')
        for url in ('kafka://kafka.example.com:9092', 'amqp://qpid.example.com:5673'):
            self.conf.write_text(text.replace(BROKER, url), encoding='utf-8')
            conf = k2hr3_osnl.K2hr3Conf(self.conf)
            self.assertTrue(conf.oslo_messaging_notifications.transport_url.startswith(url))

    def test_listen_with_kafka(self):
        """Its broker refuses the connection, and the listener tries again until Ctrl-C."""
        text = self.conf.read_text(encoding='utf-8').replace('allow_requeue = True', 'allow_requeue = False')
        # A bound port that does not listen refuses connections, and no other program gets it.
        with socket.socket() as closed:
            closed.bind(('127.0.0.1', 0))
            broker = f'127.0.0.1:{closed.getsockname()[1]}'
            self.conf.write_text(text.replace(BROKER, f'kafka://{broker}'), encoding='utf-8')
            process = self.run_listing(r"""
from pathlib import Path
import k2hr3_osnl
k2hr3_osnl.listen([k2hr3_osnl.K2hr3NotificationEndpoint(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))])
""")
            refused = f'{broker} failed: Connection refused'
            until(lambda: process.poll() is not None or refused in self.errors(), refused)
            self.assertIn(refused, self.errors())
            self.stop(process)

    def test_an_endpoint_of_ones_own(self):
        """Its method gets all five, and what it returns decides."""
        process = self.run_listing(r"""
import json
from pathlib import Path
import k2hr3_osnl
from k2hr3_osnl.endpoint import NotificationResult

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    calls = 0

    def info(self, context, publisher_id, event_type, payload, metadata):
        Own.calls += 1
        print(json.dumps([context, publisher_id, event_type, payload, sorted(metadata)]), flush=True)
        return NotificationResult.REQUEUE if Own.calls == 1 else NotificationResult.HANDLED

    def error(self, context, publisher_id, event_type, payload, metadata):
        Own.calls += 1
        print('error', flush=True)
        if Own.calls == 3:
            raise ValueError('once')

conf = k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf'))
print(k2hr3_osnl.listen([Own(conf)]))
""")
        self.publish()
        lines = [self.line(process), self.line(process)]
        self.assertEqual(lines[0], lines[1], 'it was requeued, and comes again')
        context, publisher, event, payload, metadata = json.loads(lines[0])
        self.assertIsInstance(context, dict)
        self.assertEqual((publisher, event, payload), ('network.host1', 'port.delete.end', PAYLOAD))
        self.assertEqual(metadata, ['message_id', 'timestamp'])
        self.publish(priority='error')
        for why in ('another priority has its own method', 'an exception requeues'):
            self.assertEqual(self.line(process), 'error\n', why)
        self.assertTrue(self.stop(process).endswith('0\n'))
        self.assertEqual(Sink.seen, [])

    def test_an_own_method_that_calls_the_module_s(self):
        """It waits for a K2HR3 that is down, and a refusal is logged with the host."""
        self.conf.write_text(self.conf.read_text(encoding='utf-8').replace('retries = 1', 'retries = 0'))
        process = self.run_listing(r"""
from pathlib import Path
import k2hr3_osnl

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    def info(self, *notification):
        result = super().info(*notification)
        print(result, flush=True)
        return result

k2hr3_osnl.listen([Own(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))])
""")
        for refusals, requests in (([503, 503], 3), ([403], 1)):
            Sink.seen.clear()
            Sink.refusals[:] = refusals
            self.publish()
            self.assertEqual(self.line(process), 'handled\n')
            self.assertEqual(len(Sink.seen), requests, self.errors())
        lines = self.errors().splitlines()
        self.assertTrue([line for line in lines if line.startswith(f'no sent. {UUID} error status 403')], lines)
        self.assertIn(f'handled {UUID}, even if an error occurred.', lines)
        self.stop(process)

    def test_payloads_of_ones_own(self):
        """_payload_to_params is what the manual names to override, and whose host is logged."""
        process = self.run_listing(r"""
import logging
from pathlib import Path
import k2hr3_osnl

logging.basicConfig(level=logging.INFO)

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    def _payload_to_params(self, payload):
        return {'cuk': payload['node'], 'ips': payload.get('ips', '10.0.0.1')}

k2hr3_osnl.listen([Own(k2hr3_osnl.K2hr3Conf(Path('etc/k2hr3_osnl.conf')))])
""")
        self.publish({'node': 'no-uuid'})
        self.publish({'node': UUID, 'ips': ['no address']})
        self.publish({'node': UUID})
        until(lambda: Sink.seen, 'a DELETE')
        self.assertIn(f'cuk={UUID}&host=%5B%2210.0.0.1%22%5D', Sink.seen[0][0])
        end = f'INFO:k2hr3_osnl.endpoint:NotificationResult.HANDLED {UUID}\n'
        until(lambda: end in self.errors(), end)
        self.stop(process)

    def test_a_call_by_hand(self):
        """Without a broker."""
        import k2hr3_osnl
        from k2hr3_osnl.endpoint import NotificationFilter
        endpoint = k2hr3_osnl.K2hr3NotificationEndpoint(k2hr3_osnl.K2hr3Conf(self.conf))
        self.assertTrue(endpoint.filter_rule.match({}, 'network.a', 'port.delete.end', {}, PAYLOAD))
        self.assertFalse(endpoint.filter_rule.match({}, 'compute.a', 'port.delete.end', {}, PAYLOAD))
        by_state = NotificationFilter(payload={'state': 'x'})
        self.assertFalse(by_state.match(None, None, None, None, ['state']), 'a payload of any kind')
        self.assertEqual(endpoint.info({}, 'network.a', 'port.delete.end', PAYLOAD, {}), 'handled')
        self.assertEqual(len(Sink.seen), 1)
        odd = dict(PAYLOAD, number=float('nan'), text='\ud800')
        self.assertEqual(endpoint._payload_to_params(odd)['cuk'], UUID)
        with self.assertLogs('k2hr3_osnl.endpoint', logging.ERROR):
            self.assertEqual(endpoint.info({}, 'network.a', 'port.delete.end', {'x': 1}, {}), 'handled')
        self.assertEqual(len(Sink.seen), 1, 'no instance, no call')

    def test_values_and_errors(self):
        """Types, names, and texts of the original."""
        import k2hr3_osnl
        from k2hr3_osnl.exceptions import K2hr3Error
        conf = k2hr3_osnl.K2hr3Conf(self.conf)
        self.assertEqual(k2hr3_osnl.version(), '1.0.8')
        self.assertIs(conf.k2hr3.requeue_on_error, False)
        self.assertEqual((conf.k2hr3.timeout_seconds, conf.k2hr3.max_retries), (5, 1))
        self.assertIsNone(conf.oslo_messaging_notifications.context)
        self.assertEqual(dict(conf.k2hr3)['api_url'], conf['k2hr3'].get('api_url'))
        self.assertNotIn('nonsense', conf.k2hr3.keys())
        self.assertEqual((conf.debug_level, conf.log_file), ('warn', 'sys.stderr'))
        shown = [conf, conf.oslo_messaging_notifications, conf._native, k2hr3_osnl.K2hr3NotificationEndpoint(conf)]
        self.assertNotIn('guest', repr(shown))
        for path, text in ((str(self.conf), 'Path expected, not str'),
                           (self.etc / 'no', f'path must exist, not {self.etc}/no'),
                           (self.etc, f'path must be a regular file, not {self.etc}')):
            with self.assertRaises(k2hr3_osnl.K2hr3ConfError) as raised:
                k2hr3_osnl.K2hr3Conf(path)
            self.assertTrue(str(raised.exception).startswith(text), raised.exception)
            self.assertIsInstance(raised.exception, K2hr3Error)
        with self.assertRaises(k2hr3_osnl.K2hr3NotificationEndpointError):
            k2hr3_osnl.K2hr3NotificationEndpoint(self.conf)
        with self.assertLogs('k2hr3_osnl', logging.ERROR):
            self.assertEqual(k2hr3_osnl.listen([]), 1)
            self.assertEqual(k2hr3_osnl.listen(None), 1)
            self.assertEqual(k2hr3_osnl.listen([conf]), 1)

    def test_the_program(self):
        """The script of k2hr3_osnl becomes osnl."""
        done = subprocess.run([BIN / 'k2hr3-osnl', '-v'], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, 'k2hr3-osnl 1.0.8\n'), done.stderr)

    def test_the_licences(self):
        """Each wheel has the licences of all that it contains."""
        for wheel, part in (('osnl', 'ratatui'), ('osnl-k2hr3', 'pyo3')):
            with self.subTest(wheel):
                files = [file for file in metadata.files(wheel) if file.name == 'LICENSE-THIRD-PARTY.txt']
                self.assertEqual(len(files), 1)
                text = files[0].read_text(encoding='utf-8')
                self.assertIn(f'\n{part} ', text)
                self.assertIn('librdkafka - Apache Kafka C driver library', text)
                fields = metadata.metadata(wheel)
                self.assertIn(' AND BSD-2-Clause AND ', fields['License-Expression'])
                self.assertIn('LICENSE-THIRD-PARTY.txt', fields.get_all('License-File'))

    def test_the_bills_of_materials(self):
        """Each wheel names its crates where scanners look for them."""
        for wheel, part in (('osnl', 'ratatui'), ('osnl-k2hr3', 'pyo3')):
            with self.subTest(wheel):
                files = [file for file in metadata.files(wheel) if file.name.endswith('.cyclonedx.json')]
                self.assertEqual([file.parent.name for file in files], ['sboms'])
                bill = json.loads(files[0].read_text(encoding='utf-8'))
                self.assertIn(part, [crate['name'] for crate in bill['components']])

    def test_a_mix_of_both_packages(self):
        """The original beside it owns the same files."""
        import k2hr3_osnl
        site = Path(k2hr3_osnl.__file__).parent.parent
        other = site / 'k2hr3_osnl-1.0.8.dist-info'
        other.mkdir()
        self.addCleanup(other.rmdir)
        (other / 'METADATA').write_text('Metadata-Version: 2.1\nName: k2hr3-osnl\nVersion: 1.0.8\n')
        self.addCleanup((other / 'METADATA').unlink)
        process = self.run_listing('import k2hr3_osnl')
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn('pip uninstall -y k2hr3-osnl osnl-k2hr3', self.errors())

