#!/usr/bin/env bash
# The HOME profile's scanner: finds what this project decided never to have.
#
#   ./search_overkill.sh [FOLDER]     FOLDER defaults to the folder of this script
#
# Quiet and exit 0 when the tree is clean. Otherwise one line a find, `file:line: [rule] text`, and
# exit 1. Exit 2: the scanner itself could not run.
#
# In a git checkout it reads tracked and untracked files that are not ignored; elsewhere all files.
# Build output (`target/` at any depth), `.git`, lock files and binary files are never read.
# `.docs/HOME_PROFILE.md` says why each rule is there.
#
# Rules: HOME-API-1, HOME-API-2, HOME-API-3, HOME-API-4, HOME-API-5, HOME-API-6, HOME-SCHED-1, HOME-SCHED-2,
# HOME-SCHED-3, HOME-SCHED-4, HOME-MODEL-1, HOME-MODEL-2, HOME-PLACE-1, HOME-MET-1, HOME-BIND-1, HOME-SCAN-1
set -euo pipefail
export LC_ALL=C

# Documents that state the ban, and the test that plants every banned term.
exempt=(
    'search_overkill.sh'
    'xtask/src/scan/tests.rs'
    '.docs/HOME_PROFILE.md'
    '.specs/00_home_profile.md'
    'TODO.md'
)

root=${1:-$(dirname "$0")}
cd "$root" || exit 2
self_exempt=$(printf '%s\n' "${exempt[@]}")

if git rev-parse --show-toplevel >/dev/null 2>&1 && [[ $(git rev-parse --show-toplevel) == "$(pwd -P)" ]]; then
    listed=$(git ls-files --cached --others --exclude-standard)
else
    listed=$(find . -name target -prune -o -name .git -prune -o -type f -print | sed 's|^\./||')
fi
files=$(mktemp) metrics_files=$(mktemp) settings_files=$(mktemp)
trap 'rm -f "$files" "$metrics_files" "$settings_files"' EXIT
printf '%s\n' "$listed" | sort -u \
    | grep -vE '(^|/)(target|\.git)/|(^|/)[^/]*\.lock$|(^|/)[^/]*lock\.(json|yaml)$' \
    | grep -vxF "$self_exempt" >"$files" || true
# Rules about metric names and labels hold where metrics are made or described.
grep -E '(^|/)metrics[^/]*\.(rs|json|md|yaml)$|(^|/)metrics/|(^|/)ci/' "$files" >"$metrics_files" || true
# Rules about what a file of settings says by default.
grep -E '\.(ya?ml|json|toml|service|env)$|(^|/)Dockerfile' "$files" >"$settings_files" || true

found=0
# rule NAME FLAGS PATTERN [LIST [BUT]]: lines of the files of LIST that match PATTERN and not BUT.
rule() {
    local name=$1 flags=$2 pattern=$3 list=${4:-$files} but=${5:-} hits
    hits=$(tr '\n' '\0' <"$list" | xargs -0 -r grep -nHIs "$flags" -e "$pattern" -- || true)
    if [[ -n $but && -n $hits ]]; then
        hits=$(grep -vE -e "$but" <<<"$hits" || true)
    fi
    if [[ -n $hits ]]; then
        found=1
        sed -E "s/^([^:]+:[0-9]+):[[:space:]]*/\1: [$name] /" <<<"$hits" | cut -c 1-240
    fi
}

# API surface
rule 'pool drains'           -iE 'drain'
rule 'artifact registry'     -iE '/v1/artifacts?|artifacts?[ _-]?registry|registry of artifacts'
rule 'replica sets'          -iE 'replica[ _-]?sets?\b'
rule 'capabilities endpoint' -iE '/capabilities\b'
rule 'change data capture'   -E  '\bCDC\b|/v1/cdc|change[ _-]data[ _-]capture'
rule 'correlation ids'       -iE 'correlation[ _-]?id'
rule 'policy labels'         -iE 'policy[_-]?label'
rule 'SSE event metrics'     -iE 'event:? *\(?["'\''`]?metrics\b|(event|frame)::metrics\b|started\W+token\W+(metrics|end\W+metrics)'

# scheduling
rule 'fairness'              -iE 'fairness|fair[ _-]share|weighted[ _-]fair|admission_share|\bwfq\b'
rule 'tenants'               -iE 'tenant|tenancy'
rule 'quotas'                -iE 'quota' "$files" 'QuotaExceeded|EDQUOT'
rule 'roles and rights'      -iE '\brbac\b|role[ _-]based[ _-]access'
rule 'deadline scheduling'   -E  '\bEDF\b|[Ee]arliest[ _-][Dd]eadline|deadlines?_met|(^|[^A-Za-z_])deadline_ms|[Xx]-[Dd]eadline'
rule 'preemption'            -iE 'pre-?empt'
rule 'resumption of work'    -iE 'resumption|resumed_task|task_resumed|resume_task'

# models
rule 'lifecycle states'      -E  'MODEL_DEPRECATED|(::|["'\''`|])(Draft|Deprecated|Canary)\b|^ *(Draft|Deprecated|Canary) *[,|=]|\b(Active|Retired) *[|,/] *(Draft|Deprecated|Canary)\b'
rule 'canaries'              -iE '\bcanar(y|ies)|canary_|_canary'
rule 'rollouts'              -iE 'roll-?outs?\b|rollout_'
rule 'enforced signatures'   -iE 'require[_-]?s(ignature|bom)|\bsbom\b|sbom_|_sbom|signature[_ -]enforcement'

# placement
rule 'tensor splits'         -iE 'tensor[ _-]?splits?\b|tensorsplit'
rule 'NUMA hints'            -iE '(^|[^a-z])numa([^a-z]|$)'
rule 'topology hints'        -iE 'topology[ _-]?(hint|aware)|topology["]? *[:=]'
rule 'PCIe hints'            -iE '\bpcie\b|pcie_|_pcie'

# metrics and binding
rule 'latency histograms'    -iE 'latency_(first_token|decode|queue|ms|s|us|seconds)?_?(bucket|histogram|hist)\b|latency_(first_token|decode)_ms|metrics::histogram|exponential_buckets|linear_buckets|preemptions_total|resumptions_total|deadlines_met_ratio'
rule 'metric percentiles'    -iE 'histogram|percentile|quantile|\bp(50|90|95|99)\b|\blatency_' "$metrics_files"
rule 'bind beyond loopback'  -iE 'default.*(0\.0\.0\.0|ipv4addr::unspecified|ipv6addr::unspecified|\[::\]:)|(bind|listen)\(["'\''](0\.0\.0\.0|\[::\])|unwrap_or[a-z_]*\(.*(0\.0\.0\.0|unspecified)'
rule 'bind beyond loopback'  -E  '(listen|bind|host|LISTEN|HOST)[A-Za-z_]*["'\'' ]*[:=] *["'\'']?(0\.0\.0\.0|\[::\])' "$settings_files" '^[^:]+:[0-9]+: *(#|//)'

exit "$found"
