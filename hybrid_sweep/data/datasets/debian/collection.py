"""The Debian collection: synopses as questions, long descriptions as passages, in the languages of
the translators.

The texts are fetched at run time and carry the free licences of their packages; none is shipped.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hybrid_sweep.data.collection import SPLITS, Collection, make
from hybrid_sweep.data.datasets.debian import apt, package_mirror
from hybrid_sweep.data.datasets.debian.near_copies import duplicates
from hybrid_sweep.data.datasets.debian.package_lists import Lists, read
from hybrid_sweep.data.datasets.debian.text_rules import (
    LANGUAGES,
    Description,
    english_defect,
    fields,
    parse,
    plain,
    stanzas,
    translation_defect,
)
from hybrid_sweep.utils.errors import UserError

WHOLE = "*"  # in the record of what was dropped: a whole group, not a text of one language
# of packages and sources: printable ASCII without a slash or a blank
_NAME = re.compile(r"[a-z0-9][a-z0-9+.\-]*")
_DESCRIPTION = re.compile(r"^Description-md5:\s*(\w+)", re.M)
# Packages that go with another one of the same source and say less about it.
_PART = re.compile(
    r"-(dev|dbg|docs?|dbgsym|data|common|bin|utils|tools|source|examples|headers|cil|udeb|l10n|i18n"
    r"|locale.*|help-.*|plugins?|tests?)$"
)


@dataclass(frozen=True)
class Package:
    """The package that stands for a description."""

    name: str
    source: str
    section: str

    @property
    def group(self) -> str:
        """Return the id of the group: its source tells which split it is in."""
        return f"{self.source}/{self.name}"


class Dropped(Counter[tuple[str, str]]):
    """How many texts each (rule, language) dropped."""

    def record(self) -> dict[str, dict[str, int]]:
        """Return the counts by rule, then by language, in the order of their names."""
        found: dict[str, dict[str, int]] = {}
        for rule, language in sorted(self):
            found.setdefault(rule, {})[language] = self[rule, language]
        return found


def build(
    languages: Sequence[str], *, mirror: str | None, work: Path, progress: Callable[[str], None]
) -> Collection:
    """Return the collection in `languages` and English, without which there are no groups.

    mirror: base address or folder of a mirror, None = the machine's own apt sources. work: folder
    for what is fetched. The result depends on the content of the lists and on the languages alone.
    A group id is "source/package"; splits are drawn by source, so that siblings stay together.
    info: release, counts by language and split, what each rule dropped by language ("*" = whole
    groups). Raises UserError for unknown languages and where no source is reached.
    """
    if unknown := sorted(set(languages) - set(LANGUAGES)):
        raise UserError(
            f"data.languages: debian has no {', '.join(unknown)}; it has"
            f" {', '.join(sorted(LANGUAGES))}",
            key="data.language_missing",
        )
    chosen = [language for language in LANGUAGES if language == "en" or language in languages]
    if len(chosen) < 2:
        raise UserError(
            "data.languages: debian needs a language besides English: a group is a text and"
            " translations",
            key="data.one_language",
        )
    lists = (
        package_mirror.fetch(chosen, mirror, work, progress)
        if mirror
        else apt.fetch(chosen, work, progress)
    )
    return from_lists(lists, progress)


def from_lists(lists: Lists, progress: Callable[[str], None]) -> Collection:
    """Return the collection of a release whose lists are at hand; see `build`."""
    dropped: Dropped = Dropped()
    progress("reading the packages")
    packages = _packages(lists)
    texts: dict[str, dict[str, Description]] = {}
    for number, language in enumerate(lists.translations, 1):
        progress(f"cleaning {language} ({number} of {len(lists.translations)} languages)")
        for md5, raw in _raw_texts(
            lists, language, packages if language == "en" else texts, dropped
        ).items():
            text = parse(raw, language)
            rule = (
                english_defect(text, packages[md5].section)
                if language == "en"
                else translation_defect(raw, text, texts[md5]["en"], language)
            )
            if rule:
                dropped[rule, language] += 1
            else:
                texts.setdefault(md5, {})[language] = text
    progress(f"removing near-copies among {len(texts)} descriptions")
    groups = _distinct({packages[md5]: versions for md5, versions in texts.items()}, dropped)
    if not groups:
        raise UserError(
            "data debian: no description is left after cleaning; are these the lists of a whole"
            " release?",
            key="debian.nothing_left",
        )
    progress(f"writing {len(groups)} groups")
    return _tables(groups, lists, dropped)


def split_of(source: str) -> str:
    """Return the split of a source package: test 10 %, dev 6 %, train the rest, by hash of its
    name.
    """
    place = int(hashlib.sha256(f"debian-split:{source}".encode()).hexdigest(), 16) % 1000
    return "test" if place < 100 else "dev" if place < 160 else "train"


def _packages(lists: Lists) -> dict[str, Package]:
    """Return the package that stands for each description, by the description's MD5: the shortest
    name, then the first.
    """
    found: dict[str, tuple[str, Package]] = {}
    for stanza in (
        stanza for path in lists.packages for stanza in stanzas(read(path, lists.sha256.get(path)))
    ):
        entry = fields(stanza)
        name, md5 = entry.get("Package", ""), entry.get("Description-md5", "")
        source = (entry.get("Source") or name).split(" ")[0]
        if md5 and _NAME.fullmatch(name) and _NAME.fullmatch(source):
            this = (md5, Package(name, source, entry.get("Section", "").rpartition("/")[2]))
            # A package in two versions keeps one, whichever list and place it comes from.
            found[name] = min(
                this,
                found.get(name, this),
                key=lambda item: (item[0], item[1].source, item[1].section),
            )
    best: dict[str, Package] = {}
    for md5, package in found.values():
        best[md5] = min(
            package, best.get(md5, package), key=lambda item: (len(item.name), item.name)
        )
    return best


def _raw_texts(
    lists: Lists, language: str, wanted: Iterable[str], dropped: Dropped
) -> dict[str, str]:
    """Return the descriptions in a language whose English original is wanted, by MD5."""
    field, known, strange = f"Description-{LANGUAGES[language]}", frozenset(wanted), set()
    found: dict[str, str] = {}
    for path in lists.translations[language]:
        for stanza in stanzas(read(path, lists.sha256.get(path))):
            if not (match := _DESCRIPTION.search(stanza)):
                continue
            md5 = match[1]
            if md5 not in known:
                strange.add(md5)
            elif raw := fields(stanza).get(field):
                # several packages may have one description
                found[md5] = min(raw, found.get(md5, raw))
    dropped["no package" if language == "en" else "no english", language] += len(strange)
    return found


def _distinct(
    groups: dict[Package, dict[str, Description]], dropped: Dropped
) -> dict[Package, dict[str, Description]]:
    """Return the groups of two languages or more without copies: of English texts first, then of
    repeats in each language.
    """
    parallel = {package: versions for package, versions in groups.items() if len(versions) > 1}
    dropped["one language", WHOLE] += len(groups) - len(parallel)
    # Main packages before their parts, then what most languages have.
    order = sorted(
        parallel,
        key=lambda package: (
            bool(_PART.search(package.name)),
            -len(parallel[package]),
            len(package.name),
            package.name,
        ),
    )
    english = [parallel[package]["en"] for package in order]
    verdicts = duplicates(
        [plain(text.body) for text in english],
        [text.plain_synopsis for text in english],
        [package.source for package in order],
    )
    dropped.update((verdict, WHOLE) for verdict in verdicts if verdict)
    seen: set[tuple[str, str, str]] = set()
    left: dict[Package, dict[str, Description]] = {}
    for package in (
        package for package, verdict in zip(order, verdicts, strict=True) if not verdict
    ):
        for language, text in parallel[package].items():
            keys = {
                rule: (rule, language, plain(part))
                for rule, part in (
                    ("repeated synopsis", text.synopsis),
                    ("repeated body", text.body),
                )
            }
            repeated = next((rule for rule, key in keys.items() if key in seen), None)
            if repeated:
                dropped[repeated, language] += 1
            else:
                seen.update(keys.values())
                left.setdefault(package, {})[language] = text
    whole = {
        package: versions
        for package, versions in left.items()
        if "en" in versions and len(versions) > 1
    }
    dropped["one language left", WHOLE] += len(left) - len(whole)
    return whole


def _tables(
    groups: dict[Package, dict[str, Description]], lists: Lists, dropped: Dropped
) -> Collection:
    rows = [
        (package.group, language, split_of(package.source), text)
        for package, versions in groups.items()
        for language, text in versions.items()
    ]
    columns = {
        "group": [row[0] for row in rows],
        "lang": [row[1] for row in rows],
        "split": [row[2] for row in rows],
    }
    queries, passages = (
        pa.table(
            {
                "id": [f"{group}@{language}:{kind}" for group, language, _, _ in rows],
                **columns,
                "text": texts,
            }
        )
        for kind, texts in (
            ("q", [row[3].synopsis for row in rows]),
            ("p", [row[3].body for row in rows]),
        )
    )
    names = sorted(package.group for package in groups)
    qrels = pa.table(
        {
            "query_group": names,
            "passage_group": names,
            "grade": pa.array([1] * len(names), pa.int32()),
        }
    )
    counts = Counter((language, split) for _, language, split, _ in rows)
    per_split = Counter(split_of(package.source) for package in groups)
    return make(
        "debian",
        queries,
        passages,
        qrels,
        {
            "source": "package descriptions of " + (lists.release.get("origin") or "Debian"),
            "licence": "the free licence of each package; fetched by its user, not passed on",
            "release": dict(lists.release),
            "groups": {split: per_split[split] for split in SPLITS},
            "counts": {
                language: {split: counts[language, split] for split in SPLITS}
                for language in lists.translations
            },
            "dropped": dropped.record(),
        },
    )
