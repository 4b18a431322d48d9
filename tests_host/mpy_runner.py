"""Runs the test functions of one file under MicroPython: micropython mpy_runner.py FILE.

Prints one JSON line a test: {"test": name, "outcome": "passed"|"failed", "text": traceback}.
"""

import io
import json
import sys


def run(path):
    folder, _, name = path.rpartition("/")
    sys.path.insert(0, folder)
    module = __import__(name[:-3])
    wanted = sys.argv[2:]
    for key in wanted:
        text = ""
        try:
            getattr(module, key)()
            outcome = "passed"
        except Exception as e:
            outcome = "failed"
            out = io.StringIO()
            sys.print_exception(e, out)
            text = out.getvalue()
        print(json.dumps({"test": key, "outcome": outcome, "text": text}))


run(sys.argv[1])
