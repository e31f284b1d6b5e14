"""Shell completion: the scripts, and what they are answered."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from aligner.cli.commands import cli


def completed(*words: str) -> list[str]:
    complete = BashComplete(cli, {}, "align", "_ALIGN_COMPLETE")
    return [
        item.value if item.type == "plain" else item.type
        for item in complete.get_completions(list(words[:-1]), words[-1])
    ]


def test_commands_options_and_choices_are_completed():
    assert completed("com") == ["compare", "completion"]
    assert "--json" in completed("compare", "--")
    assert completed("compare", "a.onnx", "b.onnx", "--align-by", "o") == ["order"]


@pytest.mark.parametrize(
    "words", [("compare", ""), ("compare", "a.onnx", "b"), ("inspect", "m"), ("compare", "--input", "f")]
)
def test_models_and_inputs_are_files(words):
    assert completed(*words) == ["file"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_command(shell):
    made = CliRunner().invoke(cli, ["completion", shell])
    assert made.exit_code == 0 and "_ALIGN_COMPLETE" in made.output and made.output.startswith("# append this to ")


def test_bash_takes_the_script():
    bash = shutil.which("bash") or pytest.skip("no bash")
    script = CliRunner().invoke(cli, ["completion", "bash"]).output
    done = subprocess.run([bash, "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
