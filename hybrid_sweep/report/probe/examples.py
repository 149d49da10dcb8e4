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
        entries = []
        for record in lost:
            if record["question"] not in shown:
                entries += [(one, record) for one in record["lost"] if one["setting"] == setting]
        largest: dict[str, tuple[Record, Record]] = {}
        for entry, record in largest_first(entries):
            largest.setdefault(record["question"], (entry, record))
        taken = list(largest.values())
        for entry, record in taken[:count]:
            shown.add(record["question"])
            lines += _example(entry, record)
    return lines if shown else [*lines, "None is lost."]


def largest_first(entries: Sequence[tuple[Record, Record]]) -> list[tuple[Record, Record]]:
    """Return entries with their records, by the drop; ties by question and query language."""

    def place(pair: tuple[Record, Record]) -> tuple[float, str, str]:
        entry, record = pair
        return -entry["drop"], record["question"], entry["query_language"]

    return sorted(entries, key=place)


def text_of(record: Record, key: str, value: str) -> str | None:
    """Return the text of the first query of a question with this id or language; None where there
    is none.
    """
    for query in record["queries"]:
        if query[key] == value:
            text: str | None = query["text"]
            return text
    return None


def _ranks(ranks: Sequence[int | None]) -> str:
    """Return the ranks of all seeds, in words."""
    return listed("beyond" if rank is None else f"{rank:,}" for rank in ranks)


def _example(entry: Record, record: Record) -> list[str]:
    query = text_of(record, "id", entry["query"])
    passages = record["relevant"] or []
    own = entry["passage_language"]
    if own == "*":
        own = entry["query_language"]
    mine = [row for row in passages if row["language"] == own] or passages
    where = entry["query_language"]
    if entry["setting"] != "monolingual":
        where += f">{entry['passage_language']}"
    head = f"{entry['setting']}, {where}"
    ranks = _ranks(entry["rank_at_0"]), _ranks(entry["rank"])
    asked = f"{markdown(head)}, {markdown_code(entry['query'])}"
    lines = [f"- {asked}: rank {ranks[0]} at r = 0, {ranks[1]} at r = {record['ratio']:g}"]
    if query:
        lines.append(f"  - query: {markdown(quoted(query))}")
    lines += [
        f"  - relevant, {markdown(row['language'])}: {markdown(quoted(row['text']))}"
        for row in mine[:1]
    ]
    return lines


def widest(weak: Sequence[Record]) -> list[str]:
    """Return the questions whose languages lie widest apart in their own pools, each with its best
    and its worst language.
    """
    entries = []
    for record in weak:
        for entry in record["weak"]:
            if entry["setting"] == "monolingual":
                entries.append((entry, record))
    entries.sort(key=lambda pair: (-pair[0]["spread"], pair[1]["question"]))
    lines = []
    for entry, record in entries[: EXAMPLES["monolingual"]]:
        means = {}
        for language, ranks in entry["rank"].items():
            means[language] = sum(1 / rank if rank else 0.0 for rank in ranks)
        best = max(entry["answered_in"], key=lambda language: (means[language], language))
        worst = min(entry["missed_in"], key=lambda language: (means[language], language))
        lines.append(
            f"- {markdown_code(record['question'])}, answered in {markdown(best)}, missed in"
            f" {markdown(worst)}"
        )
        for language in (best, worst):
            line = f"  - {markdown(language)}, rank {_ranks(entry['rank'][language])}"
            text = text_of(record, "language", language)
            lines.append(f"{line}: {markdown(quoted(text))}" if text else line)
    return lines


def quoted(text: str) -> str:
    """Return a text in one line, cut where it is long; the files have it whole."""
    plain = " ".join(text.split())
    return plain if len(plain) <= QUOTED else plain[:QUOTED].rstrip() + " ..."
