"""What --help says: what each verb is for, with examples."""

PROGRAM = """\
What does raising the cross-lingual share of hybrid batches do to monolingual retrieval, and what does it buy?

usage: hybrid-sweep VERB ...

  run        train and evaluate one point, or with -m a whole sweep over ratios and seeds
  plan       say what the same words would run, and check all of it; starts nothing
  report     the table, the curve and the answer of one or more sweeps
  data       list the collections, prepare one, or export one
  evaluate   a trained model, or any other, on a collection

examples:
  hybrid-sweep run -m experiment=smoke                      a small sweep on generated text, under two minutes
  hybrid-sweep plan -m batch.cross_lingual_ratio=0,0.5,1 seed=0,1,2
  hybrid-sweep run -m batch.cross_lingual_ratio=0,0.5,1 seed=0,1,2 sweep.name=first
  hybrid-sweep report outputs/sweeps/first

hybrid-sweep VERB --help says more about each. Exit codes: 0 done, 1 some points have no result, 2 bad input,
130 interrupted. HYBRID_SWEEP_DEBUG=1 shows the traceback of an error.
"""

RUN = """\
usage: hybrid-sweep run [-m] [--config-dir DIR] [KEY=VALUE ...]

Train and evaluate one point; with -m (--multirun) a sweep: every combination of the comma-separated values.
The words are Hydra's (https://hydra.cc). What is done is skipped; after Ctrl-C, or a crash, the same command goes on.

examples:
  hybrid-sweep run data=synthetic batch.cross_lingual_ratio=0.5        one point, on generated text
  hybrid-sweep run -m                                                  ratios from 0 to 1 on Debian's descriptions
  hybrid-sweep run -m experiment=smoke                                 a sweep kept in conf/experiment/smoke.yaml
  hybrid-sweep run -m batch.cross_lingual_ratio=0,0.5,1 seed=0,1,2 sweep.name=first
  hybrid-sweep run -m experiment=fixed_monolingual                     the same monolingual steps everywhere
  hybrid-sweep run -m experiment=reproduce trainer=gpu sweep.max_parallel=1
  hybrid-sweep run --cfg job                                           every key, its value and where it is set

the keys most used:
  batch.cross_lingual_ratio   share of cross-lingual steps, 0 to 1     seed                plan, first weights, dropout
  batch.size                  pairs in a global batch                  trainer.max_steps   optimiser steps
  data=, data.languages       collection, which of its languages       model=, model.path  encoder, and its folder
  sweep.name                  folder under outputs/sweeps/             sweep.max_parallel  points at the same time
  sweep.on_failure            continue | stop                          paths.outputs       where runs and sweeps go
  batch.micro_batch           texts in memory at once: any batch.size  eval.dev_every      steps between dev scores

also Hydra's: --cfg job|hydra|all, --info, --hydra-help, hydra/launcher=local|basic|joblib|...
"""

PLAN = """\
usage: hybrid-sweep plan [-m] [--config-dir DIR] [KEY=VALUE ...]

Say what `hybrid-sweep run` with the same words would do: every point with its state (done, running elsewhere, failed,
to do), the reason, its steps of each kind and its run id; which language pairs are left out; and what it takes on disk.
Checks all points and starts none.

examples:
  hybrid-sweep plan -m experiment=smoke
  hybrid-sweep plan -m batch.cross_lingual_ratio=0,0.5,1 seed=0,1,2
"""

REPORT = """\
usage: hybrid-sweep report SWEEP_DIR [SWEEP_DIR ...] [--allow-missing]

Print the table and the answer of a sweep, and write results.csv, results.parquet, curve.png, curve.pdf, report.md,
report.html (the answer on one page, with hover values) and table.tex beside its points.json. Points without a result
are listed and make the exit code 1, unless --allow-missing.

examples:
  hybrid-sweep report outputs/sweeps/smoke
  hybrid-sweep report outputs/sweeps/smoke --allow-missing      while the sweep is running
"""

DATA = """\
usage: hybrid-sweep data list
       hybrid-sweep data prepare NAME [--refresh] [KEY=VALUE ...]
       hybrid-sweep data export NAME DIR [KEY=VALUE ...]

List the collections, or fetch and build one into the cache ($HYBRID_SWEEP_CACHE, else ~/.cache/hybrid-sweep).
A built collection stays as it is until --refresh, so that its fingerprint and the run ids stay. Collections of local
files (data.path) are read again when the files change. export writes any collection, in all its languages, as the files
of mMARCO; data=mmarco reads them back, with groups.tsv for the ids, groups and splits that whole numbers cannot hold.

examples:
  hybrid-sweep data list
  hybrid-sweep data prepare debian                              about a minute, through apt, without root
  hybrid-sweep data prepare debian data.mirror=ADDRESS     the base address or folder of a mirror
  hybrid-sweep data prepare debian --refresh                    fetch today's state; runs on the old one are kept
  hybrid-sweep data prepare mmarco data.path=DIR 'data.languages=[en,de,nl]'
  hybrid-sweep data export debian DIR                           for tools that read MS MARCO
"""

EVALUATE = """\
usage: hybrid-sweep evaluate RUN_DIR [KEY=VALUE ...]
       hybrid-sweep evaluate model.path=DIR [data=NAME] [KEY=VALUE ...]

Evaluate the model of a run, or a Hugging Face or sentence-transformers folder, and print its table.

examples:
  hybrid-sweep evaluate outputs/runs/3f2a90c41b7d
  hybrid-sweep evaluate model=pretrained model.path=DIR data=debian
  hybrid-sweep evaluate model=me5_small model.path=DIR data=xquad_r data.path=DIR model.query_length=128
"""
