"""URLs of the runnable site: the admin, and the console inside it."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import path
from django.views.generic import RedirectView

admin.site.site_header = "Demo shop"
admin.site.site_title = "Demo shop"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Browsers ask for it wherever they are.
    path("favicon.ico", RedirectView.as_view(url=static("console/favicon.ico"))),
    path("admin/", admin.site.urls),
]
