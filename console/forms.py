"""The forms: what a run is asked for with, built from the command's own arguments, and the reason for a mark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.text import capfirst

from data_migrations import arguments, clock
from data_migrations.arguments import Argument
from data_migrations.exceptions import InvalidArgument, WrongValue
from data_migrations.registry import RegisteredMigration
from data_migrations.sources import CsvBatchedCommand

from . import conf, schedule, uploads
from .models import Kind

PREFIX = "arg-"
KIND_WORDS = {
    Kind.RUN: "Run: do the work and record it as applied",
    Kind.DRY_RUN: "Dry run: try it, report what would change, keep nothing",
    Kind.REVERSE: "Reverse: undo the work and take the record out",
}


class ReasonForm(forms.Form):
    """Why it is done. Kept with the record for good."""

    reason = forms.CharField(
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
        help_text="Kept in the history, for those who wonder later.",
    )


class TuneForm(forms.Form):
    """How a run in batches is to go on; what is left empty stays as it is.

    Args:
        now: what stands in which field's place at present, in words.
    """

    batch_size = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1_000_000,
        label="Rows in a batch",
        widget=forms.NumberInput(attrs={"class": "vIntegerField"}),
        help_text="A number given here stays, also where the size adapts by itself. Empty changes nothing.",
    )
    pause = forms.FloatField(
        required=False,
        min_value=0,
        max_value=3600,
        label="Pause between two batches, in seconds",
        widget=forms.NumberInput(attrs={"class": "vIntegerField", "step": "any"}),
        help_text="0 for none. Empty changes nothing.",
    )

    def __init__(self, *args: Any, now: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, words in now.items():
            self.fields[name].help_text = f"{words} {self.fields[name].help_text}"

    def clean(self) -> dict[str, Any]:
        """At least one of the two."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors and all(value is None for value in cleaned.values()):
            raise ValidationError("Fill in at least one of the two.")
        return cleaned

    def words(self) -> str:
        """What is asked for."""
        size, pause = self.cleaned_data["batch_size"], self.cleaned_data["pause"]
        parts = []
        if size is not None:
            parts.append(f"batches of {size:,} rows")
        if pause is not None:
            parts.append(f"a pause of {pause:g} s")
        return ", ".join(parts)


class ListField(forms.CharField):
    """Several values, one a line."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> Any:
        """The lines that are not empty."""
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def prepare_value(self, value: Any) -> Any:
        """A list as lines."""
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value


class JSONTextField(forms.JSONField):
    """A JSON value, handed to the command as the text that its own parser reads."""

    def to_python(self, value: Any) -> Any:
        """The checked text; None for nothing."""
        parsed = super().to_python(value)
        return None if parsed is None else json.dumps(parsed)

    def prepare_value(self, value: Any) -> Any:
        """The text as it is."""
        return value if isinstance(value, str) else super().prepare_value(value)


class StartField(forms.DateTimeField):
    """A time by the site's own clock, whatever zone is the person's."""

    def to_python(self, value: Any) -> Any:
        """The moment; None for nothing."""
        if value in self.empty_values:
            return None
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError as error:
                raise ValidationError("Write it as 2026-11-22 02:00.") from error
        try:
            found = schedule.moment(value) if timezone.is_naive(value) else clock.stored(value)
            schedule.check(found, timezone.now())
        except schedule.InvalidStart as error:
            raise ValidationError(str(error)) from error
        return found

    def prepare_value(self, value: Any) -> Any:
        """What the clock shows then, as the browser's own field takes it."""
        if isinstance(value, datetime):
            value = clock.aware(value).astimezone(timezone.get_default_timezone())
        return f"{value:%Y-%m-%dT%H:%M}" if isinstance(value, datetime) else value


def start_field() -> StartField:
    """When to start; made anew for each form, since it says what time it is."""
    now = clock.aware(timezone.now()).astimezone(timezone.get_default_timezone())
    return StartField(
        required=False,
        label="Start at",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "class": "console-datetime"}),
        help_text=f"In the time zone {timezone.get_default_timezone_name()}, where it is {now:%Y-%m-%d %H:%M %Z} now. "
        "Empty: at once.",
    )


class DecisionForm(forms.Form):
    """What a second person says; whoever rejects has to say why."""

    note = forms.CharField(
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
        help_text="Kept in the history, for whoever asked for it.",
    )

    def __init__(self, *args: Any, needs_note: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["note"].required = needs_note


class RunForm(ReasonForm):
    """What a run is asked for with; one field per argument of the command."""

    kind = forms.ChoiceField(label="What to do", widget=forms.RadioSelect)
    database = forms.ChoiceField()
    force = forms.BooleanField(required=False, label="Run it although it is applied already")

    field_order = ("kind", "database", "force")

    def __init__(
        self,
        *args: Any,
        migration: RegisteredMigration,
        kinds: list[str],
        databases: list[str],
        applied: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.migration = migration
        self.applied = applied
        choices = self._field(forms.ChoiceField, "kind")
        choices.choices = [(kind, KIND_WORDS[Kind(kind)]) for kind in kinds]
        aliases = self._field(forms.ChoiceField, "database")
        aliases.choices = [(alias, alias) for alias in databases]
        aliases.help_text = "The database to work on."
        if not applied:
            del self.fields["force"]
        self.needed: dict[str, str] = {}
        """Words for fields that are required for some of the kinds only."""
        reason = self.fields.pop("reason")
        # A dry run changes nothing that anybody could wonder about later.
        reason.required = self["kind"].value() != Kind.DRY_RUN
        self._needed_for("reason", reason, [kind for kind in kinds if kind != Kind.DRY_RUN], kinds)
        if applied:
            self._needed_for("force", self.fields["force"], [Kind.RUN], kinds)
            self.needed["force"] = "required to run it again"
        assert migration.command_class is not None
        self.command = migration.command_class()
        self.described = arguments.describe(migration.command_class)
        self.uploadable = uploads.destinations(migration)
        self.uploaded: dict[str, str] = {}
        for argument in self.described:
            field = upload_field_for(argument) if argument.dest in self.uploadable else field_for(argument)
            self.fields[PREFIX + argument.dest] = field
        self.fields["start_at"] = start_field()
        self.fields["reason"] = reason

    def _needed_for(self, name: str, field: forms.Field, some: list[str], kinds: list[str]) -> None:
        """Say, in words and to the script of the form, for which of the kinds a field has to be filled in."""
        field.widget.attrs["data-needed-for"] = " ".join(some)
        if some and len(some) < len(kinds):
            self.needed[name] = "required, except for a dry run"

    def _field(self, kind: type[Any], name: str) -> Any:
        field = self.fields[name]
        assert isinstance(field, kind)
        return field

    def clean(self) -> dict[str, Any]:
        """Check the arguments as the command's own parser would."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "kind" not in cleaned or any(name.startswith(PREFIX) for name in self.errors):
            return cleaned
        if self.applied and cleaned["kind"] == Kind.RUN and not cleaned.get("force"):
            self.add_error("force", "It is applied already. Tick this to run it again, or choose a dry run.")
        if not self.applied and cleaned["kind"] == Kind.REVERSE:
            self.add_error("kind", "It is not applied, so there is nothing to reverse.")
        try:
            options = arguments.to_options(self.command, self.values())
        except WrongValue as error:
            self.add_error(PREFIX + error.dest, capfirst(error.what))
            return cleaned
        for dest in self.uploadable:
            if cleaned.get(PREFIX + dest):
                self._check_upload(dest, options)
        return cleaned

    def _check_upload(self, dest: str, options: dict[str, Any]) -> None:
        assert isinstance(self.command, CsvBatchedCommand)
        try:
            uploads.check(self.command, self.cleaned_data[PREFIX + dest], options)
        except InvalidArgument as error:
            # The form itself says that nothing was started.
            self.add_error(PREFIX + dest, str(error).replace(" Nothing was run.", ""))

    def store_uploads(self, user: Any) -> None:
        """Keep the files that came with a valid form; only then do ``values`` name what a worker can reach."""
        for dest in self.uploadable:
            if file := self.cleaned_data.get(PREFIX + dest):
                self.uploaded[dest] = uploads.store(file, user)

    def values(self) -> dict[str, Any]:
        """The command's own arguments by dest, as JSON can hold them; those left empty are left out."""
        found = {}
        for argument in self.described:
            value = self.cleaned_data.get(PREFIX + argument.dest)
            if argument.dest in self.uploadable and value:
                value = self.uploaded.get(argument.dest, value.name)
            if value not in (None, "", []) or argument.kind == "boolean":
                found[argument.dest] = value
        return found


def initial_of(migration: RegisteredMigration, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a form begins with that is to repeat a run with these arguments; without what is sensitive, and files."""
    assert migration.command_class is not None
    hidden = uploads.destinations(migration)
    return {
        PREFIX + argument.dest: json.dumps(values[argument.dest]) if argument.kind == "json" else values[argument.dest]
        for argument in arguments.describe(migration.command_class)
        if values.get(argument.dest) is not None and not argument.sensitive and argument.dest not in hidden
    }


def anew(migration: RegisteredMigration, values: Mapping[str, Any]) -> list[str]:
    """The arguments that were given and have to be given again, since they are sensitive, or files."""
    assert migration.command_class is not None
    hidden = uploads.destinations(migration)
    return [
        argument.label
        for argument in arguments.describe(migration.command_class)
        if values.get(argument.dest) not in (None, "", []) and (argument.sensitive or argument.dest in hidden)
    ]


def upload_field_for(argument: Argument) -> forms.Field:
    """A form field for a file that the argument takes the path of."""
    most = filesizeformat(conf.get("UPLOAD_BYTES"))
    return forms.FileField(
        label=f"{argument.label.upper()} file",
        help_text=f"{argument.help} At most {most}; it is checked first, and kept until the run has ended.",
        required=argument.required,
        max_length=200,
    )


def field_for(argument: Argument) -> forms.Field:
    """A form field that takes what the argument takes."""
    common: dict[str, Any] = {
        "label": argument.label.capitalize(),
        "help_text": argument.help,
        "required": argument.required,
        "initial": argument.default,
    }
    if argument.sensitive:
        # Never sent back to the browser; asked for again instead.
        return forms.CharField(
            **(common | {"initial": None}),
            strip=False,
            widget=forms.PasswordInput(attrs={"class": "vTextField", "autocomplete": "off"}),
        )
    match argument.kind:
        case "boolean":
            return forms.BooleanField(**(common | {"required": False}))
        case "integer":
            return forms.IntegerField(**common, widget=forms.NumberInput(attrs={"class": "vIntegerField"}))
        case "float":
            return forms.FloatField(**common, widget=forms.NumberInput(attrs={"step": "any"}))
        case "choice":
            # Left empty it would be its default all the same.
            none = [] if argument.required or argument.default is not None else [("", "— (none of them)")]
            return forms.ChoiceField(**common, choices=none + [(each, each) for each in argument.choices])
        case "list":
            common["help_text"] = f"{argument.help} One value a line.".strip()
            return ListField(**common, widget=forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}))
        case "json":
            common["help_text"] = f"{argument.help} JSON.".strip()
            return JSONTextField(**common, widget=forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}))
    return forms.CharField(**common, widget=forms.TextInput(attrs={"class": "vTextField"}))
