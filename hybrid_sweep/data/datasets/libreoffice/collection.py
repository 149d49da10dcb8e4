"""The collection of LibreOffice's help: headings as questions, the sections below them as passages,
each in all languages that are asked for.

The texts are under the Mozilla Public License 2.0; they are fetched at run time, none is shipped.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from hybrid_sweep.config.schema import LIBREOFFICE_LANGUAGES
from hybrid_sweep.data.collection import CLUSTERED, SPLITS, Collection, check_known, make
from hybrid_sweep.data.datasets.debian.near_copies import duplicates
from hybrid_sweep.data.datasets.debian.text_rules import Description, plain
from hybrid_sweep.data.datasets.libreoffice import help_packages
from hybrid_sweep.data.datasets.libreoffice.pages import SectionId, sections
from hybrid_sweep.data.datasets.libreoffice.section_rules import (
    chapter,
    english_section_defect,
    section_defect,
)
from hybrid_sweep.data.datasets.parallel import WHOLE, Dropped, Version, split_by_hash, tables
from hybrid_sweep.utils.errors import UserError

TEST, DEV = 200, 100  # thousandths of the chapters
Sections = Mapping[SectionId, Description]
Groups = dict[SectionId, dict[str, Description]]


def build(
    languages: Sequence[str], *, mirror: str | None, work: Path, progress: Callable[[str], None]
) -> Collection:
    """Return the collection in `languages` and English: the sections that are fit in all of them,
    so that the pools of all languages have the same size.

    The result depends on the content of the packages and on the languages alone. A group is
    "page#heading", a cluster is a page; splits are drawn by chapter, so that pages of one subject
    stay together. info: release, counts by language and split, and what each rule dropped by
    language ("*" = whole groups; of a language, among the sections that are fit in English).

    Args:
        languages: our codes.
        mirror: base address or folder of a mirror; None = the machine's own apt sources.
        work: folder for what is fetched.
        progress: where to say what is done.

    Raises:
        UserError: for unknown languages, where no source is reached, where a package is missing or
            damaged, and where no section is fit in all languages.
    """
    check_known("libreoffice", languages, sorted(LIBREOFFICE_LANGUAGES))
    chosen = ["en", *sorted(set(languages) - {"en"})]
    if len(chosen) < 2:
        raise UserError(
            "data.languages: libreoffice needs a language besides English: a group is a section and"
            " its translations",
            key="data.one_language",
        )
    packages = help_packages.fetch(chosen, mirror, work, progress)
    texts: dict[str, Sections] = {}
    for number, language in enumerate(chosen, 1):
        progress(f"reading the help in {language} ({number} of {len(chosen)} languages)")
        folder = LIBREOFFICE_LANGUAGES[language]
        texts[language] = sections(packages.files[language], folder)
    return from_sections(texts, packages.release, progress)


def from_sections(
    texts: Mapping[str, Sections], release: Mapping[str, str], progress: Callable[[str], None]
) -> Collection:
    """Return the collection of sections that are at hand, by language; see `build`."""
    dropped: Dropped = Dropped()
    progress(f"cleaning {len(texts['en'])} sections")
    groups = _distinct(_fit(texts, dropped), dropped)
    splits = {}
    pairs = {}
    for place, versions in groups.items():
        name = f"{place.page}#{place.heading}"
        splits[name] = split_of(place.page)
        pairs[name] = {code: Version(text.synopsis, text.body) for code, text in versions.items()}
    if empty := set(SPLITS) - set(splits.values()):
        raise UserError(
            f"data=libreoffice: {len(groups)} sections are fit in all of {', '.join(texts)}; the"
            f" split {', '.join(sorted(empty))} has none of them; ask for fewer languages",
            key="libreoffice.nothing_left",
        )
    progress(f"writing {len(pairs)} groups")
    made = tables(pairs, splits, texts)
    info = {
        "source": "help of LibreOffice, from packages of " + (release.get("origin") or "Debian"),
        "licence": "Mozilla Public License 2.0 (MPL-2.0); fetched by its user, not passed on",
        "release": dict(release),
        "groups": made.groups,
        "counts": made.counts,
        "dropped": dropped.record(),
    }
    whole = make("libreoffice", made.queries, made.passages, made.qrels, info)
    names = sorted(pairs)
    clusters = pa.table([names, [name.partition("#")[0] for name in names]], CLUSTERED.names)
    return dataclasses.replace(whole, clusters=clusters.cast(CLUSTERED))


def split_of(page: str) -> str:
    """Return the split of a page, by a hash of its chapter: test 20 %, dev 10 %, train the rest."""
    return split_by_hash(f"libreoffice-split:{chapter(page)}", test=TEST, dev=DEV)


def _fit(texts: Mapping[str, Sections], dropped: Dropped) -> Groups:
    """Return the sections that break no rule in any language.

    A translation is judged wherever the English section is fit, whatever other languages lack: the
    counts tell how far each is translated.
    """
    english = texts["en"]
    headings = Counter(text.plain_synopsis for text in english.values() if text.body)
    groups: Groups = {}
    for place, original in english.items():
        rule = english_section_defect(original, headings[original.plain_synopsis])
        if rule:
            dropped[rule, WHOLE] += 1
            continue
        versions = {"en": original}
        for language, translated in texts.items():
            if language == "en":
                continue
            if place not in translated:
                rule = "no section"
            else:
                rule = section_defect(translated[place], original, language)
            if rule:
                dropped[rule, language] += 1
            else:
                versions[language] = translated[place]
        if len(versions) == len(texts):
            groups[place] = versions
        else:
            dropped["not in all languages", WHOLE] += 1
    return groups


def _distinct(groups: Groups, dropped: Dropped) -> Groups:
    """Return the groups without copies of earlier ones: of English sections and headings, then of
    either in any language.
    """
    places = list(groups)
    english = [groups[place]["en"] for place in places]
    verdicts = duplicates(
        [plain(text.body) for text in english],
        [text.plain_synopsis for text in english],
        [place.page for place in places],
        per_source=None,
    )
    seen: set[tuple[str, str, str]] = set()
    left: Groups = {}
    for place, verdict in zip(places, verdicts, strict=True):
        if verdict:
            dropped[verdict.replace("synopsis", "heading"), WHOLE] += 1
            continue
        marks = set()
        for language, text in groups[place].items():
            marks.add(("repeated heading", language, text.plain_synopsis))
            marks.add(("repeated section", language, plain(text.body)))
        if repeated := sorted(marks & seen):
            dropped[repeated[0][:2]] += 1
        else:
            seen |= marks
            left[place] = groups[place]
    return left
