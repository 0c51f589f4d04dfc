#!/usr/bin/env bash
# Side by side with other load generators, in one run, nginx on one core and the generator on the other:
#
#	attack/testdata/peers/peers.sh [SECONDS]              closed loop, 64 connections: requests per CPU-second
#	attack/testdata/peers/peers.sh open RATE [SECONDS]    a fixed rate: sent, late, CPU, memory
#
# It wants wrk, nginx-light, /usr/bin/time and vegeta v12.13.0; COALMINE names the built binary. Loopback only. Figures drift:
# quote the ratios of one run, of several.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mode=closed rate=
if [[ ${1:-} == open ]]; then mode=open rate=${2:?peers.sh open RATE [SECONDS]}; shift 2; fi
seconds=${1:-5}
vegeta=${VEGETA:-$(command -v vegeta || echo "$(go env GOPATH)/bin/vegeta")}
work=$(mktemp -d)
stop() { [[ -f $work/nginx.pid ]] && kill "$(cat "$work/nginx.pid")" 2>/dev/null || true; rm -rf "$work"; }
trap stop EXIT

cp "$here/nginx.conf" "$work/"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/key.pem" -out "$work/cert.pem" -days 2 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
taskset -c 1 nginx -p "$work" -c nginx.conf -g "pid $work/nginx.pid;" 2>/dev/null
for _ in $(seq 50); do curl -so /dev/null http://127.0.0.1:18080/prod/products && break; sleep 0.1; done

# row LABEL COUNT-COMMAND -- COMMAND...: run it on core 0, print requests, CPU seconds, requests per CPU second, peak memory
row() {
  local label=$1 count=$2; shift 3
  if ! /usr/bin/time -o "$work/time" -f '%U %S %e %M' taskset -c 0 "$@" >"$work/out" 2>"$work/err"; then
    printf '%-22s exited with an error: %s\n' "$label" "$(tail -n1 "$work/err")"; return 0
  fi
  local n; n=$(eval "$count")
  awk -v l="$label" -v n="${n:-0}" '{c=$1+$2; printf "%-22s %10d requests %7.2f cpu-s %9.0f per cpu-s %7.1f s wall %8.1f MB\n", l, n, c, n/c, $3, $4/1024}' "$work/time"
}
wrk_count='grep -oE "[0-9]+ requests in" "$work/out" | cut -d" " -f1'
vegeta_count='"$vegeta" report -type json "$work/v.bin" | grep -oE "\"requests\":[0-9]+" | cut -d: -f2'
coal_count='python3 -c "import json,sys; print(json.load(open(sys.argv[1]))[\"hits\"])" "$work/out"'

for url in http://127.0.0.1:18080/prod/products https://127.0.0.1:18443/prod/products; do
  echo "== $url ($mode${rate:+ at $rate/s})"
  echo "GET $url" >"$work/targets"
  if [[ $mode == closed ]]; then
    row wrk "$wrk_count" -- wrk -t1 -c64 -d"$seconds" "$url"
    row vegeta "$vegeta_count" -- "$vegeta" attack -insecure -targets "$work/targets" -rate 0 -max-workers 64 -duration "${seconds}s" -output "$work/v.bin"
    [[ -n ${COALMINE:-} ]] && row coalmine "$coal_count" -- "$COALMINE" attack --url "$url" --insecure --rate max --connections 64 --duration "${seconds}s" --classify header:X-Lambda-Version --format json
  else
    row vegeta "$vegeta_count" -- "$vegeta" attack -insecure -targets "$work/targets" -rate "$rate" -max-workers 256 -duration "${seconds}s" -output "$work/v.bin"
    "$vegeta" report "$work/v.bin" | sed -n '1p;3p'
    [[ -n ${COALMINE:-} ]] && { row coalmine "$coal_count" -- "$COALMINE" attack --url "$url" --insecure --rate "$rate" --duration "${seconds}s" --classify header:X-Lambda-Version --format json; tr -d '\n' <"$work/out" | grep -oE '"lateness_ns"[^}]*}' | head -2 || true; }
  fi
  true
done
