"""Type hints of the public interface: complete, and such that a checker accepts what users write."""

import ast
import inspect
import os
import pkgutil
from importlib import import_module

import pytest
from conftest import PROJECT
from mypy import api

import kdefrost

PACKAGES = [
    kdefrost,
    *(import_module(f"kdefrost.{name}") for _, name, is_a in pkgutil.iter_modules(kdefrost.__path__) if is_a),
]
RESULTS = {
    "profile/bound.py": kdefrost.DefrostProfile,
    "profile/comparison.py": kdefrost.Comparison,
    "compliance/result.py": kdefrost.ComplianceProfile,
    "similarity/result.py": kdefrost.LayerwiseSimilarity,
    "transferability/result.py": kdefrost.Transferability,
    "ranking/result.py": kdefrost.SourceRanking,
}


def _functions(value):
    """A function, or the functions that users call of a class of kdefrost's."""
    if not inspect.isclass(value):
        return [value] if inspect.isfunction(value) else []
    bases = [base for base in value.__mro__ if base.__module__.startswith("kdefrost")]
    given = (member for base in bases for member in vars(base).values())
    members = (getattr(member, "fget", None) or getattr(member, "__func__", member) for member in given)
    ours = (member for member in members if inspect.isfunction(member) and member.__module__.startswith("kdefrost"))
    return [member for member in ours if member.__name__ == "__init__" or not member.__name__.startswith("_")]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_that_users_call_says_what_it_takes_and_gives(package):
    missing = set()
    for function in {function for name in package.__all__ for function in _functions(getattr(package, name))}:
        signature = inspect.signature(function)
        bare = {name for name, given in signature.parameters.items() if given.annotation is given.empty}
        missing |= {f"{function.__qualname__}({name})" for name in bare - {"self", "cls"}}
        if function.__name__ != "__init__" and signature.return_annotation is signature.empty:
            missing.add(f"{function.__qualname__} →")
    assert not missing


@pytest.mark.parametrize(("file", "result"), RESULTS.items())
def test_checkers_know_what_is_bound_to_results(file, result):
    """One line for each, in the class or, of profiles, in `Bound`; see the package's `__init__`."""
    classes = [node for node in ast.parse((PROJECT / "kdefrost" / file).read_text()).body if hasattr(node, "bases")]
    (known,) = (node for each in classes for node in each.body if isinstance(node, ast.If))
    named = {node.name if isinstance(node, ast.FunctionDef) else node.targets[0].id for node in known.body}
    functions = {name: getattr(member, "fget", member) for name, member in vars(result).items()}
    ours = {name: member for name, member in functions.items() if inspect.isfunction(member) and name[:2] != "__"}
    assert {name for name, function in ours.items() if function.__module__ != result.__module__} == named


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a checker finds in a user's script, and in one with two mistakes; in one go, which takes seconds."""
    wrong = tmp_path_factory.mktemp("typed") / "wrong.py"
    wrong.write_text("import kdefrost\nkdefrost.Recipe(epochs='60')\nkdefrost.DefrostProfile.load('p').plott()\n")
    settings = ["--config-file", str(PROJECT / "pyproject.toml"), "--cache-dir", os.devnull]
    says, error, _ = api.run([*settings, str(PROJECT / "tests" / "typed.py"), str(wrong)])
    assert not error
    return [line for line in says.splitlines() if ": error: " in line]


def test_a_checker_knows_every_type_of_a_users_script(found):
    assert not [line for line in found if "wrong.py" not in line]


def test_a_checker_refuses_what_is_wrong(found):
    first, second = (line for line in found if "wrong.py" in line)
    assert "wrong.py:2" in first and '"epochs"' in first
    assert "wrong.py:3" in second and '"plott"' in second
