"""What --help says: what each verb is for, with examples."""

PROGRAM = """\
What does raising the cross-lingual share of hybrid batches do to monolingual retrieval, and what does it buy?

usage: hybrid-sweep VERB ...

  run        train and evaluate one point, or with -m a whole sweep over ratios and seeds
  plan       say what the same words would run, and check all of it; starts nothing
  report     the table, the curve and the answer of one or more sweeps
  probe      the questions that a higher ratio loses, and those missed in one language, with their texts
  merge      the weights of r = 0 and r = 1 averaged, and evaluated as points of their own
  freeze     a finished sweep as a folder to publish, or the proof that one gives its tables
  data       list the collections, prepare one, or export one
  wandb      send a sweep to Weights & Biases, from its files
  dashboard  make the Weights & Biases workspace of a sweep
  push       kept models with their cards, to the Hugging Face hub
  completion a script that completes the words of this program in a shell
  version    print the version, as --version and -V do
  evaluate   a trained model, or any other, or a run file, on a collection
  mine       hard negatives by a model, as a file that training reads

examples:
  hybrid-sweep run -m experiment=smoke                      a small sweep on generated text, under two minutes
  hybrid-sweep plan -m batch.cross_lingual_ratio=0,0.5,1 seed=0,1,2
  hybrid-sweep run -m batch.cross_lingual_ratio=0,0.5,1 seed=0,1,2 sweep.name=first
  hybrid-sweep report outputs/sweeps/first

hybrid-sweep VERB --help says more about each. Exit codes: 0 done, 1 some points have no result, 2 bad input,
130 interrupted.

environment:
  HYBRID_SWEEP_CACHE   folder of collections, tokenizers, tokens (default ~/.cache/hybrid-sweep), as paths.cache
  HYBRID_SWEEP_SLOTS   folder of the locks on GPUs and cores of a machine (default /tmp/hybrid-sweep-slots)
  HYBRID_SWEEP_DEBUG   1 shows the traceback of an error
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
  sweep.retries               times a failed point is tried again      sweep.gpus_per_run  GPUs a point has to itself
  batch.micro_batch           texts in memory at once: any batch.size  eval.dev_every      steps between dev scores
  trainer.loss                a loss of your own, module:function      trainer.callbacks   callbacks, [module:Class]

also Hydra's: --cfg job|hydra|all, --info, --hydra-help, hydra/launcher=local|basic|joblib|..., hydra/sweeper=optuna
"""

PLAN = """\
usage: hybrid-sweep plan [-m] [--config-dir DIR] [--power] [--like SWEEP] [KEY=VALUE ...]

Say what `hybrid-sweep run` with the same words would do: every point with its state (done, running elsewhere, failed,
resume at step k, to do), the reason, its steps of each kind, its time by finished points like it and its run id; which
language pairs are left out; and what the sweep takes in time and on disk.
Checks all points and starts none: what a point would refuse for reasons known before it starts is refused here.

  --power        also say what the planned seeds (sweep.seeds_planned) and questions can show at the margin: the width
                 of the intervals, how often a ratio without any loss is called non-inferior, the seeds for 80 % of it
  --like SWEEP   take the variances from this finished sweep or published folder, not from a published sweep

examples:
  hybrid-sweep plan -m experiment=smoke
  hybrid-sweep plan -m batch.cross_lingual_ratio=0,0.5,1 seed=0,1,2
  hybrid-sweep plan -m experiment=shape --power --like outputs/sweeps/shape
"""

REPORT = """\
usage: hybrid-sweep report SWEEP_DIR [SWEEP_DIR ...] [--measure NAME] [--clusters FILE] [--allow-missing] [--out DIR]
       hybrid-sweep report SWEEP_DIR SWEEP_DIR [...] --axis KEY [--baseline LEVEL] [--measure NAME]
                           [--clusters FILE] [--seeds-planned N] [--looks N,N,...] [--allow-missing] [--out DIR]
       hybrid-sweep report --table FILE [--factor COLUMN] [--baseline LEVEL] [--measure NAME] [--margin X]
                           [--clusters FILE] [--seeds-planned N] [--looks N,N,...] [--out DIR]
       hybrid-sweep report --runs 'GLOB' --collection NAME [--labels FILE] [KEY=VALUE ...] [the options of --table]

Print the table and the answer of a sweep, and write its report beside its points.json: report.html (the answer on one
page, with hover values), report.md, table.tex, results.csv and results.parquet, derived.csv (shape, trade-off,
languages), measures.csv (other measures, other scales), and as .png, .pdf and .svg the figures curve, languages, pairs,
bias, bias-maps, front, shape and training. Points without a result are listed and make the exit code 1, unless
--allow-missing. What the points scored on further collections (eval.also) is reported in the same way, in the folders
on-NAME beside it. After hybrid-sweep merge: merged.csv and the figure merged, too. docs/report.md explains it all.
--measure takes another measure than RR@10 for the curve, the verdicts, figures and tables, within languages and across
them: nDCG@10, AP, R@100, Success@k, RR@k, or one of eval.measures; its report goes into the folder by-NAME.
Questions of one paragraph or package are no independent samples: where a collection tells which belong together, runs
keep it, and the report's intervals are over these clusters. --clusters FILE, a CSV with the columns group (the
question) and cluster, tells it of older runs and of tables; --clusters none takes each question by itself.

A published sweep (experiments/NAME) is reported from its rows, with all figures, into outputs/published/NAME or --out
DIR; nothing is written into the published folder unless DIR names it.

Several sweeps that differ in nothing but ratios and seeds are pooled: one report of all their points, in the first
folder. Sweeps that differ (another model, other data, another budget, another margin) are compared: each is analysed
alone, and comparison.html, .md, .tex, .csv, .parquet, .png, .pdf and .svg in FIRST/vs-SECOND show them side by side,
with what differs in their settings. The first is what the others are compared with. Where the questions are the same,
the differences are tested. Into the other folders only plan.jsonl gets a line, where sweeps are pooled; at most six
sweeps.

--axis KEY compares sweeps that differ in one setting over that setting instead, at each ratio: a table and a curve of
each ratio in FIRST/by-KEY. Clusters, planned seeds and looks are those of the sweeps, unless the options say others.

--table gives the same statistics for any systems: FILE, a CSV or Parquet file or a folder of them, has a row for each
system, level of a factor, seed, query and measure, with the columns seed, query, measure, value and a factor (ratio, or
--factor COLUMN, numbers or names), and where there are some system, group, cluster and language. --runs scores run
files first; ratio and seed stand in their names (r0.5_s3.trec), or in --labels, a CSV with the columns file, seed and a
factor. p and intervals are those of a single look, unless --seeds-planned N says how many seeds there shall be, and
--looks N,N,... with how many of them the results were tested before.

examples:
  hybrid-sweep report outputs/sweeps/smoke
  hybrid-sweep report outputs/sweeps/smoke --allow-missing      while the sweep is running
  hybrid-sweep report outputs/sweeps/smoke --measure nDCG@10
  hybrid-sweep report outputs/sweeps/aligned-0.0 outputs/sweeps/aligned-0.2 --axis loss.alignment.weight
  hybrid-sweep report experiments/shape                         a published sweep, into outputs/published/shape
  hybrid-sweep report --table results.csv --factor negatives --margin 0.01
  hybrid-sweep report --runs 'runs/r*_s*.trec' --collection msmarco data.path=DIR
  hybrid-sweep report outputs/sweeps/reproduce outputs/sweeps/fixed_monolingual    two budgets side by side
  hybrid-sweep report outputs/sweeps/mine outputs/sweeps/more-seeds               two sweeps of one setting: pooled
"""

PROBE = """\
usage: hybrid-sweep probe SWEEP_DIR [SWEEP_DIR ...] [--ratio R] [--at K] [--share S] [--on NAME] [--passages N]
                          [--collection DIR | --no-texts] [--allow-missing]

Which questions does r = 0 answer and a higher ratio miss, and which does a model answer in one language and miss in
another? Counted and tested by language, by pair and by kind of question, and written with their texts into
SWEEP_DIR/probe: probe.md (read this first), probe.csv, shared.csv, lost.jsonl, gained.jsonl, weak.jsonl.
Answered is a relevant passage within the first K (10) in more than the share S (0.5) of the seeds. The tables have
every ratio; --ratio is that of the answer and of the examples (the highest). --on probes a further collection
(eval.also), in SWEEP_DIR/on-NAME/probe. Texts come from the collection that the runs read, in the cache or in DIR.
The exit code is 1 where points have no result, unless --allow-missing, or texts are not at hand, unless --no-texts.
docs/probe.md says what is tested, and how to read it.

examples:
  hybrid-sweep probe outputs/sweeps/first
  hybrid-sweep probe outputs/sweeps/first --ratio 0.5 --at 1          whether the first passage is relevant
  hybrid-sweep probe outputs/sweeps/first --share 0.99                only what all seeds agree on
  hybrid-sweep probe outputs/sweeps/first --no-texts                  numbers alone
"""

MERGE = """\
usage: hybrid-sweep merge SWEEP_DIR [--alpha A,A,...] [--of R,R] [--seeds S,S] [--keep-models] [PATH_KEY=DIR ...]
       hybrid-sweep merge SWEEP_DIR --of R,R,R --uniform [--seeds S,S] [--keep-models] [PATH_KEY=DIR ...]

Average the weights of trained points of one seed, (1 - alpha) w(r = R1) + alpha w(r = R2), and evaluate each average as
a point of its own, by the settings of its parents: what a ratio in between is worth without training it. The report of
the sweep shows the averages beside the trained curve, and tests the two against each other (docs/merging.md).
What is done is skipped; after Ctrl-C, or a crash, the same command goes on. Nothing is trained, and points.json stays.

  --alpha        shares of the higher ratio, from 0 to 1 (default 0,0.1,...,1; 0 and 1 are the parents themselves)
  --of           ratios of the parents (default 0,1); their runs must have kept their models (keep.model=true)
  --uniform      the plain mean of all ratios of --of, one point for each seed
  --seeds        these seeds alone (default: all of the sweep, each of which needs a run at every ratio of --of)
  --keep-models  keep the averaged models in outputs/runs/ID/model (default: each goes when it is evaluated)
  PATH_KEY=DIR   paths.cache, data.path, more.NAME.path or eval.also.NAME.path, where a collection is not in the cache
  model.remote_code=true  run the code that the models bring, which must be the same in all parents, if you trust it

examples:
  hybrid-sweep merge outputs/sweeps/first
  hybrid-sweep merge outputs/sweeps/first --alpha 0.25,0.5,0.75
  hybrid-sweep merge outputs/sweeps/first --of 0,0.5 --alpha 0.5
  hybrid-sweep merge outputs/sweeps/first --of 0,0.5,1 --uniform
  hybrid-sweep report outputs/sweeps/first
"""

FREEZE = """\
usage: hybrid-sweep freeze SWEEP_DIR FOLDER [--against FOLDER] [--rows-of FOLDER] [--figures]
       hybrid-sweep freeze --check FOLDER [FOLDER ...]
       hybrid-sweep freeze --renew FOLDER [FOLDER ...]

Publish a finished sweep: FOLDER gets per_query.parquet (the rows of all runs, packed), runs.json (settings, versions
and fingerprints, without paths and machines), points.json, merged.json where averages were made, and what of the
report these give: its tables, texts and page, and of its figures the main ones (--figures: all of them, in every
format; hybrid-sweep report FOLDER makes them too). A README.md that is there stays. --against, which can be given
several times, names a sweep that is published beside FOLDER: the comparison of the two goes into vs-NAME/, made from
the rows of both, and is made again whenever FOLDER is. --rows-of, likewise, names one that holds rows of the same
runs: they are not stored again, and rows.json says where they are. --check makes the report and the comparisons of a
published folder anew and compares every table and text with the published ones: the exit code is 1 where one differs,
and the first line that does is printed. --renew writes them: for a report that is made otherwise than it was, from
the same rows.

examples:
  hybrid-sweep freeze outputs/sweeps/reproduce experiments/first-curve
  hybrid-sweep freeze --check experiments/first-curve
  hybrid-sweep freeze outputs/sweeps/added experiments/added --against experiments/shape
  hybrid-sweep freeze outputs/sweeps/transfer experiments/transfer --rows-of experiments/shape
  hybrid-sweep report outputs/sweeps/reproduce                  what of it is a table: results.csv, report.md, table.tex
"""

DATA = """\
usage: hybrid-sweep data list
       hybrid-sweep data prepare NAME [--refresh] [KEY=VALUE ...]
       hybrid-sweep data export NAME DIR [--format FORMAT] [--languages CODE,CODE] [KEY=VALUE ...]

List the collections, or fetch and build one into the cache ($HYBRID_SWEEP_CACHE, else ~/.cache/hybrid-sweep).
A built collection stays as it is until --refresh, so that its fingerprint and the run ids stay. Collections of local
files (data.path) are read again when the files change. export writes any collection, in all its languages or those of
--languages, as files of a FORMAT: mmarco (the default), beir, jsonl, trec or tsv. data=mmarco, or data=files for the
others, reads them back as the same content. docs/collections.md shows every format that can be read.

examples:
  hybrid-sweep data list
  hybrid-sweep data prepare debian                              about a minute, through apt, without root
  hybrid-sweep data prepare debian data.mirror=ADDRESS     the base address or folder of a mirror
  hybrid-sweep data prepare libreoffice 'data.languages=[en,de,it]'       fully parallel, through apt as well
  hybrid-sweep data prepare xquad_r                             fetched once and checked; then no network is needed
  hybrid-sweep data prepare debian --refresh                    fetch today's state; runs on the old one are kept
  hybrid-sweep data prepare mmarco data.path=DIR 'data.languages=[en,de,nl]'
  hybrid-sweep data prepare files data.path=DIR 'data.languages=[en,sw]' data.on_error=skip    your own files
  hybrid-sweep data export debian DIR                           for tools that read MS MARCO
  hybrid-sweep data export debian DIR --format beir --languages de      German alone, for tools that read BEIR
"""

EVALUATE = """\
usage: hybrid-sweep evaluate RUN_DIR [KEY=VALUE ...]
       hybrid-sweep evaluate model.path=DIR [data=NAME] [KEY=VALUE ...]
       hybrid-sweep evaluate run=FILE data=NAME [KEY=VALUE ...]
       hybrid-sweep evaluate ... label.FACTOR=LEVEL label.seed=NUMBER [label.system=NAME]

Evaluate the model of a run, or a Hugging Face or sentence-transformers folder, or score a run file of any system
(TREC's six columns or MS MARCO's three; plain or gzip), and print its table. docs/evaluation.md says what is measured.
The config of a run permits nothing: model.remote_code=true, data.path=DIR and model.path=DIR are words of this command.
With labels the rows of a model are kept in outputs/labelled/NAME, a folder for hybrid-sweep report --table.

examples:
  hybrid-sweep evaluate outputs/runs/3f2a90c41b7d
  hybrid-sweep evaluate model=pretrained model.path=DIR data=debian
  hybrid-sweep evaluate model.path=DIR data=xquad_r             zero-shot; its folder brings pooling and prompts
  hybrid-sweep evaluate outputs/runs/3f2a90c41b7d 'eval.measures=[Success@5,P@10,Rprec]' eval.run_depth=100
  hybrid-sweep evaluate model.path=DIR data=xquad_r label.ratio=0.5 label.seed=3   any trainer's, for report --table
  hybrid-sweep evaluate run=bm25.trec data=msmarco data.path=DIR        queries that it leaves out count as 0
"""

MINE = """\
usage: hybrid-sweep mine RUN_DIR FILE [--from RANK] [--to RANK] [--margin SCORE] [--pool LANGS|all] [KEY=VALUE ...]
       hybrid-sweep mine FILE model.path=DIR data=NAME [KEY=VALUE ...]
       hybrid-sweep mine FILE model=bm25 data=NAME [KEY=VALUE ...]

Ask every training question of the training passages in its own language and write what comes first but is not judged
relevant, of the ranks --from (1) to --to (50), to FILE: lines of query, positive and negative, packed where the name
ends in .gz. With --margin only passages that score at least so much below the best relevant one, which leaves out most
unjudged answers. --pool searches the passages of the languages named (en,de), or of all, in place of the question's.
data.negatives=FILE with batch.hard_negatives=K trains on them, in the language that batch.negatives_language says.

examples:
  hybrid-sweep mine outputs/runs/3f2a90c41b7d negatives.tsv.gz --from 10 --to 100
  hybrid-sweep mine outputs/runs/3f2a90c41b7d negatives.tsv --margin 0.05
  hybrid-sweep mine outputs/runs/3f2a90c41b7d across.tsv --pool de,fr
  hybrid-sweep mine negatives.tsv model=bm25 data=debian
"""

WANDB = """\
usage: hybrid-sweep wandb push SWEEP_DIR [--offline] [--project NAME] [--entity NAME]

Write the whole Weights & Biases mirror of a sweep anew from its files: a run for each point that is done or has failed,
and one for the sweep, with the table, the figure and the results. It does not matter whether training ran with wandb;
a second push changes nothing. Needs a login, or --offline: files under SWEEP_DIR/wandb, for wandb sync. Project and
entity are those of the points (logger.project, logger.entity) where none are given.

examples:
  hybrid-sweep wandb push outputs/sweeps/first
  hybrid-sweep wandb push outputs/sweeps/first --project my-project --entity my-team
  hybrid-sweep wandb push outputs/sweeps/first --offline && wandb sync outputs/sweeps/first/wandb/offline-run-*
"""

DASHBOARD = """\
usage: hybrid-sweep dashboard SWEEP_DIR [--report] [--dry-run] [--project NAME] [--entity NAME]

Save the Weights & Biases workspace of a sweep that has been pushed: the curve with its band and the table, MRR@10 over
the ratio, by seed, each language, language bias, losses by kind, learning rate, gradients, speed. The same workspace is
written again the next time. --report saves a new report with the same panels, as a draft, in its place. Needs pip
install 'hybrid-sweep[dashboard]', and a login; --dry-run only writes what would be saved into SWEEP_DIR/dashboard.json
(of a report wandb-report.json).

examples:
  hybrid-sweep dashboard outputs/sweeps/first
  hybrid-sweep dashboard outputs/sweeps/first --entity my-team
  hybrid-sweep dashboard outputs/sweeps/first --dry-run
  hybrid-sweep dashboard outputs/sweeps/first --report
"""

PUSH = """\
usage: hybrid-sweep push RUN_DIR ORG/NAME [--license ID] [--public] [--dry-run]
       hybrid-sweep push SWEEP_DIR ORG/NAME [--ratio R] [--seed S] [--license ID] [--public] [--dry-run]

Send the kept model of a run, with its card, to the repository ORG/NAME of the Hugging Face hub; of a sweep the models
of all trained points, or those of --ratio and --seed, each to ORG/NAME-rRATIO-sSEED, with the sweep's intervals in the
card. A new repository is private unless --public; one that is there keeps its visibility, and its other files. Nothing
else of the run is sent: no config, log, text or table. The model must be the one that was saved. Needs a token that may
write (hf auth login, or HF_TOKEN). --dry-run needs none: it writes outputs/hub/ORG/NAME and asks no server. --license
states the licence of the model, by the hub's identifier; without it the card states none.

examples:
  hybrid-sweep push outputs/runs/3f2a90c41b7d me/my-retriever --dry-run
  hybrid-sweep push outputs/runs/3f2a90c41b7d me/my-retriever --license mit
  hybrid-sweep push outputs/sweeps/first me/first --ratio 0.5 --public
"""

COMPLETION = """\
usage: hybrid-sweep completion bash|zsh|fish

Print the script that completes the words of this program in a shell: verbs and their options, the keys of the config,
the names in its groups, known values, and the folders of sweeps and runs below outputs/.

examples:
  eval "$(hybrid-sweep completion bash)"                          in this shell; in ~/.bashrc for all
  eval "$(hybrid-sweep completion zsh)"                           in ~/.zshrc, behind compinit
  hybrid-sweep completion fish | source                           or into ~/.config/fish/completions/hybrid-sweep.fish
"""
