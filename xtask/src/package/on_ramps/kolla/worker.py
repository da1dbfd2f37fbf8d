"""In place of kolla_docker_worker and kolla_systemd_worker: writes down what the engine of containers is asked for."""

import json
import os


class DockerWorker:
    def __init__(self, module):
        self.params, self.changed, self.result = module.params, False, {}

    def __getattr__(self, action):
        def called():
            with open(os.environ["CALLS"], "a") as calls:
                calls.write(json.dumps({"action": action, **self.params}) + "\n")
            self.changed = True
            return True
        return called


SystemdWorker = DockerWorker
