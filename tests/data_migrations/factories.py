"""Rows for the tests' data migrations to change."""

import factory

from tests.testapp.models import Item, User


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    email = factory.Sequence(lambda n: f"User{n}@Example.com")


class ItemFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Item

    name = factory.Sequence(lambda n: f"item {n}")
