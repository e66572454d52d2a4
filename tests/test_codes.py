"""The catalogue of codes says what each one means, and holds no other."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

import hstcube
from hstcube.errors import TWO_WAYS, Code, HstCubeError, codes, language

SOURCES = sorted(Path(hstcube.__file__).parent.rglob("*.py"))
TESTS = sorted([*Path(__file__).parent.rglob("test_*.py"), Path(__file__).with_name("defects.py")])
_CODE = re.compile(r'"(HC-[A-Z]\d\d)"')


def quoted(files: list[Path]) -> set[str]:
    """Return the codes that files name, as strings of their own."""
    return {code for path in files for code in _CODE.findall(path.read_text(encoding="utf-8"))}


def said_in_warnings() -> set[str]:
    """Return the codes that the sources pass to `warn`, or that a check finds."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    passed_on = re.findall(
        r'(?:warn\(\s*\w+,|append\(\s*\(|Note\(|[\[(]\s*\()\s*"(HC-[A-Z]\d\d)"', text
    )
    return {*passed_on, *re.findall(r'Finding\("warning",\s*"(HC-[A-Z]\d\d)"', text)}


def said_in_notes() -> set[str]:
    """Return the codes that the sources pass to `note`, or tell of files as oddities."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    noted = set(re.findall(r'note\(\s*\w+,\s*"(HC-[A-Z]\d\d)"', text))
    return noted | {code for code in said_in_warnings() if codes()[code].kind == "N"}


def said_to_both(text: str) -> list[str]:
    """Return a text as the command line says it, and as Python does."""
    return [TWO_WAYS.sub(f"\\{half}", text) for half in (1, 2)]


def said_in_errors() -> set[str]:
    """Return the codes that the sources raise."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    raised = r'(?:Error\(\s*|code, fix = \(|code=|code: str = )"(HC-[A-Z]\d\d)"'
    return set(re.findall(raised, text))


def test_the_catalogue_holds_the_codes_that_are_used_and_no_other() -> None:
    assert set(codes()) == quoted(SOURCES)


def test_every_code_that_the_sources_speak_of_is_in_the_catalogue() -> None:
    """Also in docstrings and comments, in quotes of any kind, and inside longer strings."""
    for path in SOURCES:
        spoken_of = set(re.findall(r"HC-[A-Z]\d\d", path.read_text(encoding="utf-8")))
        assert spoken_of <= set(codes()), path


def test_the_page_explains_every_code_once() -> None:
    page = Path(__file__).parents[1] / "docs" / "errors.md"
    explained = re.findall(r"^\| (HC-[A-Z]\d\d) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(explained) == sorted(codes())


def test_no_code_is_there_twice() -> None:
    table = Path(hstcube.__file__).with_name("codes.csv").read_text(encoding="utf-8").splitlines()
    listed = [line.split(",")[0] for line in table[1:]]
    assert table[0] == "code,kind,meaning,cause,fix,mend"
    assert len(listed) == len(set(listed)) == len(codes())


@pytest.mark.parametrize("code", codes().values(), ids=codes())
def test_a_code_is_explained_in_sentences(code: Code) -> None:
    assert code.kind in ("E", "W", "N")
    for text in (code.meaning, code.cause, code.fix, *said_to_both(code.fix)):
        assert text == text.strip()
        assert text.endswith(".")
        assert text.lstrip("[")[0].isupper()
        assert text.isascii()
    assert len({code.meaning, code.cause, code.fix}) == 3


def test_what_is_only_warned_of_is_a_warning_and_all_else_an_error() -> None:
    warnings = {code.code for code in codes().values() if code.kind == "W"}
    assert warnings == said_in_warnings() - said_in_errors() - said_in_notes()
    notes = {code.code for code in codes().values() if code.kind == "N"}
    assert notes == said_in_notes()
    assert set(codes()) - warnings - notes == said_in_errors()


def test_every_code_is_made_by_a_test() -> None:
    made = {
        code
        for path in TESTS
        for code in re.findall(r"HC-[A-Z]\d\d", path.read_text(encoding="utf-8"))
    }
    assert set(codes()) <= made


def test_a_message_speaks_the_language_of_who_called() -> None:
    error = HstCubeError(
        "HC-K01", "no [[--sky|sky=]]", "give [[--sky FILE|sky=]] or a map", file="a"
    )
    assert error.fix == "give sky= or a map"
    token = language.set("shell")
    try:
        assert error.fix == "give --sky FILE or a map"
        assert "no --sky" in str(error)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    finally:
        language.reset(token)
    assert "sky=" in str(error)
