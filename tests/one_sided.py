"""Small collections of files in which languages only ask or only answer."""

import json
import random
from pathlib import Path

LANGUAGES = {"neuclir": ("en", "fa", "ru", "zh"), "translated": ("de", "en", "fr", "zh")}


def text(draw: random.Random, lang: str, concept: int, words: int = 6) -> str:
    """Words of a concept, most of them a language's own, the others common to all."""
    chosen = []
    for place in range(words):
        own = draw.random() < 0.6
        word = f"{lang}{(concept * 7 + place * 3) % 120}"
        chosen.append(word if own else f"x{(concept * 5 + place) % 90}")
    return " ".join(chosen)


def write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def neuclir(folder: Path, questions: int = 60) -> Path:
    """English questions; passages in zh, fa and ru, none a translation of another, with grades; a
    fifth of the questions has no relevant passage in ru.
    """
    draw = random.Random(0)
    queries, passages, judged = [], [], []
    for number in range(questions):
        split = "train" if number % 3 else "test"
        query = f"q{number}"
        queries.append({"id": query, "text": text(draw, "en", number), "lang": "en"})
        queries[-1]["split"] = split
        for lang in ("zh", "fa", "ru"):
            grades = [3, 1, 0] if lang == "zh" else [2, 0]
            if lang == "ru" and number % 5 == 0:
                grades = [0]
            for place, grade in enumerate(grades):
                name = f"d{number}-{lang}-{place}"
                about = number if grade else number + 1
                passages.append({"id": name, "text": text(draw, lang, about, 12), "lang": lang})
                judged.append({"query": query, "passage": name, "grade": grade})
    return _written(folder, queries, passages, judged)


def translated(folder: Path, questions: int = 60) -> Path:
    """English questions over passages that stand in de, fr and zh, as a training set is translated
    for them.
    """
    draw = random.Random(1)
    queries, passages, judged = [], [], []
    for number in range(questions):
        split = "train" if number % 3 else "test"
        query = {"id": f"q{number}", "text": text(draw, "en", number), "lang": "en"}
        queries.append(query | {"split": split})
        for lang in ("de", "fr", "zh"):
            passage = {"id": f"d{number}-{lang}", "text": text(draw, lang, number, 12)}
            passages.append(passage | {"lang": lang, "group": f"d{number}"})
        judged.append({"query": f"q{number}", "passage": f"d{number}-de", "grade": 1})
    return _written(folder, queries, passages, judged)


def _written(folder: Path, queries: list, passages: list, judged: list) -> Path:
    write(folder / "queries.jsonl", queries)
    write(folder / "passages.jsonl", passages)
    write(folder / "qrels.jsonl", judged)
    return folder
