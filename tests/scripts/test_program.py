"""The installed program, which runs the commands that the scripts run."""

import configparser
import profile
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from conftest import PROJECT

from kdefrost_commands import command, compare, program
from kdefrost_commands.folding import fit, fold

NAMES = [name for name in program.COMMANDS if name != "search"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the program in this process, and gives its exit code, and what it prints."""

    def run(*words, path="bin/kdefrost"):
        monkeypatch.setattr(sys, "argv", [path, *words])
        code = 0
        try:
            program.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_it_is_installed_and_runs_what_the_scripts_run():
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg")
    entry = settings["options.entry_points"]["console_scripts"].strip()
    assert entry == "kdefrost = kdefrost_commands.program:main"
    assert {path.stem for path in (PROJECT / "scripts").glob("*.py")} == {*NAMES, "bench"}
    for name in NAMES:
        door = (PROJECT / "scripts" / f"{name}.py").read_text()
        assert f"\nfrom kdefrost_commands.{name} import main\n" in door
        # What a script says of itself is how its command's help begins.
        said = import_module(f"kdefrost_commands.{name}").__doc__.partition("\n")[0]
        assert said.removesuffix('"""') in door


@pytest.mark.parametrize("name", NAMES)
def test_a_command_gets_its_words(name, run, monkeypatch):
    seen = []
    monkeypatch.setattr(import_module(f"kdefrost_commands.{name}"), "main", lambda: seen.append(list(sys.argv)))
    assert run(name, "--out", "a b") == (0, "", "")
    assert seen == [[f"kdefrost {name}", "--out", "a b"]]


def test_a_search_is_a_profile_with_that_option(run, monkeypatch):
    seen = []
    monkeypatch.setattr("kdefrost_commands.profile.main", lambda: seen.append(list(sys.argv)))
    run("search", "--src", "gm")
    assert seen == [["kdefrost profile", "--search", "--src", "gm"]]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_its_help_fits_a_screen_and_teaches(words, run):
    code, said, _ = run(*words)
    lines = said.splitlines()
    assert code == 0 and len(lines) <= 24 and max(map(len, lines)) <= 80
    assert "  kdefrost profile --src gm --tgt digits" in lines
    assert [line.split()[0] for line in lines if re.match(r"  [a-z]+  ", line)] == list(program.COMMANDS)


@pytest.mark.parametrize("words", [["serch", "--src", "gm"], [""]])
def test_what_is_no_command_ends_in_one_line_and_with_2(words, run):
    code, said, error = run(*words)
    assert code == 2 and said == "" and re.fullmatch(r"error: there is no command [^\n]+\n", error)
    assert all(name in error for name in program.COMMANDS) and "kdefrost --help lists what there is" in error


def test_options_come_after_a_command(run):
    code, said, error = run("--debug", "profile")
    assert code == 2 and said == "" and error.startswith("error: --debug must come after a command, one of profile, ")


def test_it_says_the_version_of_what_is_installed_and_else_of_the_clone(run, monkeypatch):
    monkeypatch.setattr(program.metadata, "version", lambda name: f"1.2.3 of {name}")
    assert run("--version") == (0, "kdefrost 1.2.3 of kdefrost\n", "")

    def version(name):
        raise program.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(program.metadata, "version", version)
    assert run("--version") == (0, f"kdefrost {sys.modules['kdefrost'].__version__}\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command_has_the_programs_words(name, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for path, called in {
        "bin/kdefrost": "kdefrost",
        "kdefrost_commands/__main__.py": "python -m kdefrost_commands",
    }.items():
        code, said, _ = run(name, "--help", path=path)
        assert code == 0 and said.startswith(f"usage: {called} {name} [-h] ") and f"\n  {called} {name}" in said
        assert "scripts/" not in said
        # Python's own lay-out of what is called so, an option after the other, has less room.
        assert called != "kdefrost" or max(map(len, said.splitlines())) <= 80


def test_what_is_said_and_kept_of_a_command_is_how_it_was_called(monkeypatch, tmp_path):
    for path, words, line in [
        ("scripts/profile.py", ["python", "scripts/profile.py"], "python scripts/kept.py --limit 5"),
        ("my kdefrost profile", ["python", "my kdefrost profile"], "python scripts/kept.py --limit 5"),
        ("kdefrost profile", ["kdefrost", "profile"], "kdefrost kept --limit 5"),
        (
            "python -m kdefrost_commands profile",
            ["python", "-m", "kdefrost_commands", "profile"],
            "python -m kdefrost_commands kept --limit 5",
        ),
    ]:
        monkeypatch.setattr(sys, "argv", [path, "--src", "gm"])
        assert command.called() == words and command.as_called("python scripts/kept.py --limit 5") == line
    with pytest.raises(ValueError, match=r"nor search\.json\. python -m kdefrost_commands profile writes it when"):
        compare.load(tmp_path)


def test_it_answers_before_kdefrost_is_imported():
    """In an interpreter of its own, with all commands at hand."""
    code = f"""
import sys
from importlib import import_module
for name in {NAMES}:
    import_module("kdefrost_commands." + name)
sys.argv = ["kdefrost"]
import_module("kdefrost_commands.program").main()
assert not {{"kdefrost", "keras", "tensorflow", "numpy"}} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT / "scripts" / "program"
    )
    assert done.returncode == 0 and "commands, each with" in done.stdout, done.stderr


def test_what_is_kept_lies_in_a_clone_or_else_in_the_working_folder(tmp_path):
    assert command.PROJECT == PROJECT
    # Where Python keeps modules of its own, one of which is profile.
    for folder in (Path(profile.__file__).parent, tmp_path / "scripts" / "lib"):
        assert command.project(folder / "site-packages" / "kdefrost_commands") == Path()
    (tmp_path / "setup.cfg").touch()
    assert command.project(tmp_path / "scripts" / "program" / "kdefrost_commands") == tmp_path


def test_texts_are_folded_by_what_their_lines_are():
    text = """What it does, in a sentence that is
broken somewhere.

  name     a row of a list, with words
           that go on
  another  row

  python scripts/profile.py --src gm --tgt digits --seeds 3
      what that does
  kdefrost kept"""
    assert fold(text, 30).splitlines() == [
        "What it does, in a sentence",
        "that is broken somewhere.",
        "",
        "  name     a row of a list,",
        "           with words that go",
        "           on",
        "  another  row",
        "",
        "  python scripts/profile.py \\",
        "        --src gm \\",
        "        --tgt digits \\",
        "        --seeds 3",
        "      what that does",
        "  kdefrost kept",
    ]
    assert fold(text, 1000).splitlines()[0] == "What it does, in a sentence that is broken somewhere."


def test_sentences_are_broken_and_tables_are_not():
    text = """One sentence that is longer than a line.

- A list's sentence, which is as long.
/a/path/which/is/a/good/deal/longer
| a table | of Markdown, which is wide |
cut  after layer    frozen  features
An accuracy of 50.5 % is
short
"""
    assert fit(text, 19).split("\n") == [
        "One sentence that",
        "is longer than a",
        "line.",
        "",
        "- A list's",
        "  sentence, which",
        "  is as long.",
        "/a/path/which/is/a/good/deal/longer",
        "| a table | of Markdown, which is wide |",
        "cut  after layer    frozen  features",
        "An accuracy of",
        "50.5 % is",
        "short",
        "",
    ]
