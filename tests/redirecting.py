"""Redirect URIs that are one, with the host they lead to, and what is none."""

from certbound.core.redirects import MAX_URI

HOSTS = {
    "https://a.example/cb": "a.example",
    "https://a.example": "a.example",
    "https://a.example:8443/cb?x=y&z=%2F#"[:-1]: "a.example",
    "https://A.Example/CB": "a.example",
    "https://xn--bcher-kva.example/cb": "xn--bcher-kva.example",
    "https://a_b.example/": "a_b.example",
    "https://a/cb": "a",
    "https://192.0.2.1/cb": "192.0.2.1",
    "https://[2001:db8::1]:8443/cb": "[2001:db8::1]",
    "https://a.example/cb@x": "a.example",
    "https://a.example?@b.example": "a.example",
    "https://a.example/../cb": "a.example",
    "http://127.0.0.1/cb": "127.0.0.1",
    "http://127.0.0.1:49152/": "127.0.0.1",
    "http://[::1]:8000": "[::1]",
    "http://localhost:3000/cb": "localhost",
    "com.example.app:/cb": "",
    "com.example.app:cb?x=y": "",
    "com.example.app://oauth/cb@x": "",
}  # fmt: skip

NONE = [
    # Run, read or found by a browser, not an app of the person's.
    "javascript:alert(1)", "JavaScript:alert(1)", "java\tscript:alert(1)", " javascript:alert(1)",
    "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://a.example/x", "about:blank",
    "view-source:https://a.example/", "intent:#Intent;end", "urn:ietf:wg:oauth:2.0:oob", "mailto:a@b.example",
    "myapp:/cb", "ftp://a.example/", "ws://a.example/", "wss://a.example/",
    # No URI, or one without a host.
    "", "a", "/cb", "//a.example/cb", "?x", "https:", "https:a.example", "https:/a.example", "https://",
    "https:///a.example", "https://:443/", "https://?x", "https:////a.example/", ":", "://", ".:x"[1:], ".a:/x",
    # A browser drops, trims or turns these: tab, line feed, backslash, space, full-width and control characters.
    "https://a.exa\tmple/", "https://a.example/\n", "\thttps://a.example/", "https:\\\\a.example/",
    "https://a.example\\@b.example/", "https://a.example\\.b.example/", "https://a.example/\\..\\x", "https://a b/",
    "https://a.example/ ", "https://a\u3002example/", "https://a.example\uff0f.b.example/", "https://\u00e4.example/",
    "https://a.example/\u202e", "https://a.example/\x00", "https://a.example/\x7f", 'https://a.example/"',
    # Somebody else's host, or one with a user.
    "https://a@b.example/", "https://a:b@c.example/", "https://@b.example/", "https://a.example@b.example",
    "https://a.example:443@b.example/", "http://127.0.0.1@b.example/", "http://127.0.0.1:1@b.example/",
    "http://a.example/", "http://127.0.0.1.example/", "http://localhost.example/", "com.example.app://u@h/",
    # Hosts that are decoded or mapped to others.
    "https://a%2eexample/", "https://a%2Fb.example/", "https://a.example%00.b.example/", "https://%61.example/",
    "https://a..example/", "https://.example/", "https://a.example./", "https://a,b.example/", "https://a;b/",
    "https://a*b.example/", "https://*.example/", "https://a'b/", "https://a|b/", "https://a^b/", "https://a<b/",
    # Addresses in other spellings, an IPv6 zone.
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://017700000001/", "https://127.1/",
    "https://1.2.3.4.5/", "https://256.1.1.1/", "https://a.0x1/", "https://127.0.0.01/", "https://0x/",
    "http://127.1/", "http://127.0.0.2/", "http://0.0.0.0/", "http://[::]/", "http://2130706433/", "http://0/",
    "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/", "http://LOCALHOST/", "http://localhost./",
    "https://[::1%25lo]/", "https://[::1%lo]/", "http://[::1%25lo]/", "https://[fe80::1%25eth0]/", "https://[v1.a]/",
    "https://[::1/", "https://::1/", "https://[]/", "https://[127.0.0.1]/", "https://[1::2::3]/", "https://[a]/",
    "https://[::1]a/", "https://a[::1]/",
    # Ports.
    "https://a.example:/", "https://a.example:0/", "https://a.example:00443/", "https://a.example:65536/",
    "https://a.example:x/", "https://a.example:-1/", "https://a.example:1:2/", "https://a.example:\u0661/",
    "http://127.0.0.1:/", "http://127.0.0.1:0/", "http://127.0.0.1:99999/",
    # A fragment, an upper-case scheme, too long.
    "https://a.example/#", "https://a.example/#x", "com.example.app:/#x", "HTTPS://a.example/", "Https://a.example/",
    "HTTP://127.0.0.1/", "Com.example.app:/", "https://a.example/" + "a" * MAX_URI, "a." * 1024 + "b:/x",
    "https://" + "a." * 127 + "example/",
]  # fmt: skip
