"""The API of the suite in Django, with the middleware; `application` is WSGI, `asgi` ASGI."""

import os

import django
from deployed import ARGUMENTS, asgi_certificates, certificates
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of no use",
    MIDDLEWARE=["certbound.resource.django.Guard"],
    CERTBOUND=ARGUMENTS,
)
django.setup()

from certbound.resource.django import principal_of, requires  # noqa: E402  it needs settings


def who(request: HttpRequest) -> HttpResponseBase:
    return JsonResponse({"client_id": principal_of(request).client_id})


@requires("write")
def write(request: HttpRequest) -> HttpResponseBase:
    return who(request)


@requires("write")
async def write_async(request: HttpRequest) -> HttpResponseBase:
    return who(request)


async def late(request: HttpRequest) -> HttpResponseBase:
    principal_of(request).require("write")
    return who(request)


def headers(request: HttpRequest) -> HttpResponseBase:
    return JsonResponse(list(request.headers), safe=False)


urlpatterns = [
    path("", who),
    path("write", write),
    path("write-async", write_async),
    path("late", late),
    path("headers", headers),
]
if os.environ["SOURCE"] == "listener":
    asgi = asgi_certificates(get_asgi_application())
else:
    application = certificates(get_wsgi_application())
