"""Everything that takes strangers' bytes, by name."""

from collections.abc import Mapping

from fuzz.inputs import Target
from fuzz.of_certificates import Certificates
from fuzz.of_forwarded import Forwarded
from fuzz.of_jwks import PEM, JWKSets
from fuzz.of_names import Names
from fuzz.of_revocation import Answers, Lists

TARGETS: Mapping[str, Target] = {
    each.name: each for each in (Certificates(), Names(), JWKSets(), PEM(), Lists(), Answers(), Forwarded())
}
