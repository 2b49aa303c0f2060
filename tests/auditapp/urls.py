"""The audit tests ask for no page."""

from django.urls.resolvers import URLPattern

urlpatterns: list[URLPattern] = []
