"""What the JSON files of a model folder state beside its modules. Nothing is loaded.

What sentence-transformers (version 6) makes of a word is its meaning here too; a word that would
have another meaning here is refused.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json, write_json
from hybrid_sweep.utils.names import shown

# says the prompts, the similarity and the length of the vectors of a sentence-transformers folder
SETTINGS = "config_sentence_transformers.json"
# says the lengths of the texts; the name depends on the version and the model that wrote it
TEXTS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
# The words of that file that change no number here, or have the only value that is known.
NEUTRAL = {
    "max_seq_length": None,
    "unpad_inputs": None,
    "tokenizer_name_or_path": None,
    "do_lower_case": False,
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "model_args": {"add_pooling_layer": False},
}
READ = ("max_seq_length", "unpad_inputs")
# Models that count positions from behind the padding token.
BEHIND_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer")


@dataclass(frozen=True)
class StatedSettings:
    """What is read of the two files of sentence-transformers.

    kept: how many of the first numbers of a vector count (truncate_dim), None for all. files: what
    makes the vectors, by its name.
    """

    kept: int | None
    files: dict[str, Path]


def read_settings(root: Path, transformer: Path, *, is_unit: bool) -> StatedSettings:
    """Return what a model folder states beside its modules.

    Args:
        root: of the model, with the settings of its vectors.
        transformer: the folder with the settings of its texts.
        is_unit: whether its vectors have unit length by a module of its own.

    Raises:
        UserError: for a value that would give other numbers here, or is of another type.
    """
    file = root / SETTINGS
    stated = object_of(file)
    kind = stated.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise UserError(
            f"{file}: model_type is {shown(kind)}; here each text becomes one vector by itself,"
            " as in a SentenceTransformer",
            key="model.kind",
        )
    kept = stated.get("truncate_dim")
    if kept is not None and (type(kept) is not int or kept < 1):
        raise UserError(
            f"{file}: truncate_dim must be a whole number above 0", key="model.whole_number"
        )
    similarity = stated.get("similarity_fn_name") or "cosine"
    same_order = ("cosine", "dot", "euclidean") if is_unit and kept is None else ("cosine",)
    if similarity not in same_order:
        raise UserError(
            f"{file}: similarity_fn_name is {shown(similarity)}, of vectors without unit length;"
            " here vectors are compared by their cosine: set it to cosine to use the model so",
            key="model.similarity",
        )
    _check_texts(transformer)
    return StatedSettings(kept, {SETTINGS: file} if kept is not None else {})


def write_settings(
    folder: Path,
    *,
    longest: int,
    prompts: dict[str, str],
    kept: int | None,
    words: dict[str, bool],
) -> None:
    """Write what `read_settings` and `stated_length` read.

    Args:
        folder: of the model, where its transformer lies too.
        longest: tokens of a text at most.
        prompts: by their names in sentence-transformers.
        kept: as in `StatedSettings`.
        words: for the class of the transformer; without that for a pooler, which has no weights
            here, sentence-transformers would give it random ones and warn of them.
    """
    texts: dict[str, Any] = {"max_seq_length": longest, "do_lower_case": False}
    if words:
        texts["model_args"] = words
    write_json(folder / TEXTS[0], texts)
    settings: dict[str, Any] = {"prompts": prompts, "similarity_fn_name": "cosine"}
    if kept is not None:
        settings["truncate_dim"] = kept
    write_json(folder / SETTINGS, settings)


def _check_texts(transformer: Path) -> None:
    """Refuse settings of the texts of a model that would make other tokens or vectors."""
    for name in TEXTS:
        file = transformer / name
        for key, value in object_of(file).items():
            if key == "do_lower_case" and value:
                raise UserError(
                    f"{file}: do_lower_case is not known here; set it to false",
                    key="model.lower_case",
                )
            is_known = key in READ or (key in NEUTRAL and value == NEUTRAL[key])
            if value and not is_known:
                raise UserError(
                    f"{file}: {shown(key)} is {shown(value)}, which is not known here; remove it"
                    " to use the model without",
                    key="model.texts_setting",
                )


def meaning(file: Path) -> dict[str, Any] | None:
    """Return the words of a file of settings of texts that can change a number; None for any other
    file.
    """
    if file.name not in TEXTS:
        return None
    words = object_of(file).items()
    return {key: value for key, value in words if key not in NEUTRAL or value != NEUTRAL[key]}


def stated_length(transformer: Path) -> int | None:
    """Return how many tokens of a text sentence-transformers would read at most; None where the
    folder of a transformer says nothing.
    """
    for name in TEXTS:
        length = object_of(transformer / name).get("max_seq_length")
        if length is not None:
            if type(length) is not int or length < 1:
                raise UserError(
                    f"{transformer / name}: max_seq_length must be a whole number above 0",
                    key="model.whole_number",
                )
            return length
    config = object_of(transformer / "config.json")
    room = config.get("max_position_embeddings")
    if config.get("model_type") in BEHIND_PADDING and type(room) is int:
        pad = config.get("pad_token_id")
        room -= (pad if type(pad) is int else 1) + 1
    stated = object_of(transformer / "tokenizer_config.json").get("model_max_length")
    lengths: list[Any] = [room, stated]  # where there is no limit, a number beyond all texts
    return min(
        (int(one) for one in lengths if isinstance(one, int | float) and 1 <= one < 1e9),
        default=None,
    )


def object_of(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a model folder; {} where there is no such file.

    Raises:
        UserError: for a file that does not parse, or holds anything but an object.
    """
    value = read_json(path)
    if value is None and not path.is_file():
        return {}
    if not isinstance(value, dict):
        raise UserError(
            f"{path} {'does not parse' if value is None else 'must hold an object'}; copy the model"
            " again",
            key="model.json_damaged",
        )
    return value
