"""What the pages say can be typed and followed: commands, options, modules and links exist. Nothing is run."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import click
import pytest

from aligner.cli.commands import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")), *ROOT.glob("examples/**/*.md")]
OTHERS = {"--exportOutput", "--junitxml", "--layerPrecisions", "--opencv", "--save-inputs", "--trt"}
"""Options of trtexec, pytest, Polygraphy and an example's own program that the pages name."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def typed(page: Path, program: str) -> list[list[str]]:
    """A page's commands that begin with these words: at the head of an indented or fenced line, or in backquotes."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(rf"^(?:    )?(?:\$ )?({program} .*)$", text, flags=re.MULTILINE)
    quoted = re.findall(rf"`({program}\s[a-z][^`]*)`", text)
    return [shlex.split(one.replace("[", " ").replace("]", " "), comments=True) for one in [*lines, *quoted]]


@pytest.fixture
def parsed(monkeypatch):
    """Splits a command's words into values and the parameters named, and fails as the command would; opens nothing."""
    found = {}

    def parse(command, context, words):
        values, over, named = command.make_parser(context).parse_args(words)
        found.update(values=values, named=named)
        return over

    def split(command, words):
        assert command.parse_args(click.Context(command), words) == [], words
        return found["values"], found["named"]

    monkeypatch.setattr(click.Command, "parse_args", parse)
    return split


@every_page
def test_the_commands_of_a_page_can_be_typed(page, parsed):
    for _, verb, *words in typed(page, "align"):
        command = cli.commands[verb]
        takes = {name for param in command.params if not getattr(param, "is_flag", False) for name in param.opts}
        if words and words[-1] in takes:
            words.append("…")  # an option is named, its value is not
        values, named = parsed(command, list(words))
        for param in named:
            given = values[param.name]
            if isinstance(param.type, click.Choice) and isinstance(given, str) and not given.isupper():
                assert {*given.split("|"), "…"} <= {*param.type.choices, "…"}, (verb, words)


@cache
def source(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted(folder.rglob("*.py")))


@every_page
def test_the_benches_of_a_page_are_there(page):
    for _, _, module, *words in typed(page, "python -m"):
        place = ROOT / module.replace(".", "/")
        if not module.startswith(("benchmarks.", "aligner.")):
            continue
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module
        for word in words:
            known = f'"{word.partition("=")[0]}"'
            assert not word.startswith("--") or known in source(ROOT.joinpath(*module.split(".")[:2])), (module, word)


@every_page
def test_the_options_that_a_page_names_exist(page):
    ours = {name for command in cli.commands.values() for param in command.params for name in param.opts}
    ours |= {name for command in cli.commands.values() for param in command.params for name in param.secondary_opts}
    told = {word for quoted in re.findall(r"`(--[a-z][^`]*)`", page.read_text()) for word in quoted.split()}
    told = {re.split("[=,]", word)[0] for word in told if word.startswith("--")}
    elsewhere = source(ROOT / "aligner") + source(ROOT / "benchmarks") + source(ROOT / ".ci")
    assert [word for word in told - ours - OTHERS if f'"{word}"' not in elsewhere] == []


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_the_links_of_a_page_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_counts_its_examples_and_stays_short():
    text = (ROOT / "README.md").read_text()
    numbers = "Fifteen Sixteen Seventeen Eighteen Nineteen Twenty".split()
    said = re.search(r"(\w+)\s+stories with their real output", text)[1]
    assert numbers.index(said) + 15 == len(list((ROOT / "examples").glob("*/run.py")))
    assert len(text.splitlines()) < 200
