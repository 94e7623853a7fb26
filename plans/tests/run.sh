#!/bin/sh
# run.sh COMMAND [ARGUMENT…]: hairpin's COMMAND, and its results as tmt reads them.
#
# HAIRPIN is the hairpin to be run, the one of this clone when it is not set; HAIRPIN_ARGUMENTS,
# words with spaces between them, go to COMMAND. Reports are kept as logs of the test.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
: "${TMT_TEST_DATA:?this is a test for tmt: see docs/distributions.md}"

status=0
# shellcheck disable=SC2086 # words
"${HAIRPIN:-$here/../../hairpin}" "$@" --output "$TMT_TEST_DATA/hairpin" ${HAIRPIN_ARGUMENTS-} ||
    status=$?
exec python3 "$here/hand_over.py" "$status"
