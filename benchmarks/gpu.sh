#!/usr/bin/env bash
# What a machine with one GPU is asked, in at most 10 minutes: tests, determinism and resume, ratios beside
# sentence-transformers, a sweep of three ratios.
#   benchmarks/gpu.sh [TABLE]      the table also goes into this file (default gpu-table.txt)
# MODEL=FOLDER: of multilingual-e5-small, for training and encoding; without it the tiny model is trained, and encoding is left out.
# The pairs are Debian's: hybrid-sweep data prepare debian fetches them before.
# DEVICE=cpu STEPS=4 TEXTS=20: a trial of the script itself.
set -uo pipefail
cd "$(dirname "$0")/.."
TABLE=${1:-gpu-table.txt}
DEVICE=${DEVICE:-cuda} MODEL=${MODEL:-} STEPS=${STEPS:-30} TEXTS=${TEXTS:-20000}
PYTHON=${PYTHON:-.venv/bin/python}
END=$((SECONDS + 590))
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
: > "$TABLE"
failed=0

# step NAME SECONDS COMMAND...: run it within its time and what is left of all; its last lines go into the table.
step() {
    local name=$1 most=$2 left=$((END - SECONDS)) begun=$SECONDS state=ok
    shift 2
    ((left > 5)) || { echo "$name: left out, no time" | tee -a "$TABLE"; failed=1; return; }
    if ! timeout "$((most < left ? most : left))" "$@" > "$WORK/log" 2>&1; then
        state="failed or out of time"
        failed=1
    fi
    { echo "$name: $state, $((SECONDS - begun)) s"; tail -n 9 "$WORK/log" | sed 's/^/    /'; } | tee -a "$TABLE"
}

accelerator=gpu
[[ $DEVICE == cpu ]] && accelerator=cpu
step "tests of the GPU, determinism and resume among them" 150 "$PYTHON" -m pytest -q tests/test_gpu.py tests/test_gpu_runs.py
for precision in 32-true bf16-mixed; do
    step "training, $precision" 120 "$PYTHON" benchmarks/train.py --model "${MODEL:-tiny}" --device "$DEVICE" --precision "$precision" --steps "$STEPS" --rounds 1
done
if [[ -n $MODEL ]]; then
    for precision in 32-true bf16-true; do
        step "encoding, $precision" 45 "$PYTHON" benchmarks/encode.py --model "$MODEL" --device "$DEVICE" --precision "$precision" --texts "$TEXTS"
    done
fi
step "loss of 16,384 pairs, whole and in blocks" 20 "$PYTHON" benchmarks/loss.py --device "$DEVICE"
step "sweep of three ratios" 90 "$PYTHON" -m hybrid_sweep run -m data=synthetic data.groups=300 model.vocabulary=600 batch.size=16 \
    trainer.max_steps="$STEPS" trainer.accelerator="$accelerator" batch.cross_lingual_ratio=0,0.5,1 logger=disabled \
    paths.outputs="$WORK/outputs"
echo "the table is in $TABLE"
exit "$failed"
