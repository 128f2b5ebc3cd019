"""Keys that never leave what they are in: PKCS #11 tokens, smart cards, HSMs, or anything else that signs.

identity = Identity.from_pkcs11("pkcs11:token=bank;object=client?module-path=/usr/lib/…/module.so", pin=pin)
identity = Identity(chain_pem, b"", signer=MyService())  # a `Signer` of your own
"""

from certbound.client.hardware.signer import Scheme, Signer

__all__ = ["Scheme", "Signer"]
