"""Where the daemon is, what it is at, and what all libraries ask it."""

import json
import os
import time
import urllib.request

MODEL = "starter"
URL = os.environ["LLAMA_ORCH_URL"]
TOKEN = os.environ["LLAMA_ORCH_TOKEN"]
LIMIT_S = 120

# The starter model's ends of a turn and of a text, which are banned so that an answer goes on.
ENDS = {"0": -100, "2": -100}

# What a tool of the tests is given.
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 16}},
    "required": ["city"],
    "additionalProperties": False,
}


def turn(text):
    """A conversation of one turn."""
    return [{"role": "user", "content": text}]


def pool():
    """The daemon's one pool, from `/health`."""
    request = urllib.request.Request(URL + "/health", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["pools"][0]


def busy():
    """Slots in use and interactive tasks that wait."""
    now = pool()
    return sum(replica["slots_busy"] for replica in now["replicas"]), now["queue"]["interactive"]["depth"]


def until(wanted):
    """Waits until `busy` is this."""
    begun = time.monotonic()
    while busy() != wanted:
        if time.monotonic() - begun > LIMIT_S:
            raise AssertionError(f"the daemon is at {busy()}, not at {wanted}")
        time.sleep(0.01)
