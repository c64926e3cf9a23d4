#!/usr/bin/env bash
# A real cluster on one machine, for the tests: a login node with SLURM's controller, and two compute nodes of
# two CPUs, n1 and n2, each with its own name, address, and a folder DIR/private that it alone can see. Needs
# root, Linux namespaces, and Debian's packages slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge
# iproute2 (jobs/setup.sh: set_up_cluster).
#
#   cluster.sh up DIR                      brings it up; what it keeps and logs is in DIR
#   cluster.sh on DIR NODE COMMAND…        runs a command on login, n1 or n2, in the current folder
#   cluster.sh down DIR                    ends it, with all that runs on it
#
# DIR/rsh is a launch agent for an mpirun that knows nothing of SLURM: mpirun --mca plm_rsh_agent DIR/rsh.
#
# All of it lives in a PID namespace, and in networks that hang together but not with the machine's: whatever
# was started ends with the first process of the namespace, networks and mounts with what used them. So there
# is nothing to clean up one by one after a half-failed start, and several clusters may run side by side.
set -euo pipefail

nodes=(n1 n2)
cpus=2
# Seconds that the cluster may take to come up, on a machine that has much else to do.
patience=90
here=$(realpath "${BASH_SOURCE[0]}")

say() { printf 'cluster.sh: %s\n' "$*" >&2; }

# The process that all others hang on. Its number may be somebody else's by now: the folder is on its command line.
holder() {
    local pid
    read -r pid 2>/dev/null <"$dir/holder" && grep -zqxF -- "$dir" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

up() {
    down
    rm -rf "${dir:?}"/{log,run,spool,state,tmp,slurm.conf,cgroup.conf,hosts,ready}
    mkdir -p "$dir"/{log,run,private}
    # munge wants every user to reach its socket, and nobody else to write beside it.
    chmod 755 "$dir" "$dir/run"
    setsid unshare --fork --kill-child --pid --mount-proc --mount --net --uts \
        "$here" inside "$dir" </dev/null >"$dir/log/inside.log" 2>&1 &
    echo $! >"$dir/holder"
    # Its end is no news.
    disown
    local end=$((SECONDS + patience))
    while [ "$SECONDS" -lt "$end" ]; do
        [ -e "$dir/ready" ] && return
        # The holder is not there at once.
        holder >/dev/null || [ "$SECONDS" -lt $((end - patience + 5)) ] || break
        sleep 0.1
    done
    say "the cluster in $dir did not come up:"
    tail -n 30 "$dir"/log/* >&2
    down
    return 1
}

down() {
    local pid
    pid=$(holder) || return 0
    kill -KILL "$pid"
    for ((tries = 0; tries < 100; tries++)); do
        holder >/dev/null || break
        sleep 0.1
    done
    ! holder >/dev/null || { say "process $pid of the cluster in $dir does not end"; return 1; }
    rm -f "$dir/holder"
}

# wait_for WHAT COMMAND…: until the command succeeds, but no longer than the cluster may take to come up.
wait_for() {
    local what=$1
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$patience" ] || { say "no $what after $patience s"; exit 1; }
        sleep 0.05
    done
}

# Runs on the login node, as the first process of the namespace; ends when something of it does.
inside() {
    local node i=10
    hostname login
    printf '127.0.0.1 localhost\n10.9.0.1 login\n' >"$dir/hosts"
    for node in "${nodes[@]}"; do echo "10.9.0.$((++i)) $node"; done >>"$dir/hosts"
    mount --bind "$dir/hosts" /etc/hosts
    ip link set lo up
    ip link add bridge type bridge
    ip addr add 10.9.0.1/24 dev bridge
    ip link set bridge up
    for node in "${nodes[@]}"; do start_node "$node"; done
    start_slurm
    wait -n
    say "something has ended that should not"
}

start_node() {
    # Its first process does nothing but keep its namespaces.
    unshare --net --uts --mount --propagation private sleep infinity &
    local pid=$! node=$1
    echo "$pid" >"$dir/run/$node.pid"
    # Once unshare has become sleep, the namespaces are there.
    wait_for "namespaces of $node" sleeps "$pid"
    ip link add "to-$node" type veth peer name eth0 netns "$pid"
    ip link set "to-$node" master bridge up
    into "$node" "$here" furnish "$dir" "$node"
}

sleeps() { [ "$(cat "/proc/$1/comm")" = sleep ]; }

# Runs in the namespaces of a node that is new.
furnish() {
    hostname "$1"
    # So that what it says of networks is said of this node.
    mount -t sysfs sysfs /sys
    mount -t tmpfs -o size=64m private "$dir/private"
    # MPI libraries name what ranks share by node and job, and those of a cluster beside this one are the same.
    mount -t tmpfs shm /dev/shm
    ip link set lo up
    ip addr add "$(awk -v node="$1" '$2 == node { print $1 }' "$dir/hosts")/24" dev eth0
    ip link set eth0 up
}

into() {
    local pid
    pid=$(<"$dir/run/$1.pid")
    shift
    nsenter --target "$pid" --net --uts --mount -- "$@"
}

start_slurm() {
    write_conf
    export SLURM_CONF=$dir/slurm.conf
    (umask 077 && head -c 512 /dev/urandom >"$dir/run/munge.key")
    munged --foreground --key-file="$dir/run/munge.key" --socket="$dir/run/munge.socket" \
        --pid-file="$dir/run/munged.pid" --seed-file="$dir/run/munge.seed" --log-file="$dir/log/munged.log" &
    wait_for "socket of munge" test -S "$dir/run/munge.socket"
    slurmctld -D &
    local node
    for node in "${nodes[@]}"; do
        mkdir -p "$dir/spool/$node" "$dir/tmp/$node"
        into "$node" slurmd -D -N "$node" &
    done
    wait_for "idle node of each name" all_idle
    touch "$dir/ready"
}

all_idle() {
    # Each node and its slurmd, munged and slurmctld.
    [ "$(jobs -rp | wc -l)" -eq $((2 * ${#nodes[@]} + 2)) ] || { say "something does not run"; exit 1; }
    [ "$(timeout 20 sinfo -h -N -t idle 2>/dev/null | wc -l)" -eq ${#nodes[@]} ]
}

write_conf() {
    mkdir -p "$dir/state"
    # Nodes have no control groups of their own to put jobs into.
    echo "CgroupPlugin=cgroup/v1" >"$dir/cgroup.conf"
    cat >"$dir/slurm.conf" <<END
ClusterName=parpy
SlurmctldHost=login
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.socket
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmdLogFile=$dir/log/slurmd.%n.log
SlurmdSpoolDir=$dir/spool/%n
# PMIx keeps what it tells the ranks of a node there; nodes do not share it.
TmpFS=$dir/tmp/%n
MpiDefault=pmix
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
# The machine may have fewer CPUs than the nodes say.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# What is asked to end has to end by itself, in less time than this.
KillWait=120
# Tests wait for jobs to start.
SchedulerParameters=batch_sched_delay=0,sched_interval=2
NodeName=$(IFS=,; echo "${nodes[*]}") CPUs=$cpus CoresPerSocket=$cpus RealMemory=1000 State=UNKNOWN
# Jobs share the CPUs, so that one that waits for its time limit keeps no other from running.
PartitionName=tests Nodes=ALL Default=YES DefaultTime=10 OverSubscribe=FORCE:8
END
    cat >"$dir/rsh" <<END
#!/usr/bin/env bash
# As mpirun calls it: OPTION… HOST WORD…, the words for a shell of that host.
while [[ \$1 = -* ]]; do shift; done
node=\$1
shift
exec "$here" node "$dir" "\$node" bash -c "\$*"
END
    chmod +x "$dir/rsh"
}

# From within the cluster to one of its nodes.
node() {
    local target=$1
    shift
    if [ "$target" = login ]; then exec "$@"; fi
    # Entering a mount namespace leaves the current folder.
    into "$target" env --chdir="$PWD" "$@"
}

on() {
    local pid first
    pid=$(holder) || { say "no cluster is up in $dir"; return 1; }
    first=$(<"/proc/$pid/task/$pid/children")
    SLURM_CONF=$dir/slurm.conf nsenter --target "${first% }" --pid --mount --net --uts -- \
        env --chdir="$PWD" "$here" node "$dir" "$@"
}

if [ $# -lt 2 ]; then
    sed -n '2,/^$/{/^#/s/^# \{0,1\}//p}' "$here" | sed '/^All of it/,$d' >&2
    exit 2
fi
command=$1
dir=$(realpath -m "$2")
shift 2
case $command in
up | down | on | inside | furnish | node) "$command" "$@" ;;
*)
    say "$command: no such command"
    exit 2
    ;;
esac
