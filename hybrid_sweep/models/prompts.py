"""The prompts that a pretrained model is to be used with, as it states them itself: in its folder,
or on the hub.
"""

import itertools
import re
from pathlib import Path

from hybrid_sweep.models.folder import may_be_on_the_hub
from hybrid_sweep.models.stated import SETTINGS
from hybrid_sweep.utils import names
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json

# The names that sentence-transformers looks for; the first that is not empty counts.
LABELS = {"query_prompt": ("query",), "passage_prompt": ("document", "passage", "corpus")}


def fields(path: str, *, local_files_only: bool) -> dict[str, str]:
    """Return the prompts that a folder of sentence-transformers, or a hub name, states, or those of
    the E5 models.

    By the fields of the model's config, and byte for byte: as override text a line break or a quote
    would be another prompt.

    E5 states its prompts on its model card alone and is far worse without them, so that they go by
    the name of the folder or of the model; said aloud, since a name can deceive. The pooling and
    other modules are read where the model is built: model=pretrained has pooling=auto.
    """
    folder = Path(path).expanduser()
    by_name = stated(path, local_files_only=local_files_only)
    stated_name = (read_json(folder / "config.json") or {}).get("_name_or_path", "")
    name = f"{stated_name}/{folder.name}".lower()
    if not by_name and re.search(r"(^|[^a-z0-9])m?e5($|[^a-z0-9])", name):
        say(
            f"prompts of the E5 models, by the name of {folder}: 'query: ' and 'passage: ';"
            " model.query_prompt changes them"
        )
        by_name = {"query": "query: ", "passage": "passage: "}
    return _by_field(by_name)


def stated_prompts(root: Path) -> dict[str, str]:
    """Return the prompts that a folder of sentence-transformers states, by the fields of the
    model's config.
    """
    return _by_field(_read(root / SETTINGS))


def _by_field(by_name: dict[str, str]) -> dict[str, str]:
    prompts = {}
    for key, labels in LABELS.items():
        prompt = next((by_name[label] for label in labels if by_name.get(label)), None)
        if prompt:
            prompts[key] = prompt
    return prompts


def stated(path: str, *, local_files_only: bool) -> dict[str, str]:
    """Return the prompts by name that a model states, of a folder or of a hub name; empty where it
    states none.

    Of a hub name they are those of the local cache, or fetched where that is allowed. Raises
    UserError where they cannot be known: a model without its prompts is another one.
    """
    folder = Path(path).expanduser()
    if folder.is_dir() or not may_be_on_the_hub(path):
        return _read(folder / SETTINGS)
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    try:
        if isinstance(cached := try_to_load_from_cache(path, SETTINGS), str):
            return _read(Path(cached))
        if local_files_only:
            if cached is None:  # else it is known that there is no such file
                say(
                    f"{path}: {SETTINGS} is not in the local cache of models; model.query_prompt"
                    " sets a prompt"
                )
            return {}
        return _read(Path(hf_hub_download(path, SETTINGS)))
    except (EntryNotFoundError, RepositoryNotFoundError, HFValidationError):
        return {}  # whether there is such a model at all is said where it is read
    except Exception as error:  # the hub client raises many kinds
        raise UserError(
            f"model.path={path}: whether it states prompts cannot be asked"
            f" ({type(error).__name__}); give model.path=FOLDER",
            key="model.prompts_unknown",
        ) from error


def _read(path: Path) -> dict[str, str]:
    """Return the prompts in a file by their names; raises UserError where they are no texts."""
    content = read_json(path)
    if content is None and path.exists():
        raise UserError(f"{path} does not parse", key="model.json_damaged")
    if isinstance(content, dict):
        prompts = content.get("prompts") or {}
    else:
        prompts = {}
    if not isinstance(prompts, dict):
        raise UserError(
            f"{path}: prompts is no mapping of names to texts", key="model.prompts_layout"
        )
    for name, prompt in prompts.items():
        if prompt is not None and not isinstance(prompt, str):
            raise UserError(
                f"{path}: the prompt {names.shown(name)} is no text", key="model.prompts_layout"
            )
    default = None
    if isinstance(content, dict):
        default = content.get("default_prompt_name")
    if default is not None and default not in itertools.chain.from_iterable(LABELS.values()):
        say(
            f"{path}: its default prompt {names.shown(default)} is of neither queries nor passages"
            " and is not used; model.query_prompt and model.passage_prompt set prompts"
        )
    return {name: prompt for name, prompt in prompts.items() if prompt is not None}
