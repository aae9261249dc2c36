#!/bin/bash
# Runs one Python test of this folder against the built agent. $1: the test; the rest is for it.
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"
exec python3 -B "$@"
