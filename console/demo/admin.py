"""The demo shop in the admin, to look at what a data migration did."""

from __future__ import annotations

from django.contrib import admin

from .models import Country, Customer, Order, Product


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):
    list_display = ("code", "name")


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):
    list_display = ("email", "name", "country", "segment", "migrated")
    list_filter = ("segment", "migrated", "country")
    search_fields = ("email", "name")
    show_full_result_count = False


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ("sku", "name", "price_cents", "unique_sku")
    list_display_links = ("sku", "name")
    search_fields = ("sku", "name")


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ("id", "customer", "status", "total_cents", "total", "archived", "placed_on")
    list_filter = ("status", "archived")
    list_select_related = ("customer",)
    raw_id_fields = ("customer", "product")
    show_full_result_count = False
