"""The docstring of a function begins with a verb that says what it does."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "hybrid_sweep"
VERBS = """
    Add Analyse Answer Append Bound Bring Build Check Close Collect Commit Compare Complete Compute Count Do Draw Encode End
    Evaluate Execute Fetch Fill Find Finish Fork Give Group Have Hold Ignore Import Keep Lay Lease Leave Let Level Lock Make
    Mirror Name Note Open Print Probe Publish Put Raise Rank Read Record Redact Refuse Remove Replace Report Return Run Save
    Say Score See Set Show Split Start Strike Submit Switch Tell Treat Turn Wait Walk Write Yield
""".split()


def first_words(text: str) -> dict[str, str]:
    """The first word of each docstring of a function, by the function's name and line."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            said := ast.get_docstring(node)
        ):
            found[f"{node.name}, line {node.lineno}"] = said.split()[0].rstrip(",")
    return found


def test_the_docstring_of_a_function_begins_with_a_verb():
    wrong, count = [], 0
    for path in sorted(PACKAGE.rglob("*.py")):
        for where, word in first_words(path.read_text()).items():
            count += 1
            if word not in VERBS:
                wrong.append(f"{path.relative_to(PACKAGE)}: {where}: {word}")
    assert wrong == [] and count > 1000


def test_a_docstring_that_begins_with_a_noun_is_seen():
    assert first_words('def f():\n    """The number."""\n') == {"f, line 1": "The"}
