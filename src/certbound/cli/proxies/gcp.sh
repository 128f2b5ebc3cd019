# Google Cloud load balancer in front of @PURPOSE@, for gcloud.  Our tests cannot run this: try it with
#   certbound doctor https://@HOST@ --cert client.pem --key client.key
#
# On the other side, in certbound:
#   @EACH_OTHER_SIDE@
# The policy is of the whole proxy: at the conventional host browsers are asked as well, and certbound hears nothing of it.
# The secret stands in the settings of the backend service: who may read those may speak for the load balancer.
set -euo pipefail
: "${PROXY:?the target HTTPS proxy}" "${SERVICE:?the backend service}"

# Any certificate comes through, or none: certbound judges it.
gcloud network-security server-tls-policies import certbound --location=global --source=- <<'POLICY'
name: certbound
mtlsPolicy:
  clientValidationMode: ALLOW_INVALID_OR_MISSING_CLIENT_CERT
POLICY
gcloud compute target-https-proxies update "$PROXY" --global --server-tls-policy=certbound

# The certificate, and on every request whether there is one; the load balancer replaces what a client wrote there.
# A certificate that is too large comes empty beside "true": certbound answers 400.
gcloud compute backend-services update "$SERVICE" --global \
  --custom-request-header='X-Client-Cert-Present: {client_cert_present}' \
  --custom-request-header='X-Client-Cert-Leaf: {client_cert_leaf}' \
  --custom-request-header='X-Client-Cert-Chain: {client_cert_chain}' \
  --custom-request-header='X-Client-Cert-Error: {client_cert_error}' \
  --custom-request-header='@SECRET_HEADER@: @SECRET@'
