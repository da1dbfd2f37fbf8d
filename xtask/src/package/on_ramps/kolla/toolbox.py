"""In place of kolla_toolbox, with its arguments: writes down the module that the container would run."""

import json
import os

from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({
    "container_engine": {"type": "str", "choices": ["podman", "docker"], "required": True},
    "module_name": {"type": "str", "required": True},
    "module_args": {"type": "dict"},
    "module_extra_vars": {"type": "dict"},
    "api_version": {"type": "str"},
    "timeout": {"type": "int"},
    "user": {"type": "str"},
})
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps({"action": module.params["module_name"], **module.params["module_args"]}) + "\n")
module.exit_json(changed=True)
