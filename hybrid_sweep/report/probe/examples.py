"""The examples of probe.md: the questions that change most, quoted; the files have the whole
texts.
"""

from collections.abc import Sequence

from hybrid_sweep.report.probe.texts import Record
from hybrid_sweep.report.render.numbers import listed
from hybrid_sweep.utils.escaping import markdown, markdown_code

EXAMPLES = {"monolingual": 5, "cross-lingual": 3, "multilingual": 3}
QUOTED = 240  # characters of a passage in an example


def examples(lost: Sequence[Record], source: str) -> list[str]:
    """Return the questions with the largest drops, a few of each setting, each question once;
    `source` says where texts are from.
    """
    lines = [source, ""]
    shown: set[str] = set()
    for setting, count in EXAMPLES.items():
        found = [
            (entry, record)
            for record in lost
            for entry in record["lost"]
            if entry["setting"] == setting
        ]
        found = [pair for pair in found if pair[1]["question"] not in shown]
        found.sort(
            key=lambda pair: (-pair[0]["drop"], pair[1]["question"], pair[0]["query_language"])
        )
        taken = list(
            {record["question"]: (entry, record) for entry, record in reversed(found)}.values()
        )
        taken.sort(key=lambda pair: (-pair[0]["drop"], pair[1]["question"]))
        for entry, record in taken[:count]:
            shown.add(record["question"])
            lines += _example(entry, record)
    return lines if shown else [*lines, "None is lost."]


def _example(entry: Record, record: Record) -> list[str]:
    query = next((row for row in record["queries"] if row["id"] == entry["query"]), {"text": None})
    passages = record["relevant"] or []
    own = entry["query_language"] if entry["passage_language"] == "*" else entry["passage_language"]
    mine = [row for row in passages if row["language"] == own] or passages
    where = (
        f"{entry['query_language']}>{entry['passage_language']}"
        if entry["setting"] != "monolingual"
        else ""
    )
    head = f"{entry['setting']}, {where or entry['query_language']}"
    ranks = [
        listed("beyond" if rank is None else f"{rank:,}" for rank in entry[name])
        for name in ("rank_at_0", "rank")
    ]
    asked = f"{markdown(head)}, {markdown_code(entry['query'])}"
    lines = [f"- {asked}: rank {ranks[0]} at r = 0, {ranks[1]} at r = {record['ratio']:g}"]
    if query["text"]:
        lines.append(f"  - query: {markdown(quoted(query['text']))}")
    lines += [
        f"  - relevant, {markdown(row['language'])}: {markdown(quoted(row['text']))}"
        for row in mine[:1]
    ]
    return lines


def widest(weak: Sequence[Record]) -> list[str]:
    """Return the questions whose languages lie widest apart in their own pools, each with its best
    and its worst language.
    """
    found = [
        (entry, record)
        for record in weak
        for entry in record["weak"]
        if entry["setting"] == "monolingual"
    ]
    found.sort(key=lambda pair: (-pair[0]["spread"], pair[1]["question"]))
    lines = []
    for entry, record in found[: EXAMPLES["monolingual"]]:
        means = {
            language: sum(1 / rank if rank else 0.0 for rank in entry["rank"][language])
            for language in entry["rank"]
        }
        best = max(entry["answered_in"], key=lambda language: (means[language], language))
        worst = min(entry["missed_in"], key=lambda language: (means[language], language))
        lines.append(
            f"- {markdown_code(record['question'])}, answered in {markdown(best)}, missed in"
            f" {markdown(worst)}"
        )
        for language in (best, worst):
            text = next(
                (row["text"] for row in record["queries"] if row["language"] == language), None
            )
            ranks = listed(
                "beyond" if rank is None else f"{rank:,}" for rank in entry["rank"][language]
            )
            lines.append(
                f"  - {markdown(language)}, rank {ranks}"
                + (f": {markdown(quoted(text))}" if text else "")
            )
    return lines


def quoted(text: str) -> str:
    """Return a text in one line, cut where it is long; the files have it whole."""
    plain = " ".join(text.split())
    return plain if len(plain) <= QUOTED else plain[:QUOTED].rstrip() + " ..."
