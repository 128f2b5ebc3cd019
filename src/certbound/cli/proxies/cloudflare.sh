# Cloudflare in front of @PURPOSE@, for curl.  Our tests cannot run this: try it with
#   certbound doctor https://@HOST@ --cert client.pem --key client.key
#
# On the other side, in certbound:
#   @EACH_OTHER_SIDE@
# Everybody's zone comes from those addresses: the secret says that it is yours.
# A certificate beyond 10 KiB comes empty, which is no certificate.  Cloudflare forwards it whether it is valid or not.
set -euo pipefail
: "${ZONE:?the id of the zone}" "${TOKEN:?an API token that may edit its rules}"
api=https://api.cloudflare.com/client/v4/zones/$ZONE

# Clients of this host are asked for a certificate.
curl --fail-with-body -sS -X PUT "$api/certificate_authorities/hostname_associations" \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  --data '{"hostnames": ["@HOST@"]}'

# The certificate and the secret on every request; what a client wrote there is replaced, the rest removed.
# This replaces the rules of the phase: add yours to the list.
curl --fail-with-body -sS -X PUT "$api/rulesets/phases/http_request_late_transform/entrypoint" \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' --data @- <<'RULES'
{"rules": [{
  "description": "certbound: client certificates",
  "expression": "http.host eq \"@HOST@\"",
  "action": "rewrite",
  "action_parameters": {"headers": {
    "Client-Cert": {"operation": "set", "expression": "cf.tls_client_auth.cert_rfc9440"},
    "Client-Cert-Chain": {"operation": "remove"},
    "@SECRET_HEADER@": {"operation": "set", "value": "@SECRET@"}
  }}
@if two@
}, {
  "description": "certbound: the conventional host, where nobody is asked",
  "expression": "http.host eq \"@ISSUER_HOST@\"",
  "action": "rewrite",
  "action_parameters": {"headers": {
    "Client-Cert": {"operation": "remove"},
    "Client-Cert-Chain": {"operation": "remove"},
    "@SECRET_HEADER@": {"operation": "set", "value": "@SECRET@"}
  }}
@end@
}]}
RULES
