"""What runs elsewhere is well formed: workflows, templates, hooks; and what they call is there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted([*ROOT.glob("docs/*.py"), *ROOT.glob("benchmarks/*.py")])
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))

IN_A_WORKFLOW = {"name", "on", "permissions", "concurrency", "env", "jobs"}
IN_A_JOB = {"name", "runs-on", "needs", "if", "strategy", "env", "environment", "permissions",
            "timeout-minutes", "steps"}  # fmt: skip
IN_A_STEP = {"name", "id", "if", "uses", "with", "run", "env"}
IN_A_HOOK = {"id", "name", "entry", "language", "types_or", "pass_filenames", "require_serial",
             "additional_dependencies"}  # fmt: skip
EVENTS = {"push", "pull_request", "schedule", "workflow_dispatch"}


def read(path: Path) -> Any:
    """Return what a YAML file holds; `on` is no boolean here."""
    text = re.sub(r"^on:", '"on":', path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return yaml.safe_load(text)


def steps_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def made(commands: str) -> set[str]:
    """Return the targets that lines of a shell make."""
    made_there = r"^ *(?:\w+=\S+ )*make ((?:[a-z][\w-]* ?)+)(?:$|[|>])"
    lines = re.findall(made_there, commands, re.MULTILINE)
    return {target for line in lines for target in line.split()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_says_what_is_known(path):
    workflow = read(path)
    assert set(workflow) <= IN_A_WORKFLOW
    assert {"name", "on", "permissions", "jobs"} <= set(workflow)
    assert set(workflow["on"]) <= EVENTS
    for name, job in workflow["jobs"].items():
        assert set(job) <= IN_A_JOB, name
        assert {"runs-on", "timeout-minutes", "steps"} <= set(job), name
        needed = job.get("needs", [])
        assert {needed} if isinstance(needed, str) else set(needed) <= set(workflow["jobs"]), name
    for step in steps_of(workflow):
        assert set(step) <= IN_A_STEP, step
        assert ("uses" in step) != ("run" in step), step
        assert re.fullmatch(r"[\w-]+/[\w-]+@[\w./]+", step.get("uses", "a/b@v1")), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_calls_is_in_the_repository(path):
    for step in steps_of(read(path)):
        command = step.get("run", "")
        assert made(command) <= TARGETS, command
        if command.startswith("."):
            assert (ROOT / command).is_file(), command


def test_every_python_that_is_promised_is_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    jobs = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    tested = jobs["test"]["strategy"]["matrix"]["python"]
    assert tested == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == f">={tested[0]}"


def test_ci_makes_what_there_is_to_make():
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    wanted = {
        "test",
        "quick",
        "demo",
        "lint",
        "types",
        "docs",
        "test-clients",
        "test-browser",
        "dist",
        "clean",
    }
    assert made(commands) == wanted
    assert wanted <= TARGETS


def test_every_target_without_a_file_is_phony():
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == TARGETS


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_for_issues_asks_for_something(path):
    form = read(path)
    if path.stem == "config":
        assert set(form) == {"blank_issues_enabled"}
        return
    assert set(form) == {"name", "description", "labels", "body"}
    for field in form["body"]:
        assert set(field) == {"type", "id", "attributes", "validations"}
        assert field["type"] == "textarea"
        assert set(field["attributes"]) <= {"label", "description", "render"}
        assert set(field["validations"]) == {"required"}


def test_hooks_are_those_of_lint_and_types():
    hooks = [
        hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]
    ]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format", "mypy"]
    for hook in hooks:
        assert set(hook) <= IN_A_HOOK
        assert {"id", "name", "entry", "language"} <= set(hook)
        assert made(hook["entry"]) <= TARGETS


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_imports_what_is_there(path):
    """No test runs these: a module that was moved would be missed."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hstcube"):
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                below = f"{node.module}.{name}"
                assert hasattr(module, name) or importlib.util.find_spec(below), below


def test_paths_of_pages_and_templates_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md")]
    pages = [page for page in pages if not {"_made", "_build"} & set(page.parts)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            made = target.startswith("_made/")  # by `make docs`, which looks at its links
            assert made or (page.parent / target).exists(), f"{page.name}: {target}"
        for path in re.findall(
            r"`((?:docs|tests|benchmarks|notebooks|hstcube)/[\w./-]+\.\w+)`", text
        ):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_no_two_files_of_tests_have_one_name():
    """Without packages pytest knows them by their names alone."""
    names = sorted(path.name for path in ROOT.glob("tests/**/test_*.py"))
    assert names == sorted({*names})


def test_no_test_imports_another():
    for path in ROOT.glob("tests/**/*.py"):
        imported = re.findall(
            r"^\s*(?:from|import) (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert not imported, path
