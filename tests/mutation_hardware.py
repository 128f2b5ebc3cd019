"""What OpenSSL and tokens may ask of a key that is elsewhere, for `mutation.py`: a file, a rule, what is found, what it
becomes."""

PROVIDER = "client/hardware/provider.py"
DISPATCH = "client/hardware/dispatch.py"
KEYS = "client/hardware/keys.py"
SIGNATURES = "client/hardware/signatures.py"
SIGNER = "client/hardware/signer.py"
PRESENTING = "client/hardware/presenting.py"
LIBRARY = "client/hardware/library.py"
ASIDE = "client/hardware/aside.py"
URI = "client/hardware/uri.py"
TLS = "client/tls/hardware.py"
BLOCKING = "client/tls/blocking.py"

FILES = (PROVIDER, DISPATCH, KEYS, SIGNATURES, SIGNER, PRESENTING, LIBRARY, ASIDE, URI, TLS, BLOCKING)
SUITES = {each: ["client/test_hardware.py"] for each in FILES}

MUTATIONS = [
    (PROVIDER, "rule 2", "    if not isinstance(found, type_):\n        raise TypeError\n", ""),
    (PROVIDER, "rule 2", "self.objects.pop(number or 0, None)", "None"),
    (PROVIDER, "rule 3", "    _kept.append(what)\n", ""),
    (PROVIDER, "rule 4", "OsslKey.ends = True", "OsslKey.ends = False"),
    (DISPATCH, "rule 1", "        if param.data_size <= len(value):\n            raise OverflowError\n", ""),
    (DISPATCH, "rule 2", "            _failed.error = error\n            return 0", "            return 0"),
    (DISPATCH, "rule 2", "    _failed.error = None\n    return failure", "    return failure"),
    (KEYS, "rule 1", "bool(one.public) and ", ""),
    (KEYS, "rule 1", "and one.public == other.public", ""),
    (KEYS, "rule 1", "one.kind == other.kind and ", ""),
    (SIGNATURES, "rule 1", 'b"pss": "pss", b"\\x06": "pss"', 'b"pss": "pkcs1", b"\\x06": "pkcs1"'),
    (SIGNER, "rule 3", "not isinstance(made, bytes) or len(made) != _length(signer.public_key)", "False"),
    (SIGNER, "rule 3", "not isinstance(made, bytes) or len(made)", "len(made)"),
    (SIGNER, "rule 3", "if not verifies(signer.public_key, made, data, scheme):", "if False:"),
    (SIGNER, "rule 3", "lambda data: signature_of(signer, data, scheme)", "lambda data: signer.sign(data, scheme)"),
    (PRESENTING, "rule 1", "key.pointer, stack, 1) != 1:", "key.pointer, stack, 1) > 1:"),
    (PRESENTING, "rule 2", "        library.call.X509_up_ref(leaf)\n        key.certificate = leaf\n", ""),
    (LIBRARY, "rule 1", "if _is_subinterpreter():", "if False:"),
    (LIBRARY, "rule 1", "if found.OpenSSL_version_num() != _number(ssl.OPENSSL_VERSION_INFO):", "if False:"),
    (LIBRARY, "rule 2", "if self.call.SSL_CTX_get_verify_mode(address) != _VERIFY[context.verify_mode]:", "if False:"),
    (ASIDE, "rule 1", "done.result(timeout)", "done.result()"),
    (ASIDE, "rule 1", "_thread.start_new_thread(context.run,", "(lambda run, given: run(*given))(context.run,"),
    (URI, "rule 1", "if not equals or name not in rows:", "if not equals:"),
    (URI, "rule 1", "if field_name in found:", "if False:"),
    (TLS, "rule 1", "ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET", "ssl.OP_NO_COMPRESSION"),
    (TLS, "rule 1", "self._context.minimum_version = ", "_ = "),
    (TLS, "rule 2", "if (failure := take_failure()) is not None:", "if (failure := None) is not None:"),
    (TLS, "rule 3", "self._context.options &= ~ssl", "self._context.options |= ssl"),
    (BLOCKING, "signs aside", "apart=context.signs_slowly", "apart=False"),
]
