#!/bin/bash
# Runs tidy over the workspace that this file is in: the runfile is a link to the source.
set -euo pipefail
exec python3 -B "$(dirname "$(readlink -f "$0")")/tidy_test.py"
