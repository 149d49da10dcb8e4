"""The model card of a kept model: README.md in its folder, with the header that the Hugging Face
hub reads. No torch.

It is a note for readers: no digest of a model covers it, and nothing reads it back. It holds no
time, path or machine, so that the same run writes the same card.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import Config, MarcoData, TinyModel
from hybrid_sweep.data.hub import MIRACL, MMARCO
from hybrid_sweep.models.folder import may_be_on_the_hub
from hybrid_sweep.retrieval import measures
from hybrid_sweep.runs import stages
from hybrid_sweep.utils import records
from hybrid_sweep.utils.escaping import markdown, markdown_code, one_line
from hybrid_sweep.utils.files import atomic_write

CARD = "README.md"
HOME = "https://github.com/hybrid-sweep/hybrid-sweep"
FOLDERS = ("model", "model-last", "model-best")  # of a run; the first one is what was evaluated
SETTINGS = ("monolingual", "cross-lingual", "multilingual")
STORED = ("RR@10", "AP", "nDCG@10", "R@100")
DIGITS = 4  # of a score
_OF_CENTRED = (
    "Scores marked as centred are of vectors of passages from which the mean of their language was"
    " subtracted; the model as loaded above does not do that."
)


@dataclass(frozen=True)
class Interval:
    """The mean of a measure over the seeds of a sweep, with its 95 % interval."""

    setting: str
    measure: str
    mean: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    results: metrics of each finished evaluation, by the name of its stage ("" for the run's own
    collection). provenance: as stored. average: merge.json of an average of weights. intervals: of
    the sweep at the ratio of the run. name: by which the model is loaded. licence: of the model,
    where its owner states one.
    """

    run_id: str
    config: Config
    results: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]
    average: Mapping[str, Any] | None = None
    intervals: Sequence[Interval] = ()
    name: str = "path/to/this/folder"
    licence: str | None = None


def stored_facts(run_dir: Path, config: Config) -> CardFacts:
    """Return what the files of a run say of its model.

    Raises:
        UserError: where one of them is broken.
    """
    results = {}
    for stage in stages.of(config, run_dir):
        metrics = records.metrics(stage.folder)
        if metrics is not None and metrics["run_id"] == run_dir.name:
            results[stage.name] = metrics
    average = records.merge(run_dir)
    return CardFacts(run_dir.name, config, results, records.provenance(run_dir), average)


def write_cards(run_dir: Path, facts: CardFacts) -> None:
    """Write the card of each model that a run keeps."""
    for name in FOLDERS:
        folder = run_dir / name
        if folder.is_dir() and not folder.is_symlink():
            is_scored = name == FOLDERS[0]
            with atomic_write(folder / CARD) as temporary:
                temporary.write_text(card_text(facts, is_scored=is_scored), encoding="utf-8")


def card_text(facts: CardFacts, *, is_scored: bool = True) -> str:
    """Return the whole card. is_scored: whether the results are those of this very model."""
    parts = [
        f"---\n{_header(facts, is_scored)}\n---",
        f"# {_title(facts)}",
        _summary(facts),
        _loading(facts),
        _scores(facts) if is_scored else _NOT_SCORED,
        _training(facts),
        _limits(facts),
    ]
    return "\n\n".join(parts) + "\n"


_NOT_SCORED = """\
## Scores

None: the run was evaluated with the other one of its models (`eval.select`)."""


def base_model(config: Config) -> str | None:
    """Return the name on the hub of the model that training began with; None for random weights and
    for a folder.
    """
    path = config.model.path
    if isinstance(config.model, TinyModel) or not path or "/" not in path:
        return None
    if Path(path).expanduser().exists() or not may_be_on_the_hub(path):
        return None
    return path


def _header(facts: CardFacts, is_scored: bool) -> str:
    """Return the YAML of the hub."""
    from huggingface_hub import ModelCardData

    data: dict[str, Any] = {
        "language": list(stages.trained_languages(facts.config)),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "dense-retrieval", "hybrid-sweep"],
    }
    if facts.licence is not None:
        data["license"] = facts.licence
    if base := base_model(facts.config):
        data["base_model"] = base
    if sets := _hub_data(facts.config):
        data["datasets"] = sets
    if is_scored and (entries := _entries(facts)):
        data |= {"model_name": _title(facts), "eval_results": entries}
    text: str = ModelCardData(**data, ignore_metadata_errors=False).to_yaml(line_break="\n")
    return text.strip()


def _hub_data(config: Config) -> list[str]:
    """Return the names on the hub of the collections that a run trained on, where they have one."""
    sets = set()
    for data in (config.data, *config.more.values()):
        if isinstance(data, MarcoData):
            sets.add(MMARCO)
        elif data.name == "miracl":
            sets.add(MIRACL)
    return sorted(sets)


def _entries(facts: CardFacts) -> list[Any]:
    """Return the scores of this run as the hub lists them (model-index)."""
    from huggingface_hub import EvalResult

    entries = []
    for stage, metrics in facts.results.items():
        if stages.is_centred(stage):  # scores of other vectors than those that the model gives
            continue
        collection = one_line(_collection(stage, metrics))
        for setting, measure, value in _values(metrics):
            result = EvalResult(
                task_type="information-retrieval",
                task_name=f"{setting} retrieval",
                dataset_type=collection,
                dataset_name=f"{collection}, {facts.config.eval.split}",
                dataset_config=setting,
                metric_type=measure,
                metric_name=f"{measure} ({setting})",
                metric_value=round(value, 6),
            )
            entries.append(result)
    return entries


def _values(metrics: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """Return setting, measure and value of each mean that metrics.json has over languages or
    pairs.
    """
    named = [name for name in metrics.get("measures", []) if measures.parsed(name) is not None]
    values = []
    for setting in SETTINGS:
        for measure in dict.fromkeys((*STORED, *named)):
            value = metrics.get(f"{setting}/{measure}")
            if value is not None:
                values.append((setting, measure, float(value)))
    return values


def _collection(stage: str, metrics: Mapping[str, Any]) -> str:
    collection = str(metrics.get("collection") or "collection")
    if stage:
        return f"{collection} ({stage})"
    return collection


def _title(facts: CardFacts) -> str:
    """Return what the model is: encoder, ratio and seed."""
    config = facts.config
    if facts.average is not None:
        ratios = ", ".join(f"{ratio:g}" for ratio in facts.average["ratios"])
        return f"average of models at r = {ratios}, seed {config.seed}"
    ratio = config.batch.cross_lingual_ratio
    return f"{markdown(config.model.name)}, r = {ratio:g}, seed {config.seed}"


def _summary(facts: CardFacts) -> str:
    languages = ", ".join(stages.trained_languages(facts.config))
    sentences = [
        f"A dense retriever for {languages}: a query and a passage become one vector each, compared"
        " by their cosine.",
        f"It is one run of a sweep by [Hybrid Sweep]({HOME}), which measures what the share r of"
        " cross-lingual steps in training does to retrieval within one language and across"
        " languages.",
    ]
    if facts.average is not None:
        shares = ", ".join(f"{share:g}" for share in facts.average["shares"])
        sentences.append(
            "Its weights are a mean of the weights of trained models, with the shares"
            f" {shares}; it was not trained itself."
        )
    return " ".join(sentences)


def _loading(facts: CardFacts) -> str:
    model = facts.config.model
    lengths = f"{max(model.query_length, model.passage_length)} tokens"
    if model.query_length != model.passage_length:
        lengths += f"; in training and in the scores queries were cut to {model.query_length}"
    return f"""\
## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{facts.name}")
queries = model.encode_query(["a question"])
passages = model.encode_document(["a passage", "another passage"])
print(model.similarity(queries, passages))
```

`encode_query` and `encode_document` put the prompts of training before the texts
({_prompt(model.query_prompt)} and {_prompt(model.passage_prompt)}). Texts are cut to {lengths}."""


def _prompt(text: str) -> str:
    return markdown_code(f'"{text}"') if text else "none"


def _scores(facts: CardFacts) -> str:
    """Return the tables of scores: of the run, and where they are given of its sweep."""
    lines = ["## Scores", ""]
    if not facts.results:
        return "\n".join([*lines, "None: the run has not been evaluated."])
    lines += [
        f"Point values of this one run on the split {markdown(facts.config.eval.split)}, means over"
        " languages or pairs of languages; another seed gives other values."
        " Measures by their names in ir_measures.",
        "",
        "| collection | setting | measure | value |",
        "|---|---|---|---|",
    ]
    for stage, metrics in facts.results.items():
        name = markdown(_collection(stage, metrics))
        for setting, measure, value in _values(metrics):
            lines.append(f"| {name} | {setting} | {measure} | {value:.{DIGITS}f} |")
    if any(map(stages.is_centred, facts.results)):
        lines += ["", _OF_CENTRED]
    if facts.intervals:
        lines += [
            "",
            "The sweep at this ratio: means over its seeds, with 95 % intervals over seeds and"
            " questions.",
            "",
            "| setting | measure | seeds | mean | 95 % interval |",
            "|---|---|---|---|---|",
        ]
    for row in facts.intervals:
        interval = f"{row.low:.{DIGITS}f} to {row.high:.{DIGITS}f}"
        lines.append(
            f"| {row.setting} | {row.measure} | {row.seeds} | {row.mean:.{DIGITS}f} | {interval} |"
        )
    return "\n".join(lines)


def _training(facts: CardFacts) -> str:
    """Return the table of the settings that made the model."""
    config, metrics = facts.config, facts.results.get("", {})
    ratio = f"{config.batch.cross_lingual_ratio:g}"
    rows = [
        ("cross-lingual ratio r", f"{ratio} (mean of its parents)" if facts.average else ratio),
        ("seed", str(config.seed)),
        ("base model", _base(config)),
    ]
    for name, data in {"": config.data, **config.more}.items():
        languages = ", ".join(data.languages)
        rows.append(
            (f"trained on {markdown(name)}".strip(), f"{markdown(data.name)} ({languages})")
        )
    if facts.average is None:
        trainer, batch = config.trainer, config.batch
        rows += [
            ("steps, batch", f"{trainer.max_steps} steps of {batch.size} pairs"),
            ("learning rate", f"{trainer.lr:g}"),
            ("temperature", f"{config.model.temperature:g}"),
        ]
    else:
        rows.append(("parents", ", ".join(map(markdown, facts.average["parents"]))))
    for kind in ("monolingual", "cross_lingual"):
        if metrics.get(f"examples_{kind}"):
            rows.append((f"{kind.replace('_', '-')} pairs seen", str(metrics[f"examples_{kind}"])))
    if licence := facts.provenance.get("collection", {}).get("licence"):
        rows.append(("licence of the data", markdown(str(licence))))
    rows.append(("run", markdown(facts.run_id)))
    for what, mark in sorted(facts.provenance.get("fingerprints", {}).items()):
        if isinstance(mark, str):
            named = "base model" if what == "model" else markdown(what)
            rows.append((f"fingerprint of the {named}", markdown(mark)))
    lines = ["## Training", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows)])


def _base(config: Config) -> str:
    if isinstance(config.model, TinyModel):
        return "none: random weights, and a tokenizer trained on the training texts"
    layers = ""
    if config.model.layers is not None:
        layers = f", its first {config.model.layers} layers"
    if base := base_model(config):
        return markdown_code(base) + layers
    return f"{markdown(config.model.name)}, a local copy, see its fingerprint{layers}"


def _limits(facts: CardFacts) -> str:
    points = [
        "It is a measurement, one point of a comparison of ratios, and not a model chosen for use.",
        "Its scores hold for the collections and pools above; they say nothing of other domains,"
        " languages or longer texts.",
        "It scores how alike a query and a passage are. It generates nothing, checks no facts, and"
        " has what bias its data and base model have.",
        "A licence of the base model and of the data may restrict the use of the weights; neither"
        " is examined here.",
    ]
    if isinstance(facts.config.model, TinyModel):
        points.insert(0, "It is tiny and began with random weights: an example, of no quality.")
    if facts.config.data.name == "synthetic":
        points.insert(0, "Its languages are generated: it is of no use on any real text.")
    return "\n".join(["## What it is not", "", *(f"- {point}" for point in points)])
