"""Ranking alone, all vectors given: beside sentence-transformers, and in memory at a million
passages:

    python benchmarks/ranking.py                          (vectors of the shape of XQuAD-R and multilingual-e5-small)
    python benchmarks/ranking.py --vectors RUN_DIR/vectors        (those of a run with keep.vectors=true)
    python benchmarks/ranking.py --passages 1000000 --queries 7000

The first compares `per_query.evaluate` with InformationRetrievalEvaluator over the same settings:
each language's questions in the pool of each language and in that of all (XQuAD-R: 11 + 110 + 11
settings). Ours ranks every passage; the evaluator is timed as it comes, with lists of 100, and with
lists of the whole pool, which the same AP takes; its MRR@10 must be ours. Times are of the CPU, so
that other work on the machine does not count. With --passages a process of its own ranks random
unit vectors, mapped from a file, and tells its time and the peak of its memory (VmHWM of
/proc/self/status, mapped pages included). One thread each, unless --threads says otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# XQuAD-R's candidates; each of 1,190 questions has one answer in every language.
CANDIDATES = {
    "ar": 1222,
    "de": 1276,
    "el": 1234,
    "en": 1180,
    "es": 1215,
    "hi": 1244,
    "ru": 1219,
    "th": 852,
}
CANDIDATES |= {"tr": 1167, "vi": 1209, "zh": 1196}
QUESTIONS, DIMENSION = 1190, 384
SHIFT, NOISE = 0.55, 3.0
BLOCK = 65_536


def texts(ids: list[str], groups: list[str], languages: list[str]) -> pa.Table:
    return pa.table({"id": ids, "group": groups, "lang": languages})


def unit(array: np.ndarray) -> np.ndarray:
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


def like_xquad_r() -> tuple[pa.Table, pa.Table, pa.Table, np.ndarray, np.ndarray]:
    """Texts, judgements and vectors: an answer lies near the ideas of its questions, moved by its
    language.

    As with multilingual-e5-small most answers of a single language come first, and the mixed pool
    is far harder.
    """
    draw = np.random.default_rng(0)
    ideas = draw.standard_normal((QUESTIONS, DIMENSION))
    rows: dict[str, list[tuple[str, str, str]]] = {"query": [], "passage": []}
    vectors: dict[str, list[np.ndarray]] = {"query": [], "passage": []}
    judged = []
    for language, size in CANDIDATES.items():
        shift = SHIFT * draw.standard_normal(DIMENSION)
        passages = draw.standard_normal((size, DIMENSION))
        # one sentence answers several
        answer = draw.choice(size, 700, replace=False)[np.arange(QUESTIONS) % 700]
        for question in range(QUESTIONS):
            rows["query"].append((f"{question}@{language}", str(question), language))
            judged.append((str(question), f"{language}_{answer[question]}"))
            passages[answer[question]] += ideas[question]
        rows["passage"] += [
            (f"{language}_{row}", f"{language}_{row}", language) for row in range(size)
        ]
        vectors["query"].append(unit(ideas + shift + NOISE * draw.standard_normal(ideas.shape)))
        vectors["passage"].append(unit(passages + shift))
    tables = [texts(*map(list, zip(*rows[kind], strict=True))) for kind in ("query", "passage")]
    groups = [list(column) for column in zip(*judged, strict=True)]
    qrels = pa.table(
        {"query_group": groups[0], "passage_group": groups[1], "grade": [1] * len(judged)}
    )
    return (
        tables[0],
        tables[1],
        qrels,
        *(np.concatenate(vectors[kind]) for kind in ("query", "passage")),
    )


def kept(folder: Path) -> tuple[pa.Table, pa.Table, pa.Table, np.ndarray, np.ndarray]:
    """The texts, judgements and vectors that a run kept."""
    tables = [
        pq.read_table(folder / f"{name}.parquet") for name in ("queries", "passages", "qrels")
    ]
    vectors = [
        np.load(folder / f"{name}.npy").astype(np.float32) for name in ("queries", "passages")
    ]
    return tables[0], tables[1], tables[2], vectors[0], vectors[1]


def compare(args: argparse.Namespace) -> None:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.threads)
    from hybrid_sweep.retrieval import per_query
    from hybrid_sweep.retrieval.candidates import faiss
    from hybrid_sweep.retrieval.ranking import Dense

    faiss().omp_set_num_threads(args.threads)
    threadpool_limits(args.threads)  # from here on, of numpy's BLAS too
    queries, passages, qrels, query_vectors, passage_vectors = (
        kept(args.vectors) if args.vectors else like_xquad_r()
    )
    # imports and caches
    per_query.evaluate(queries, passages, qrels, Dense(query_vectors[:], passage_vectors[:]))
    ours, rounds = float("inf"), range(args.rounds)
    for _ in rounds:
        begun = time.process_time()
        table, _ = per_query.evaluate(
            queries, passages, qrels, Dense(query_vectors, passage_vectors)
        )
        ours = min(ours, time.process_time() - begun)
    means = table.groupby(["query_lang", "passage_lang"])["RR@10"].mean()
    print(
        f"hybrid-sweep: {len(means)} settings, {len(table):,} ranked lists, full ranks, {ours:.2f}"
        " s of CPU time"
    )
    for name, whole in (("lists of 100", False), ("lists of the whole pool", True)):
        share = args.share if whole else 1
        texts_and_vectors = (queries, passages, qrels, query_vectors, passage_vectors)
        found, seconds = min(
            (peer(*texts_and_vectors, whole, share) for _ in rounds), key=lambda each: each[1]
        )
        worst = max(abs(value - means[key]) for key, value in found.items())
        part = f" (timed on every {share}th question, times {share})" if share > 1 else ""
        print(
            f"sentence-transformers, {name}: {seconds:.1f} s{part}, {seconds / ours:.1f} times"
            " ours",
            end="",
        )
        print(f"; largest difference in MRR@10 {worst:.1e}" if share == 1 else "", flush=True)


def peer(
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    query_vectors: np.ndarray,
    passage_vectors: np.ndarray,
    whole: bool,
    share: int,
) -> tuple[dict[tuple[str, str], float], float]:
    """MRR@10 of each setting by InformationRetrievalEvaluator, and the CPU seconds of its calls."""
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    class Given(InformationRetrievalEvaluator):
        """Takes the vectors that are there instead of encoding."""

        def embed_inputs(self, model, sentences, *args, **kwargs):
            return model[sentences]

    group_rows: dict[str, list[int]] = {}
    for row, group in enumerate(passages["group"].to_pylist()):
        group_rows.setdefault(group, []).append(row)
    judged: dict[str, list[int]] = {}
    for row in qrels.to_pylist():
        if row["grade"] > 0:
            judged.setdefault(row["query_group"], []).extend(
                group_rows.get(row["passage_group"], [])
            )
    names, groups = queries["id"].to_pylist(), queries["group"].to_pylist()
    ids = passages["id"].to_pylist()
    found, seconds = {}, 0.0
    query_lang, passage_lang = (
        np.array(table["lang"].to_pylist()) for table in (queries, passages)
    )
    for asked in np.unique(query_lang).tolist():
        mine = np.flatnonzero(query_lang == asked)[::share].tolist()
        for target in [*np.unique(passage_lang).tolist(), "*"]:
            pool = np.flatnonzero((passage_lang == target) | (target == "*"))
            inside = set(pool.tolist())
            relevant = {
                names[row]: {ids[at] for at in judged.get(groups[row], []) if at in inside}
                for row in mine
            }
            relevant = {name: answers for name, answers in relevant.items() if answers}
            rows = [row for row in mine if names[row] in relevant]
            stored = torch.from_numpy(np.ascontiguousarray(passage_vectors[pool]))
            vectors = torch.from_numpy(query_vectors)
            begun = time.process_time()
            evaluator = Given(
                {names[row]: row for row in rows},
                {ids[row]: row for row in pool.tolist()},
                relevant,
                accuracy_at_k=[1],
                precision_recall_at_k=[100],
                map_at_k=[len(pool) if whole else 100],
                score_functions={"dot": lambda a, b: a @ b.T},
            )
            scored = evaluator.compute_all_metrics(vectors, corpus_embeddings=stored)
            seconds += time.process_time() - begun
            found[asked, target] = scored["dot"]["mrr@k"][10]
    return found, seconds * share


def generate(folder: Path, passages: int, queries: int) -> None:
    """Random unit vectors as files, a block at a time."""
    for name, size, seed in (("passages", passages, 0), ("queries", queries, 1)):
        draw = np.random.default_rng(seed)
        made = np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.float32, (size, DIMENSION)
        )
        for start in range(0, size, BLOCK):
            made[start : start + BLOCK] = unit(
                draw.standard_normal((min(BLOCK, size - start), DIMENSION))
            )


def large(folder: Path, threads: int) -> None:
    """Rank the vectors in `folder`: one relevant passage a query; tells seconds and the peak of
    memory as JSON.
    """
    import torch

    torch.set_num_threads(threads)
    from hybrid_sweep.retrieval import per_query
    from hybrid_sweep.retrieval.ranking import Dense

    queries, passages = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("queries", "passages")
    )
    count, asked = len(passages), len(queries)
    pool = texts(
        [f"p{row:08d}" for row in range(count)], [str(row) for row in range(count)], ["en"] * count
    )
    found = texts(
        [f"q{row:08d}" for row in range(asked)], [str(row) for row in range(asked)], ["en"] * asked
    )
    answers = [str(row * 131 % count) for row in range(asked)]
    qrels = pa.table(
        {"query_group": found["group"], "passage_group": answers, "grade": [1] * asked}
    )
    begun = time.perf_counter()
    table, _ = per_query.evaluate(found, pool, qrels, Dense(queries, passages))
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20
    print(
        json.dumps({"seconds": time.perf_counter() - begun, "gigabytes": peak, "rows": len(table)})
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=Path, help="folder of vectors that a run kept")
    parser.add_argument(
        "--share", type=int, default=1, help="time the peer's whole lists on every n-th question"
    )
    parser.add_argument(
        "--rounds", type=int, default=1, help="time each so often and tell the least"
    )
    parser.add_argument("--passages", type=int, help="rank so many random passages instead")
    parser.add_argument("--queries", type=int, default=7000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.large:
        large(args.large, args.threads)
        return
    if not args.passages:
        compare(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), args.passages, args.queries)
        command = [sys.executable, __file__, "--large", folder, "--threads", str(args.threads)]
        threads = {
            name: str(args.threads)
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        }
        told = json.loads(
            subprocess.run(
                command, check=True, stdout=-1, text=True, env={**os.environ, **threads}
            ).stdout
        )
    print(
        f"{args.queries:,} queries, {args.passages:,} passages of {DIMENSION} numbers:"
        f" {told['seconds']:.0f} s, peak memory {told['gigabytes']:.2f} GiB (with the mapped"
        " vectors)"
    )


if __name__ == "__main__":
    main()
