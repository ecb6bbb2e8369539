"""Where the daemon is, what it is at, and what all libraries ask it."""

import json
import os
import threading
import time
import urllib.error
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


class Statuses(list):
    """The statuses of a library's requests, in order, and what is done once when the first of them is an error."""

    def __init__(self, mend):
        super().__init__()
        self.mend = mend

    def hooks(self):
        """For `httpx`."""
        return {"response": [self.note]}

    def note(self, response):
        if not self and response.is_error:
            self.retry_after_s = int(response.headers["retry-after"])
            self.mend()
        self.append(response.status_code)


def turn(text):
    """A conversation of one turn."""
    return [{"role": "user", "content": text}]


def fill():
    """Fills the slot and the interactive lane: a stream that goes on until it is left, and two short tasks that wait.
    What ends it all, and waits for its end."""
    body = {"model": MODEL, "messages": turn("Count."), "max_tokens": 1500, "logit_bias": ENDS, "stream": True}
    running = post(body)
    running.readline()
    until((1, 0))
    short = {"model": MODEL, "messages": turn("Hello"), "max_tokens": 2}
    waiting = [threading.Thread(target=admitted, args=[short]) for _ in range(2)]
    for thread in waiting:
        thread.start()
    until((1, 2))

    def leave():
        running.close()
        for thread in waiting:
            thread.join()

    return leave


def admitted(body):
    """Asks until there is a place. One may be kept for a while for a client that was told when to come back."""
    while True:
        try:
            return post(body).read()
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
        time.sleep(0.1)


def post(body):
    """Asks for an answer to a conversation."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = json.dumps(body).encode()
    request = urllib.request.Request(URL + "/v1/chat/completions", data, headers)
    return urllib.request.urlopen(request, timeout=LIMIT_S)


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
