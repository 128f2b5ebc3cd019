"""Keys that never leave what they are in: PKCS #11 tokens, smart cards, HSMs."""
