"""The API of the suite in Django REST framework, without the middleware."""

from typing import Any

import django
from deployed import ARGUMENTS, certificates
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of no use",
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["certbound.resource.rest_framework.BoundToken"],
        "EXCEPTION_HANDLER": "certbound.resource.rest_framework.answer_refusals",
        "UNAUTHENTICATED_USER": None,
    },
    CERTBOUND=ARGUMENTS,
)
django.setup()

from rest_framework.response import Response  # noqa: E402  it needs settings
from rest_framework.views import APIView  # noqa: E402

from certbound.resource.django import metadata, requires  # noqa: E402
from certbound.resource.rest_framework import BoundToken, HasScopes  # noqa: E402


class Who(APIView):
    def get(self, request: Any) -> Response:
        assert request.user.is_authenticated
        return Response({"client_id": request.auth.client_id})


class Write(Who):
    permission_classes = (HasScopes("write"),)


class Late(Who):
    def get(self, request: Any) -> Response:
        request.auth.require("write")
        return super().get(request)


class Headers(APIView):
    def get(self, request: Any) -> Response:
        return Response(list(request.headers))


class Optional(BoundToken):
    required = False


class Open(APIView):
    """For everybody, by the default permission of the framework."""

    authentication_classes = (Optional,)

    def get(self, request: Any) -> Response:
        return Response({"client_id": request.auth and request.auth.client_id})


class Half(Open):
    """Asks for a scope of whoever may be nobody."""

    permission_classes = (HasScopes("write"),)


@requires()
def plain(request: Any) -> Any:
    from django.http import JsonResponse

    return JsonResponse({})


urlpatterns = [
    path("", Who.as_view()),
    path("write", Write.as_view()),
    path("late", Late.as_view()),
    path("headers", Headers.as_view()),
    path("open", Open.as_view()),
    path("half", Half.as_view()),
    path("plain", plain),
    path(".well-known/oauth-protected-resource", metadata),
]
application = certificates(get_wsgi_application())
