#!/usr/bin/env bash
# A real SLURM on this machine for tests: munge, one controller, and nodes that are slurmd processes.
#   tests/slurm/slurm.sh start FOLDER [NODES]    FOLDER/slurm.conf is what SLURM_CONF has to name
#   tests/slurm/slurm.sh stop FOLDER
# All state lies in FOLDER, and any user can run it; where packages are missing, root installs them. A job pre-empted by
# one of the partition "urgent" has 5 seconds, and is requeued; so is one that is told to. Each node claims 4 CPUs, whatever
# there are.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
action=${1:?start or stop} folder=$(realpath -m "${2:?a folder}") nodes=${3:-1}
export SLURM_CONF="$folder/slurm.conf"

stop() {
  if [ -f "$SLURM_CONF" ] && scancel --quiet --full --signal=KILL --state=RUNNING --user="$(id -un)" 2>/dev/null; then
    scancel --quiet --user="$(id -un)" || true
    for _ in $(seq 50); do [ -n "$(squeue --noheader 2>/dev/null)" ] && sleep 0.1 || break; done
  fi
  local file pid
  for file in "$folder"/slurmd.*.pid "$folder"/slurmctld.pid "$folder"/munged.pid; do
    pid=$(cat "$file" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null && sleep 0.1 || break; done
    kill -9 "$pid" 2>/dev/null || true
  done
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

install_packages() {
  for program in slurmctld slurmd munged sbatch; do
    command -v "$program" >/dev/null && continue
    [ "$(id -u)" = 0 ] || { echo "no $program: apt-get install slurmctld slurmd slurm-client munge" >&2; exit 1; }
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -qy --no-install-recommends slurmctld slurmd slurm-client munge; } >&2
    return
  done
}

start() {
  install_packages
  mkdir -p "$folder/state" "$folder/spool"
  local user host; user=$(id -un) host=$(hostname -s)
  (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
  # --force: the folder may lie under /tmp, which others can write to.
  munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2>/dev/null
  # cred_expire: a requeued job waits until the last credential of its first start has expired, 2 minutes by default.
  cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=$user
SlurmdUser=$user
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=100000,bf_interval=1
SlurmdParameters=config_overrides
CONF
  local names=()
  for number in $(seq "$nodes"); do
    # The first rank of a run is looked for by the name of its node, the first in the order of names.
    names+=("$([ "$number" = 1 ] && echo "$host" || echo "$host-$number")")
    echo "NodeName=${names[-1]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=4 RealMemory=1000" >>"$SLURM_CONF"
  done
  cat >>"$SLURM_CONF" <<CONF
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes=ALL PriorityTier=10
CONF
  slurmctld
  for name in "${names[@]}"; do slurmd -N "$name"; done
  for _ in $(seq 150); do
    [ "$(sinfo --noheader --Node --partition=main --states=idle --format=%N 2>/dev/null | wc -l)" = "$nodes" ] && return
    sleep 0.2
  done
  tail -n 20 "$folder"/*.log >&2
  echo "SLURM did not start" >&2
  stop
  exit 1
}

"$action"
