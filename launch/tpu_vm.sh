#!/usr/bin/env bash
# Trains on all workers of a Cloud TPU VM: `launch/tpu_vm.sh`, from a machine that has gcloud and stays up.
#
# The workers find each other by what the TPU tells them (--distributed). When one of them ends with anything but 0, all
# start again, from the newest checkpoint. SIGTERM, SIGINT or SIGUSR1 to this script has them save, and it ends with 75.
# shellcheck disable=SC2016  # what is quoted is for the workers' shells
set -u

# EDIT 1: the TPU: `gcloud compute tpus tpu-vm list --zone=…` shows both.
TPU=my-tpu
ZONE=us-central2-b

# EDIT 2: how a worker gets at the repository and its Python, which has jax[tpu], and how often a run that died is started
# again. Preemption does not count.
SETUP='cd ~/mobilenet_v2 && source .venv/bin/activate'
DEATHS_ALLOWED=3

# EDIT 3: the command. All workers share the workdir: a folder of a Filestore, say, that each has mounted. So they do the
# data, which one of them has made ready before: python -m mobilenet_v2 prepare with the same --config flags.
COMMAND='python train.py --config=configs/imagenet.py --config.data.data_dir=/shared/datasets \
  --workdir=/shared/runs/imagenet'

# An ssh that breaks does not end what it started: a worker keeps its process's number until that ends, and then its
# status. A reboot clears both.
NUMBER=/dev/shm/train.pid
ENDED=/dev/shm/train.status
STOP="if [ -e $NUMBER ]; then"' number=$(cat '"$NUMBER"'); kill -TERM $number 2>/dev/null
for _ in $(seq 300); do kill -0 $number 2>/dev/null || break; sleep 1; done
kill -KILL $number 2>/dev/null; rm -f '"$NUMBER; fi"
START="$STOP; rm -f $ENDED; $SETUP && { $COMMAND --distributed & echo \$! > $NUMBER; wait \$!; status=\$?
rm -f $NUMBER; echo status=\$status | tee $ENDED; exit \$status; }"

on_all_workers() {
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$1"
}

told=0
trap 'told=1' TERM INT USR1

deaths=0
while [ "$told" = 0 ]; do
  state=$(gcloud compute tpus tpu-vm describe "$TPU" --zone="$ZONE" --format='value(state)')
  [ "$told" = 0 ] || break # meanwhile; it may have ended gcloud, too
  if [ "$state" != READY ]; then
    echo "tpu_vm.sh: $TPU is ${state:-not there}, must be READY; make it anew, and start this again" >&2
    exit 1
  fi
  on_all_workers "$START" &
  ssh=$! stopped=0
  while kill -0 "$ssh" 2>/dev/null || [ "$stopped" != "$told" ]; do
    if [ "$told" = 1 ]; then # once more where a worker had not yet begun
      on_all_workers "$STOP"
      stopped=1
    fi
    sleep 1
  done
  wait "$ssh"
  status=$? # the first worker's that is not 0; of all of them these two say most
  all=
  [ "$status" = 0 ] || all=$(on_all_workers "cat $ENDED" 2>/dev/null)
  case $all/$status in
    *status=2[!0-9]*) status=2 ;;
    *status=75[!0-9]* | *status=143[!0-9]* | *status=138[!0-9]* | */143 | */138) status=75 ;;
  esac
  case $status in
    0 | 2 | 130) exit "$status" ;; # finished; wrong input or a full disk; a person's Ctrl-C
    75) ;;
    *) deaths=$((deaths + 1)) ;;
  esac
  if [ "$deaths" -gt "$DEATHS_ALLOWED" ]; then
    echo "tpu_vm.sh: died with status $status, $deaths times in all; $DEATHS_ALLOWED are allowed" >&2
    exit "$status"
  fi
  [ "$told" = 1 ] || echo "tpu_vm.sh: ended with status $status; starts again (deaths: $deaths)" >&2
done
exit "${status:-75}"
