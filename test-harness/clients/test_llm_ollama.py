"""The command line `llm` with its plug-in `llm-ollama`, unmodified: models are found by asking the daemon."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from house import LIMIT_S


def llm(*arguments):
    """What it prints, with a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "llm", *arguments],
            env=os.environ | {"LLM_USER_PATH": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
    return done.stdout


class Llm(unittest.TestCase):
    def test_the_model_is_found_and_answers(self):
        self.assertIn("ollama/default:latest (aliases: ollama/default)", llm("models"))
        options = ("-o", "num_predict", "12", "-o", "temperature", "0")
        streamed = llm("-m", "ollama/default", *options, "Say hello.")
        self.assertTrue(streamed.strip())
        self.assertEqual(llm("-m", "ollama/default", "--no-stream", *options, "Say hello."), streamed)

    def test_a_schema_is_kept_to(self):
        answer = llm("-m", "ollama/default", "--schema", "name, role", "-o", "num_predict", "64", "Ada is a person.")
        self.assertEqual(list(json.loads(answer)), ["name", "role"])


if __name__ == "__main__":
    unittest.main()
