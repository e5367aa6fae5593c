#!/usr/bin/env bash
# Run the tests in a fresh environment with the newest, or the lowest, versions that pyproject.toml
# admits:
#
#     tests/environments.sh newest|lowest [PYTEST ARGUMENT...]
#
# MDN_ENVIRONMENT names a folder for the environment, which then stays; else it is temporary.
# MDN_PYTHON names the interpreter (default: python3), which has to be 3.11 or later.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    echo "error: $1; use tests/environments.sh newest|lowest [PYTEST ARGUMENT...]" >&2
    exit 2
}

[ $# -ge 1 ] || usage "no end of the versions is named"
case "$1" in
    newest) resolution=highest ;;
    lowest) resolution=lowest-direct ;;
    *) usage "$1 is neither newest nor lowest" ;;
esac
shift

python=${MDN_PYTHON:-python3}
command -v "$python" >/dev/null || usage "$python is not found"
if [ -n "${MDN_ENVIRONMENT:-}" ]; then
    folder=$MDN_ENVIRONMENT
    [ ! -e "$folder" ] || usage "$folder exists already"
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi

"$python" -m venv "$folder"
bin=$folder/bin
"$bin/python" -m pip install --quiet uv
if [ "$resolution" = highest ]; then
    "$bin/python" -m pip install --quiet --upgrade --upgrade-strategy eager -e '.[test]'
else
    "$bin/uv" pip install --quiet --python "$bin/python" --resolution "$resolution" -e '.[test]'
    # Types are checked against those that the newest packages declare.
    set -- -k 'not basedpyright' "$@"
fi
"$bin/python" -m pip list --format=freeze --exclude-editable
PATH="$bin:$PATH" "$bin/python" -m pytest -n auto "$@"
