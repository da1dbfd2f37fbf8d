"""Evaluates expressions as Ansible's `when` does: Jinja2 with names that lack as a whole, and Ansible's own tests and
filters, as short as ansible-core has them. Reads {"events": [...], "cases": [...]}, answers for each case and event its
value, or null where the expression is refused."""
import json
import re
import sys

import jinja2


class Lacks(jinja2.StrictUndefined):
    """What Ansible makes of `a.b.c` where there is no `a`."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, name):
        return self


def boolean(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        value = value.lower()
    return value in ("yes", "on", "1", "true", 1)


def test(how):
    def matches(value, pattern="", ignorecase=False, multiline=False):
        flags = (re.I if ignorecase else 0) | (re.M if multiline else 0)
        if isinstance(value, jinja2.Undefined):
            value._fail_with_undefined_error()
        return bool(getattr(re, how)(pattern, str(value), flags))

    return matches


environment = jinja2.Environment(undefined=Lacks)
environment.filters.update(bool=boolean, to_json=json.dumps)
environment.tests.update(match=test("match"), search=test("search"), regex=test("search"))
environment.tests.update(contains=lambda within, what: what in within)
environment.tests.update(truthy=bool, falsy=lambda value: not bool(value))


def plain(value):
    """What JSON has; everything else is refused."""
    if isinstance(value, jinja2.Undefined):
        raise ValueError("undefined")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) or type(value).__name__ in ("generator", "dict_keys", "dict_values", "dict_items"):
        return [plain(item) for item in value]
    raise ValueError(type(value).__name__)


def answer(case, event):
    try:
        if case["template"]:
            return {"value": environment.from_string(case["source"]).render(event)}
        compiled = environment.compile_expression(case["source"], undefined_to_none=False)
        return {"value": plain(compiled(**event))}
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"[:80]}


given = json.load(sys.stdin)
print(json.dumps([[answer(case, event) for event in given["events"]] for case in given["cases"]]))
