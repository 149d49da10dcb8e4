"""A kept model in mteb: a task made of a collection here, without a network, gives the value of
the evaluation here.
"""

import pytest

from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.loading import build_encoder, save_encoder
from hybrid_sweep.training.dev_evaluation import evaluate

LANGUAGE = "xa"


def task_of(collection, split):
    """A retrieval task of mteb from the texts of one language."""
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    def texts(table):
        rows = [
            {"id": row["id"], "text": row["text"], "group": row["group"]}
            for row in table.to_pylist()
            if row["lang"] == LANGUAGE and row["split"] in (split, "*")
        ]
        return rows, Dataset.from_list([{"id": row["id"], "text": row["text"]} for row in rows])

    asked, queries = texts(collection.queries)
    there, corpus = texts(collection.passages)
    place = {row["group"]: row["id"] for row in there}
    judged: dict[str, dict[str, int]] = {row["id"]: {} for row in asked}
    by_group = {row["group"]: row["id"] for row in asked}
    for row in collection.qrels.to_pylist():
        if row["query_group"] in by_group and row["passage_group"] in place:
            judged[by_group[row["query_group"]]][place[row["passage_group"]]] = 1

    class Task(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="OwnCollection",
            dataset={"path": "own/collection", "revision": "1"},
            description="The texts of one language of a collection.",
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, *args, **kwargs):
            parts = {"queries": queries, "corpus": corpus, "relevant_docs": judged}
            self.dataset = {"default": {"test": {**parts, "top_ranked": None}}}
            self.data_loaded = True

    return Task()


@pytest.mark.slow
def test_a_kept_model_scores_in_mteb_what_it_scores_here(config, tmp_path):
    mteb = pytest.importorskip("mteb", reason="mteb is an extra: pip install hybrid-sweep[mteb]")
    from sentence_transformers import SentenceTransformer

    made = config("model.query_prompt='q: '", "model.passage_prompt='p: '", "model.query_length=64")
    prepared = prepare(made)
    encoder = build_encoder(made.model, prepared.model, 0)
    save_encoder(encoder, made.model, prepared.model, tmp_path / "model")
    table, _ = evaluate(made, prepared, encoder, "test")
    ours = table[(table["setting"] == "monolingual") & (table["query_lang"] == LANGUAGE)]
    task = task_of(prepared.collection, "test")
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    done = mteb.evaluate(
        model, task, cache=None, co2_tracker=False, show_progress_bar=False, raise_error=True
    )
    (scores,) = done.task_results[0].scores["test"]
    for theirs, name in (("ndcg_at_10", "nDCG@10"), ("recall_at_100", "R@100")):
        assert scores[theirs] == pytest.approx(ours[name].mean(), abs=1e-4)
