#!/usr/bin/env bash
# What limits the number of workers: CPUs, the affinity mask, a container's quota, a batch system.
parpy cpus
