"""Recomputes every number of a report.html from the runs' per_query.parquet, knowing nothing of
hybrid_sweep.

Needs numpy, scipy, pandas and pyarrow alone:  python recompute.py SWEEP_DIR REPORT_HTML
It reads points.json for the list of points and the margin, and each run's per_query.parquet. Two things are no scores and
come from elsewhere: the training examples that a run saw (metrics.json, which also says that a run is finished), and which
languages were trained on (a list in the page, from config.yaml). Prints what was compared, as JSON, and every difference.
"""

import importlib.util
import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from recompute_derived import AGAINST, derived
from recompute_results import NAN, Row, place_of, read, results

NAMES = ["cross-lingual MRR@10", "same-language share of the top 10", "rank distance"]


class Page(HTMLParser):
    """The JSON block; each labelled table as (label, head, rows of (text, data-value)); all other
    text.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.block = ""
        self.tables: list[tuple[str, list[str], list[list[list[Any]]]]] = []
        self.words: list[tuple[str, str]] = []
        self.path: list[tuple[str, dict[str, Any]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("meta", "input", "br"):
            return
        self.path.append((tag, found))
        if tag == "div" and found.get("role") == "region":
            self.tables.append((found["aria-label"], [], []))
        if tag == "tr" and self._labelled() and any(t == "tbody" for t, _ in self.path):
            self.tables[-1][2].append([])
        if tag == "td" and self._labelled():
            self.tables[-1][2][-1].append(["", found.get("data-value")])

    def _labelled(self) -> bool:
        return any(tag == "div" and found.get("role") == "region" for tag, found in self.path)

    def handle_endtag(self, tag: str) -> None:
        self.path.pop()

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.path]
        if "script" in tags:
            self.block += data if self.path[-1][1].get("id") == "results" else ""
        elif self._labelled() and "th" in tags:
            self.tables[-1][1].append(data)
        elif self._labelled() and "td" in tags:
            self.tables[-1][2][-1][-1][0] += data
        elif "main" in tags:
            self.words.append(
                (
                    data,
                    next((found.get("class") for _, found in self.path if found.get("class")), ""),
                )
            )


def derived_place(row: Row) -> tuple[Any, ...]:
    """What a row of derived.csv is about; a curve has one slope and one turn."""
    ratio = row.get("ratio")
    ratio = None if row["statistic"] == "reversal" or ratio is None else round(ratio, 6)
    against = "" if row["statistic"] == "reversal" else row.get("against", "")
    return row["statistic"], row["setting"], row["measure"], row["scope"], against, ratio


class Check:
    """Counts the cells that hold something and were compared, and keeps what differs."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.wrong: list[str] = []
        self.numbers: set[float] = set()

    def same(self, kind: str, where: str, shown: Any, truth: Any) -> None:
        """Numbers agree to seven digits (the page has nine), words exactly; nothing is NaN, None,
        "" or, for counts, 0.
        """
        empty = truth in ("", None) or (isinstance(truth, float) and math.isnan(truth))
        self.counts[kind] = self.counts.get(kind, 0) + (not empty)
        if isinstance(truth, str) or (isinstance(shown, str) and shown != "inf"):
            fine = (shown or "") == (truth or "")
        else:
            shown, truth = (NAN if v is None else float(v) for v in (shown, truth))
            fine = math.isclose(shown, truth, rel_tol=1e-7, abs_tol=1e-9) or (
                math.isnan(shown) and math.isnan(truth)
            )
            if not math.isnan(truth):
                self.numbers.add(truth)
        if not fine:
            self.wrong.append(f"{where}: the page has {shown!r}, the tables give {truth!r}")

    def rows(
        self, kind: str, columns: list[str], shown: list[Row], truth: list[Row], place: Any
    ) -> None:
        """A frame of the page against recomputed rows, cell by cell; neither may have a row that
        the other lacks.
        """
        ours = {place(row): row for row in truth}
        theirs = {place(row): row for row in shown}
        if kind == "results":  # several missing points may have one place
            ours |= {
                (*place(row), row["run_ids"]): row for row in truth if row["status"] == "missing"
            }
            theirs |= {
                (*place(row), row["run_ids"]): row for row in shown if row["status"] == "missing"
            }
        for key in sorted(set(ours) ^ set(theirs), key=str):
            self.wrong.append(
                f"{kind} {key}: only {'the page' if key in theirs else 'the tables'} has such a row"
            )
        for key in set(ours) & set(theirs):
            for name in columns:
                truth = ours[key].get(
                    name, 0 if name in COUNTS else NAN if name not in WORDS else ""
                )
                self.same(f"{kind}.{name}", f"{kind} {key} {name}", theirs[key][name], truth)


WORDS = {
    "kind",
    "setting",
    "measure",
    "scope",
    "status",
    "seeds",
    "interval",
    "delta_interval",
    "verdict",
    "run_ids",
}
WORDS |= {"statistic", "against", "word", "by_means"}
COUNTS = {"n_seeds", "n_questions", "n_clusters", "n_rows", "delta_seeds", "won", "tied", "lost"}
BY_RATIO = {
    "seeds": "n_seeds",
    "mono MRR@10": "mean",
    "change": "delta",
    "relative": "relative",
    "won": "won",
}
BY_RATIO |= {"tied": "tied", "lost": "lost", "mono examples": "examples_monolingual"}
BY_RATIO |= {
    "cross examples": "examples_cross_lingual",
    "r": "ratio",
    "MRR@10": "mean",
    "Holm over languages and ratios": "p_holm",
}
BY_RATIO |= {"questions": "n_questions"}
OTHERS = {
    "English": ("monolingual", "RR@10", "en"),
    "cross MRR@10": ("cross-lingual", "RR@10", "macro"),
}
OTHERS |= {
    "multi mAP": ("multilingual", "AP", "macro"),
    "same-lang": ("multilingual", "same@10", "macro"),
}
OTHERS |= {"rank dist.": ("multilingual", "RD", "macro")}
LANGUAGE = {
    "r": "ratio",
    "change to r = 0": "value",
    "Holm over languages and ratios": "p_holm",
    "seeds": "n_seeds",
}
LANGUAGE |= {"questions": "n_questions"}


def check_tables(check: Check, tables: Any, rows: list[Row], more: list[Row]) -> None:
    """Every number in a sortable table: found by the row's language and ratio and the column's
    name, then compared.
    """
    at = {place_of(row): row for row in rows}
    extra = {derived_place(row): row for row in more}
    kinds = {"untrained": "untrained", "BM25": "bm25"}
    for label, head, body in tables:
        for cells in body:
            named = dict(zip(head, (text for text, _ in cells), strict=True))
            kind = kinds.get(named["r"], "trained")
            ratio = float(named["r"]) if kind == "trained" else None
            scope = named.get("language", "macro")
            nothing = {"ratio": ratio, "n_seeds": 0}  # a ratio of which no point is finished
            row = at.get((kind, ratio, "monolingual", "RR@10", scope), nothing)
            for i, (text, value) in enumerate(cells):
                where = f"{label}, {named.get('language', '')} r {named['r']}, {head[i]}"
                truth = None
                if label.startswith("Against "):
                    setting, measure = next(
                        a[:2]
                        for a, n in zip(AGAINST, NAMES, strict=True)
                        if label == f"Against {n}"
                    )
                    other = at[kind, ratio, setting, measure, "macro"]
                    key = ("monolingual", "RR@10", "macro", f"{setting} {measure}", ratio)
                    front, price = extra["front", *key], extra.get(("price", *key), {})
                    truths = {
                        "r": ratio,
                        "mono MRR@10": row["mean"],
                        "change": row.get("delta"),
                        "its value": other["mean"],
                        "its change": other.get("delta"),
                        "in resamples": front["value"],
                    }
                    truth = truths.get(head[i])
                    if head[i].startswith("price per "):
                        truth = price.get("value")
                elif head[i] in OTHERS:
                    truth = at.get((kind, ratio, *OTHERS[head[i]]), {}).get("mean")
                elif label in ("By ratio", "By language"):
                    truth = row.get(BY_RATIO.get(head[i], ""))
                else:
                    found = extra["language", "monolingual", "RR@10", scope, "", ratio]
                    truth = found.get(LANGUAGE.get(head[i], ""))
                if value is not None:
                    check.same(
                        f"cell.{head[i]}", where, float(value), NAN if truth is None else truth
                    )
                if (
                    "interval" in head[i]
                    and text.startswith("[")
                    and not label.startswith("Against")
                ):
                    names = (
                        ("delta_low_90", "delta_high_90")
                        if "90" in head[i]
                        else ("delta_low", "delta_high")
                    )
                    low, high = (round(row[name], 3) + 0.0 for name in names)  # no negative zero
                    check.same(
                        "cell.interval",
                        where,
                        text.removesuffix(" questions only"),
                        f"[{low:+.3f}, {high:+.3f}]",
                    )


def check_words(check: Check, words: list[tuple[str, str]], margin: float) -> None:
    """Every decimal number in a sentence is the rounding of a number compared above, the margin or
    a level of it.
    """
    known = [
        *check.numbers,
        margin,
        -margin,
        *(100 * n for n in check.numbers),
        0.05,
        0.001,
        1.0,
        0.0,
    ]
    known = np.array(sorted(n for n in known if math.isfinite(n)))
    for text, kind in words:
        for found in re.finditer(r"(?<![\w.])[+-]?\d+(?:,\d{3})*\.\d+(?![\w.])", text):
            number = float(found[0].replace(",", ""))
            digits = len(found[0].split(".")[1])
            near = np.abs(known - number).min()
            check.counts["words"] = check.counts.get("words", 0) + 1
            if near > 0.5001 * 10**-digits:
                check.wrong.append(
                    f"in words ({kind}): {found[0]} in {text[:80]!r} is none of the numbers"
                )


def recomputed(
    sweep_dir: Path, trained: list[str]
) -> tuple[float, list[Row], list[Row], list[Row]]:
    """The margin, the planned points, and all rows of results.csv and derived.csv."""
    margin, points, runs = read(sweep_dir)
    rows, curves = results(margin, points, runs, trained)
    return margin, points, rows, derived(points, runs, rows, curves)


def tested(more: list[Row]) -> list[Row]:
    """The rows of derived.csv that the page draws: no line, band, turn or front over the questions
    alone.
    """
    shapes = ("slope", "isotonic", "band", "knee", "reversal", "front")
    few = [row for row in more if row["statistic"] == "slope" and row["interval"] != "crossed"]
    curves = {tuple(row[key] for key in ("setting", "measure", "scope")) for row in few}
    kept = []
    for row in more:
        of_few = tuple(row[key] for key in ("setting", "measure", "scope")) in curves
        front_of_few = row["statistic"] == "front" and row["interval"] == "conditional"
        if not (row["statistic"] in shapes and of_few) and not front_of_few:
            kept.append(row)
    return kept


def compare(text: str, margin: float, points: list[Row], rows: list[Row], more: list[Row]) -> Check:
    """Every number of a page against the recomputed ones."""
    page, check = Page(text), Check()
    block = json.loads(page.block)
    for name, part, truth, place in [
        ("results", block, rows, place_of),
        ("derived", block["derived"], tested(more), derived_place),
    ]:
        shown = [dict(zip(part["columns"], row, strict=True)) for row in part["rows"]]
        check.rows(name, part["columns"], shown, truth, place)
    check.same("margin", "margin", block["margin"], margin)
    planned = sorted({float(p["ratio"]) for p in points if p["kind"] == "trained"})
    check.same("ratios", "ratios", str(block["ratios"]), str(planned))
    best = None
    for row in rows:
        if place_of(row)[2:] == ("monolingual", "RR@10", "macro") and "delta" in row:
            if row["verdict"] not in ("non-inferior", "superior"):
                break
            best = row["ratio"]
    check.same(
        "best", "largest ratio still non-inferior", block["best"], NAN if best is None else best
    )
    check_tables(check, page.tables, rows, more)
    for row in more:  # tables show what is not drawn, too
        if row not in tested(more):
            check.numbers |= {float(v) for v in row.values() if isinstance(v, int | float)}
    check_words(check, page.words, margin)
    return check


def main() -> None:
    """Compare the page with the tables; what is importable here tells whether the environment is a
    clean one.
    """
    text = Path(sys.argv[2]).read_text(encoding="utf-8")
    check = compare(text, *recomputed(Path(sys.argv[1]), json.loads(Page(text).block)["trained"]))
    names = [
        "torch",
        "lightning",
        "pytorch_lightning",
        "hydra",
        "matplotlib",
        "transformers",
        "yaml",
        "hybrid_sweep",
    ]
    importable = [name for name in names if importlib.util.find_spec(name)]
    print(json.dumps({"importable": importable, "counts": check.counts, "wrong": check.wrong}))


if __name__ == "__main__":
    main()
