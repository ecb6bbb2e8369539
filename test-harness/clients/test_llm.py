"""The program `llm`, unmodified: the daemon's model in its `extra-openai-models.yaml`."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from house import MODEL, TOKEN, URL


class Llm(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        model = {
            "model_id": "orch",
            "model_name": MODEL,
            "api_base": f"{URL}/v1",
            "api_key_name": "orch",
            "supports_tools": True,
            "supports_schema": True,
        }
        (self.folder / "extra-openai-models.yaml").write_text(json.dumps([model]))
        (self.folder / "keys.json").write_text(json.dumps({"orch": TOKEN}))

    def llm(self, *arguments):
        environment = os.environ | {"LLM_USER_PATH": str(self.folder)}
        return subprocess.run(
            [sys.executable, "-m", "llm", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def test_a_prompt_is_answered_whole_and_as_a_stream(self):
        answers = []
        for stream in ([], ["--no-stream"]):
            done = self.llm("-m", "orch", "-o", "temperature", "0", "-o", "max_tokens", "24", *stream, "Say hello.")
            self.assertEqual(done.returncode, 0, done.stderr)
            answers.append(done.stdout)
        self.assertTrue(answers[0].strip())
        self.assertEqual(*answers)

    def test_an_answer_is_one_of_its_schema(self):
        schema = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}
        done = self.llm("-m", "orch", "--schema", json.dumps(schema), "Name a colour as JSON.")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(json.loads(done.stdout)["colour"], ("red", "green"))

    def test_a_request_with_tools_is_answered(self):
        done = self.llm("-m", "orch", "--tool", "llm_version", "-o", "max_tokens", "48", "Which version is this?")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_what_is_wrong_is_said(self):
        done = self.llm("-m", "orch", "-o", "temperature", "2", "-o", "max_tokens", "8", "--key", "wrong", "Hello")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("LLAMA_ORCH_TOKEN", done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
