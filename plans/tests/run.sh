#!/bin/sh
# run.sh COMMAND [ARGUMENT…]: hairpin's COMMAND, and its results as tmt reads them.
#
# HAIRPIN is the hairpin to be run, the one of this clone when it is not set; HAIRPIN_ARGUMENTS,
# words with spaces between them, go to COMMAND. Reports are kept as logs of the test.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
: "${TMT_TEST_DATA:?this is a test for tmt: see docs/distributions.md}"

hairpin=${HAIRPIN:-$here/../../hairpin}
reports=$TMT_TEST_DATA/hairpin

status=0
# shellcheck disable=SC2086 # words
"$hairpin" "$@" --output "$reports" ${HAIRPIN_ARGUMENTS-} || status=$?
"$hairpin" last --output "$reports" >"$TMT_TEST_DATA/summary.txt" 2>&1
exec python3 "$here/hand_over.py" "$status"
