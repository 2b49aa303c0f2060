"""URLs of the tests: the admin, and the console inside it."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
