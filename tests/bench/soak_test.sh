#!/bin/bash
# A minute of what bench/soak does for half an hour. Its seed is in the log.
exec "$1" --seconds=60
