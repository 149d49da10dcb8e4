"""Names that come from files or users, checked once: run ids, sweeps, collections and languages.

A name that is checked here can be a file name below a folder of ours, a cell of a table and a key
of a mapping.
"""

import re
import unicodedata

from hybrid_sweep.utils.errors import UserError

LONGEST = 200  # bytes: file systems end at 255, and the names of files add to a name
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
COLLECTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
LANGUAGE = re.compile(r"\w[\w@.+-]{0,31}")
# Scopes of the results: a language of such a name would be taken for a mean over languages.
RESERVED_LANGUAGES = frozenset({"macro", "trained", "unseen"})
# Unicode categories of characters that are no visible text: controls, formats (bidirectional
# marks), surrogates, private use, unassigned, and separators of lines and paragraphs.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def run_id(value: object, where: str) -> str:
    """Return `value` where it can be the id of a run.

    Args:
        value: what was read; anything.
        where: file and field, for the error.

    Raises:
        UserError: where it is no text, or holds anything but letters, digits, ".", "_" and "-".
    """
    if not isinstance(value, str) or not RUN_ID.fullmatch(value):
        raise UserError(
            f"{where}: {shown(value)} is no run id (letters, digits, and . - _ behind the first)",
            key="names.run_id",
        )
    return value


def folder_name(value: object, where: str) -> str:
    """Return `value` where it can be the name of one folder, such as that of a sweep.

    Raises:
        UserError: for no text, "", a name that begins with "." or "-", holds "/" or an invisible
            character, or is longer than LONGEST bytes.
    """
    if not isinstance(value, str) or not is_folder_name(value):
        raise UserError(f"{where}: {shown(value)} must be a plain folder name", key="names.folder")
    return value


def is_folder_name(text: str) -> bool:
    """Return whether a text can be the name of one folder."""
    if not text.strip() or text[0] in ".-" or "/" in text:
        return False
    return is_visible(text) and len(text.encode()) <= LONGEST


def is_visible(text: str) -> bool:
    """Return whether every character of a text is visible, or a space."""
    return all(unicodedata.category(sign) not in INVISIBLE for sign in text)


def collection(value: object, where: str) -> str:
    """Return `value` where it can name a further collection, or a pool of one.

    Raises:
        UserError: for no text, or anything but letters, digits, "_", "." and "-", or a name that
            begins with "." or "-".
    """
    if not isinstance(value, str) or not COLLECTION.fullmatch(value):
        raise UserError(
            f"{where}: {shown(value)} is no name of a collection (letters, digits, _ . -)",
            key="names.collection",
        )
    return value


def language(value: object, where: str) -> str:
    """Return `value` where it can be the code of a language.

    Raises:
        UserError: for no text, signs that codes do not have ("/", ">", "*", spaces), and the names
            of means over languages.
    """
    if not isinstance(value, str) or not LANGUAGE.fullmatch(value):
        raise UserError(
            f"{where}: {shown(value)} is no language code, such as en, pt_BR or zh-Hans",
            key="names.language",
        )
    if value in RESERVED_LANGUAGES:
        raise UserError(
            f"{where}: {value!r} is the name of a mean over languages; give the language another"
            " code",
            key="names.language_reserved",
        )
    return value


def shown(value: object) -> str:
    """Return a value from a file as it can stand in a message: its ASCII form, at most 60
    characters.
    """
    text = ascii(value)
    if len(text) <= 60:
        return text
    return f"{text[:57]}..."
