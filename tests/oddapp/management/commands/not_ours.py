"""A command like any other; importing it would be noticed."""

from django.core.management.base import BaseCommand

raise RuntimeError("imported without need")


class Command(BaseCommand):
    pass
