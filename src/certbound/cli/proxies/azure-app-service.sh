# Azure App Service with @PURPOSE@ on it, for az.  Our tests cannot run this: try it with
#   certbound doctor https://@HOST@ --cert client.pem --key client.key
#
# The front ends put the certificate into X-ARR-ClientCert and judge it in no way; they cannot send a secret, so certbound
# has to be the listener itself and to be told so in words:
#   @EACH_OTHER_SIDE@
# Whoever reaches the application past the front ends then names any certificate: no other way in may be open.
set -euo pipefail
: "${GROUP:?the resource group}" "${APP:?the name of the web app}"

# Any certificate comes through, or none: certbound judges it.
az webapp update --resource-group "$GROUP" --name "$APP" --set clientCertEnabled=true clientCertMode=Optional
# No path without TLS, and none that is excepted from the question.
az webapp update --resource-group "$GROUP" --name "$APP" --https-only true --set clientCertExclusionPaths=""
# TLS 1.2 at least.
az webapp config set --resource-group "$GROUP" --name "$APP" --min-tls-version 1.2
