"""A training by the trainer of sentence-transformers on the schedule, as each process of it runs it:
MODEL OUT STEPS [RESUME], and the words of the config. What each process was given is left in OUT.
"""

import faulthandler
import json
import os
import sys
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)

import hybrid_sweep as hs


class Recorder(torch.nn.Module):
    """A loss that keeps the tokens of each batch."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model, self.seen = model, []

    def forward(self, features, labels):
        self.seen.append([side["input_ids"].tolist() for side in features])
        vectors = [self.model(dict(side))["sentence_embedding"] for side in features]
        return (1 - torch.nn.functional.cosine_similarity(*vectors)).mean()


def main(model: str, out: str, stop: str, *words: str) -> None:
    plan = hs.BatchSchedule.from_config(hs.compose(*words))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    arguments = SentenceTransformerTrainingArguments(
        out,
        per_device_train_batch_size=plan.batch_size // world,
        num_train_epochs=1,
        max_steps=int(stop) or -1,
        save_strategy="steps",
        save_steps=5,
        logging_strategy="no",
        report_to=[],
        use_cpu=True,
        ddp_backend="gloo" if world > 1 else None,
        disable_tqdm=True,
        batch_sampler=hs.SentenceTransformersSampler(plan),
    )
    # With a pooler: what this trainer reads back from a checkpoint has one, whatever it has saved.
    network = SentenceTransformer(model, device="cpu", model_kwargs={"add_pooling_layer": True})
    dataset = Dataset(plan.examples().table).select_columns(["anchor", "positive"])
    loss = Recorder(network)
    resume = any(Path(out).glob("checkpoint-*"))
    trainer = SentenceTransformerTrainer(network, arguments, dataset, loss=loss)
    trainer.train(resume_from_checkpoint=resume)
    rank = os.environ.get("RANK", "0")
    Path(out, f"seen-{rank}-{stop}.json").write_text(json.dumps(loss.seen))
    if world > 1:
        torch.distributed.barrier()
        sys.stdout.flush()
        os._exit(0)  # what gloo leaves behind hangs now and then in the end of the interpreter


if __name__ == "__main__":
    faulthandler.dump_traceback_later(200, exit=True)  # says where, if it hangs
    main(*sys.argv[1:])
