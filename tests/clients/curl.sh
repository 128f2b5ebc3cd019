#!/usr/bin/env bash
# curl and jq; what other programs read from the file of facts is in the environment too, in capitals.
set -euo pipefail

identity=(--cacert "$CA" --cert "$CERT" --key "$KEY")
curl --silent --fail --cacert "$CA" "$ISSUER/.well-known/oauth-authorization-server" > metadata.json
endpoint() { jq --raw-output ".mtls_endpoint_aliases.$1" metadata.json; }

case "$METHOD" in
  tls) credentials=(--data "client_id=$CLIENT_ID") ;;
  client_secret_basic) credentials=(--user "$CLIENT_ID:$CLIENT_SECRET") ;;
  client_secret_post) credentials=(--data "client_id=$CLIENT_ID" --data "client_secret=$CLIENT_SECRET") ;;
esac

# The body of an answer, with its status in it.
ask() {
  curl --silent --write-out '\n{"status": %{http_code}}' "$@" | jq --slurp --compact-output add
}

token=$(ask "${identity[@]}" "${credentials[@]}" --data grant_type=client_credentials --data scope="$SCOPE" \
  "$(endpoint token_endpoint)")
told() { jq --null-input --compact-output --arg name "$1" --argjson value "$2" '{($name): $value}'; }
{
  told token "$token"
  access_token=$(jq --raw-output '.access_token // empty' <<< "$token")
  bearer="Authorization: Bearer $access_token"
  [ -z "$access_token" ] || told api "$(ask "${identity[@]}" --header "$bearer" "$API")"
  [ -z "$THIEF_CERT" ] ||
    told stolen "$(ask --cacert "$CA" --cert "$THIEF_CERT" --key "$THIEF_KEY" --header "$bearer" "$API")"
  post() { ask "${identity[@]}" "${credentials[@]}" --data token="$access_token" "$(endpoint "$1")"; }
  [ -z "$INTROSPECT" ] || told introspection "$(post introspection_endpoint)"
  [ -z "$REFRESH_TOKEN" ] || told refreshed "$(ask "${identity[@]}" "${credentials[@]}" --data grant_type=refresh_token \
    --data refresh_token="$REFRESH_TOKEN" "$(endpoint token_endpoint)")"
  if [ -n "$REVOKE" ]; then
    told revocation "$(post revocation_endpoint)"
    told introspection_after "$(post introspection_endpoint)"
  fi
} | jq --slurp --compact-output --arg client_id "$CLIENT_ID" 'add + {client_id: $client_id}'
