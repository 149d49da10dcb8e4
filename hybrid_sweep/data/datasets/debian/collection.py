"""The Debian collection: synopses as questions, long descriptions as passages, in the languages of
the translators.

The texts are fetched at run time and carry the free licences of their packages; none is shipped.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.data.collection import Collection, check_known, make
from hybrid_sweep.data.datasets.debian import apt, package_mirror
from hybrid_sweep.data.datasets.debian.near_copies import duplicates
from hybrid_sweep.data.datasets.debian.package_lists import PackageLists, read
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
from hybrid_sweep.data.datasets.parallel import WHOLE, Dropped, Version, split_by_hash, tables
from hybrid_sweep.utils.errors import UserError

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
    check_known("debian", languages, sorted(LANGUAGES))
    chosen = [language for language in LANGUAGES if language == "en" or language in languages]
    if len(chosen) < 2:
        raise UserError(
            "data.languages: debian needs a language besides English: a group is a text and"
            " translations",
            key="data.one_language",
        )
    if mirror:
        lists = package_mirror.fetch(chosen, mirror, work, progress)
    else:
        lists = apt.fetch(chosen, work, progress)
    return from_lists(lists, progress)


def from_lists(lists: PackageLists, progress: Callable[[str], None]) -> Collection:
    """Return the collection of a release whose lists are at hand; see `build`."""
    dropped: Dropped = Dropped()
    progress("reading the packages")
    packages = _packages(lists)
    texts: dict[str, dict[str, Description]] = {}
    for number, language in enumerate(lists.translations, 1):
        progress(f"cleaning {language} ({number} of {len(lists.translations)} languages)")
        wanted = packages if language == "en" else texts
        for md5, raw in _raw_texts(lists, language, wanted, dropped).items():
            text = parse(raw, language)
            if language == "en":
                rule = english_defect(text, packages[md5].section)
            else:
                rule = translation_defect(raw, text, texts[md5]["en"], language)
            if rule:
                dropped[rule, language] += 1
            else:
                texts.setdefault(md5, {})[language] = text
    progress(f"removing near-copies among {len(texts)} descriptions")
    groups = _distinct({packages[md5]: versions for md5, versions in texts.items()}, dropped)
    if not groups:
        raise UserError(
            "data=debian: no description is left after cleaning; are these the lists of a whole"
            " release?",
            key="debian.nothing_left",
        )
    progress(f"writing {len(groups)} groups")
    return _tables(groups, lists, dropped)


def sources(collection: Collection) -> dict[str, str]:
    """Return the source package of each question, by its group."""
    groups = set(collection.queries["group"].to_pylist())
    return {group: group.partition("/")[0] for group in sorted(groups)}


def split_of(source: str) -> str:
    """Return the split of a source package: test 10 %, dev 6 %, train the rest, by hash of its
    name.
    """
    return split_by_hash(f"debian-split:{source}", test=100, dev=60)


def _packages(lists: PackageLists) -> dict[str, Package]:
    """Return the package that stands for each description, by the description's MD5: the shortest
    name, then the first.
    """
    by_name: dict[str, tuple[str, Package]] = {}
    for path in lists.packages:
        for stanza in stanzas(read(path, lists.sha256.get(path))):
            entry = fields(stanza)
            name = entry.get("Package", "")
            md5 = entry.get("Description-md5", "")
            source = (entry.get("Source") or name).split(" ")[0]
            if md5 and _NAME.fullmatch(name) and _NAME.fullmatch(source):
                this = (md5, Package(name, source, entry.get("Section", "").rpartition("/")[2]))
                # A package in two versions keeps one, whichever list and place it comes from.
                by_name[name] = min(this, by_name.get(name, this), key=_version_order)
    best: dict[str, Package] = {}
    for md5, package in by_name.values():
        best[md5] = min(package, best.get(md5, package), key=_name_order)
    return best


def _version_order(version: tuple[str, Package]) -> tuple[str, str, str]:
    md5, package = version
    return md5, package.source, package.section


def _name_order(package: Package) -> tuple[int, str]:
    return len(package.name), package.name


def _raw_texts(
    lists: PackageLists, language: str, wanted: Iterable[str], dropped: Dropped
) -> dict[str, str]:
    """Return the descriptions in a language whose English original is wanted, by MD5."""
    field = f"Description-{LANGUAGES[language]}"
    originals = frozenset(wanted)
    strange = set()
    texts: dict[str, str] = {}
    for path in lists.translations[language]:
        for stanza in stanzas(read(path, lists.sha256.get(path))):
            match = _DESCRIPTION.search(stanza)
            if match is None:
                continue
            md5 = match[1]
            if md5 not in originals:
                strange.add(md5)
                continue
            raw = fields(stanza).get(field)
            if raw:  # several packages may have one description
                texts[md5] = min(raw, texts.get(md5, raw))
    dropped["no package" if language == "en" else "no english", language] += len(strange)
    return texts


def _distinct(
    groups: dict[Package, dict[str, Description]], dropped: Dropped
) -> dict[Package, dict[str, Description]]:
    """Return the groups of two languages or more without copies: of English texts first, then of
    repeats in each language.
    """
    parallel = {package: versions for package, versions in groups.items() if len(versions) > 1}
    dropped["one language", WHOLE] += len(groups) - len(parallel)

    # Main packages before their parts, then what most languages have.
    def rank(package: Package) -> tuple[bool, int, int, str]:
        is_part = bool(_PART.search(package.name))
        return is_part, -len(parallel[package]), *_name_order(package)

    order = sorted(parallel, key=rank)
    english = [parallel[package]["en"] for package in order]
    verdicts = duplicates(
        [plain(text.body) for text in english],
        [text.plain_synopsis for text in english],
        [package.source for package in order],
    )
    dropped.update((verdict, WHOLE) for verdict in verdicts if verdict)
    seen: set[tuple[str, str, str]] = set()
    left: dict[Package, dict[str, Description]] = {}
    for package, verdict in zip(order, verdicts, strict=True):
        if verdict:
            continue
        for language, text in parallel[package].items():
            synopsis = ("repeated synopsis", language, plain(text.synopsis))
            body = ("repeated body", language, plain(text.body))
            if synopsis in seen or body in seen:
                dropped[(synopsis if synopsis in seen else body)[0], language] += 1
            else:
                seen |= {synopsis, body}
                left.setdefault(package, {})[language] = text
    whole: dict[Package, dict[str, Description]] = {}
    for package, versions in left.items():
        if "en" in versions and len(versions) > 1:
            whole[package] = versions
    dropped["one language left", WHOLE] += len(left) - len(whole)
    return whole


def _tables(
    groups: dict[Package, dict[str, Description]], lists: PackageLists, dropped: Dropped
) -> Collection:
    pairs: dict[str, dict[str, Version]] = {}
    splits = {}
    for package, versions in groups.items():
        splits[package.group] = split_of(package.source)
        pairs[package.group] = {}
        for language, text in versions.items():
            pairs[package.group][language] = Version(text.synopsis, text.body)
    made = tables(pairs, splits, lists.translations)
    info = {
        "source": "package descriptions of " + (lists.release.get("origin") or "Debian"),
        "licence": "the free licence of each package; fetched by its user, not passed on",
        "release": dict(lists.release),
        "groups": made.groups,
        "counts": made.counts,
        "dropped": dropped.record(),
    }
    return make("debian", made.queries, made.passages, made.qrels, info)
