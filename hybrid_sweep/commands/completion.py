"""The verb `completion`: a script for a shell, and the words that the line which is being typed
could go on with. A shell asks at every TAB, so that nothing heavy is imported.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError

OF_HYDRA = ("-sc", "--shell-completion", "--shell_completion")
QUERY = "query"  # what the scripts ask: completion query WORD ... CURRENT
OUTPUTS = Path("outputs")
PUBLISHED = Path("experiments")
CONFIGURED = ("run", "plan")  # verbs whose words are those of the config
# Verbs that take such words behind others, and behind how many.
PARTLY = {"evaluate": 1, "mine": 1, "data": 3}
OF_SWEEPS = ("report", "probe", "merge", "freeze", "wandb", "dashboard", "push")
OF_RUNS = ("evaluate", "mine", "push")
OF_PUBLISHED = ("report", "freeze")
ACTIONS = {
    "data": ("list", "prepare", "export"),
    "wandb": ("push",),
    "completion": ("bash", "zsh", "fish"),
}
# A name with other signs could mean something to the shell that it is put into.
PLAIN = re.compile(r"[\w.+-]+")
OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")
TRUTH = ("true", "false")

SCRIPTS = {
    "bash": """\
# hybrid-sweep: completion for bash. Load it by: eval "$(hybrid-sweep completion bash)"
_hybrid_sweep() {
  local line="${COMP_LINE:0:COMP_POINT}" words=() current=""
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] || { current="${words[-1]}"; unset 'words[-1]'; }
  mapfile -t COMPREPLY < <("${words[0]}" completion query "${words[@]:1}" -- "$current" 2>/dev/null)
  # Readline replaces only what follows the last sign that parts words, as = does.
  if [[ "$current" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then
    local head="${current%=*}="
    COMPREPLY=("${COMPREPLY[@]#"$head"}")
  fi
  [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" != *[=/] ]] || compopt -o nospace 2>/dev/null
}
complete -o default -F _hybrid_sweep hybrid-sweep
""",
    "zsh": """\
#compdef hybrid-sweep
# hybrid-sweep: completion for zsh. Load it by: eval "$(hybrid-sweep completion zsh)"
_hybrid_sweep() {
  local -a answers
  local current="${words[CURRENT]}"
  answers=("${(@f)$("${words[1]}" completion query "${(@)words[2,CURRENT-1]}" -- \\
    "$current" 2>/dev/null)}")
  answers=(${answers:#})
  if (( $#answers )); then
    compadd -Q -S '' -- $answers
  else
    _files
  fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }
compdef _hybrid_sweep hybrid-sweep
""",
    "fish": """\
# hybrid-sweep: completion for fish. Load it by: hybrid-sweep completion fish | source
function __hybrid_sweep
  set -l words (commandline -opc)
  $words[1] completion query $words[2..-1] -- (commandline -ct) 2>/dev/null
end
complete -c hybrid-sweep -a '(__hybrid_sweep)'
""",
}


def refuse_hydras(words: Iterable[str]) -> None:
    """Raise UserError where the words ask for Hydra's own completion, which knows no verbs."""
    if set(words) & set(OF_HYDRA):
        raise UserError(
            "Hydra's own completion knows no verbs; use this program's:"
            ' eval "$(hybrid-sweep completion bash)" (or zsh, fish)',
            key="command.completion",
        )


def completion(words: Sequence[str], verbs: Mapping[str, str]) -> int:
    """Print the script of a shell, or the words that a line could go on with; return the exit code.

    Args:
        words: of the verb.
        verbs: the help of each verb.
    """
    if list(words[:1]) == [QUERY]:
        if list(words[-2:-1]) == ["--"]:
            for answer in answers(words[1:-2], words[-1], verbs):
                say(answer)
        return 0
    if len(words) != 1 or words[0] not in SCRIPTS:
        raise UserError(
            f"completion is for one of {', '.join(SCRIPTS)}; hybrid-sweep completion --help has"
            " examples",
            key="command.arguments",
        )
    sys.stdout.write(SCRIPTS[words[0]])
    return 0


def answers(before: Sequence[str], current: str, verbs: Mapping[str, str]) -> list[str]:
    """Return the words that can stand where a word is being typed.

    Args:
        before: the words of the line between the program and this one.
        current: the part of it that is there.
        verbs: the help of each verb.
    """
    if not before:
        return _beginning(current, [*verbs, "help", "version", "--version"])
    verb = before[0]
    if verb not in verbs:
        return []
    if current.startswith("-"):
        return _beginning(current, _options(verbs[verb]))
    if verb in ACTIONS and len(before) == 1:
        return _beginning(current, ACTIONS[verb])
    named = list(_places(verb))
    if verb == "data" and len(before) == 2 and before[1] != "list":
        named += _names_of_group("data")
    if verb in CONFIGURED or len(before) >= PARTLY.get(verb, len(before) + 1):
        named += _configured(before, current)
    return _beginning(current, named)


def _beginning(current: str, named: Iterable[str]) -> list[str]:
    return sorted({name for name in named if name.startswith(current)})


def _options(text: str) -> set[str]:
    """Return the options that the help of a verb names, and those that every verb has."""
    return {*OPTION.findall(text), "--help"}


def _places(verb: str) -> list[str]:
    """Return the folders that a verb takes, in the usual places."""
    places = []
    if verb in OF_SWEEPS:
        places += _folders(OUTPUTS / "sweeps", "points.json")
    if verb in OF_PUBLISHED:
        places += _folders(PUBLISHED, "runs.json")
    if verb in OF_RUNS:
        places += _folders(OUTPUTS / "runs", "config.yaml")
    return places


def _folders(above: Path, file: str) -> list[str]:
    if not above.is_dir():
        return []
    places = [path.parent for path in above.glob(f"*/{file}")]
    return [str(place) for place in places if PLAIN.fullmatch(place.name)]


def _configured(before: Sequence[str], current: str) -> list[str]:
    """Return the words KEY= of the config, or of one key its values that are known."""
    key, equals, _ = current.partition("=")
    if equals:
        return [f"{key}={value}" for value in _values(key)]
    groups = _groups()
    keys = [f"{group}=" for group in groups]
    chosen = dict(word.split("=", 1) for word in before if "=" in word)
    for group in groups:
        if group != "experiment":
            keys += _keys_of_group(group, chosen.get(group))
    top = _read(_conf() / "config.yaml")
    own = {name: top[name] for name in top if name not in ("defaults", "hydra", *groups)}
    return [*keys, *(f"{name}=" for name in _flat(own))]


def _values(key: str) -> Sequence[str]:
    """Return the values of a key that has a list of them."""
    if key in _groups() or key == "hydra/launcher":
        return _names_of_group(key)
    from hybrid_sweep.config.rules import CHOICES

    return CHOICES.get(key, TRUTH if _is_truth(key) else ())


def _is_truth(key: str) -> bool:
    """Return whether the value of a key is true or false."""
    group, _, name = key.partition(".")
    node: Any = _read(_conf() / "config.yaml").get(group)
    if group in _groups():
        node = {}
        for file in (_conf() / group).glob("*.yaml"):
            node |= _read(file)
    return isinstance(node, dict) and isinstance(node.get(name), bool)


def _conf() -> Path:
    from hybrid_sweep.config.schema import config_dir

    return config_dir()


def _groups() -> list[str]:
    return sorted(path.name for path in _conf().iterdir() if path.is_dir() and path.name != "hydra")


def _names_of_group(group: str) -> list[str]:
    return sorted(path.stem for path in (_conf() / group).glob("*.yaml"))


def _keys_of_group(group: str, chosen: str | None) -> list[str]:
    """Return the keys GROUP.NAME= of the chosen option of a group; of all where none is chosen."""
    folder = _conf() / group
    files = [folder / f"{chosen}.yaml"]
    if chosen is None or not files[0].is_file():
        files = sorted(folder.glob("*.yaml"))
    keys: dict[str, None] = {}
    for file in files:
        content = _read(file)
        for name in ("defaults", "name"):
            content.pop(name, None)
        keys |= dict.fromkeys(f"{group}.{name}=" for name in _flat(content))
    return list(keys)


def _flat(node: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the keys of nested settings, joined by points."""
    names = []
    for name, value in node.items():
        if isinstance(value, dict) and value:
            names += _flat(value, f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names


def _read(file: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(file.read_text("utf-8"), loader)
    return content if isinstance(content, dict) else {}
