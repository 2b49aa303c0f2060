"""The list of runs, however many there are: what it counts, searches and offers has a bound, and it says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, cast

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.text import smart_split, unescape_string_literal

from data_migrations import clock, registry

from .models import Run

# Counting goes no further; nobody turns so many pages.
MOST_COUNTED = 10_000
# Words are looked for in so many of the runs that the filters leave, the newest ones.
MOST_SEARCHED = 20_000
# A word that is in the names of more data migrations than these narrows nothing.
MOST_NAMES = 100
# What a search shows.
MOST_FOUND = 1_000
MOST_YEARS = 30
DATE = "requested_at"
# What an address may ask about; the other columns are for those who may read log and arguments.
ASKABLE = ("id", "pk", "status", "kind", "door", "database", "migration", "requested_by", "host", DATE)
COLUMNS = {"pk", *(field.name for field in Run._meta.get_fields())}
TEXTS = ("migration", "command_name", "reason", "requested_by", "error_message", "result")


@dataclass(frozen=True)
class Bound:
    """What a search had before it, and where it ended.

    Args:
        runs: what the filters leave.
        is_window: texts were searched in the newest of them only.
        is_cut: more were found than are shown.
    """

    runs: QuerySet[Run]
    is_window: bool = False
    is_cut: bool = False


class RunPaginator(Paginator):
    """Pages of the newest runs; ``is_bounded`` when there are more than it counts."""

    @cached_property
    def _found(self) -> int:
        runs = cast("QuerySet[Run]", self.object_list)
        return runs.order_by().values("pk")[: MOST_COUNTED + 1].count()

    @cached_property
    def count(self) -> int:
        """How many runs its pages have."""
        return min(self._found, MOST_COUNTED)

    @property
    def is_bounded(self) -> bool:
        """Whether there are more."""
        return self._found > MOST_COUNTED


class RunChangeList(ChangeList):
    """Django's list, with dates that are found through the index, and words about its bounds."""

    searched: Bound

    def get_filters(self, request: HttpRequest) -> Any:
        """Django's, also for years that no calendar has."""
        try:
            return super().get_filters(request)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """Django's, keeping what was there before the search."""
        found = super().get_queryset(request, exclude_parameters)
        if exclude_parameters is None:
            self.searched = getattr(request, "_console_searched", None) or Bound(found)
        return found

    def get_results(self, request: HttpRequest) -> None:
        """Django's; where nothing was left out, it offers no way to all of them."""
        super().get_results(request)
        if not self.query and not self.get_filters_params():
            self.full_result_count = self.result_count

    def bounds(self) -> list[str]:
        """Sentences about what the list leaves out."""
        said = []
        if self.searched.is_cut:
            said.append(f"More were found; these are the newest {MOST_FOUND:,}.")
        if self.searched.is_window:
            said.append(
                f"Texts were searched in the newest {MOST_SEARCHED:,} runs of these, names in all. "
                "Choose a date or a filter to search older ones."
            )
        if self.paginator.is_bounded:
            said.append(
                f"There are more: these pages have the newest {MOST_COUNTED:,}. "
                "Choose a date or a filter to see older ones."
            )
        return said

    def dates(self) -> dict[str, Any]:
        """The choices of the date hierarchy: ``back``, and ``choices`` that have runs; empty without runs."""
        asked = [self.params.get(f"{DATE}__{unit}") for unit in ("year", "month", "day")]
        if asked[0] is None:
            ends = _ends(self.searched.runs)
            if ends is None:
                return {}
            first, last = ends
            if first.year != last.year:
                years = range(max(first.year, last.year - MOST_YEARS + 1), last.year + 1)
                return {"choices": self._existing([_period(year) for year in years])}
            asked = [str(first.year), str(first.month) if first.month == last.month else None, None]
        year, month, day = (None if each is None else int(each) for each in asked)
        assert year is not None
        if month is None:
            periods = [_period(year, number) for number in range(1, 13)]
            return {"back": self._link("All dates"), "choices": self._existing(periods)}
        if day is None:
            days = (_period(year, month)[1] - _period(year, month)[0]).days
            periods = [_period(year, month, number) for number in range(1, days + 1)]
            return {"back": self._link(str(year), year), "choices": self._existing(periods)}
        title = date_format(date(year, month, 1), "YEAR_MONTH_FORMAT")
        here = {"title": date_format(date(year, month, day), "MONTH_DAY_FORMAT")}
        return {"back": self._link(title, year, month), "choices": [here]}

    def _existing(self, periods: list[tuple[date, date, str, tuple[int, ...]]]) -> list[dict[str, str]]:
        """A link for each period that has runs: one query, of which each part ends at the first run it meets.

        Asked for the earliest, PostgreSQL takes the index; asked whether there is any, it goes through the table.
        """
        runs = self.searched.runs.order_by(DATE).values("pk")
        probes = {
            f"p{number}": Subquery(runs.filter(**_between(begin, end))[:1])
            for number, (begin, end, _, _) in enumerate(periods)
        }
        row = Run.objects.order_by("-pk").annotate(**probes).values(*probes)[:1].first() or {}
        return [self._link(title, *when) for n, (_, _, title, when) in enumerate(periods) if row.get(f"p{n}")]

    def _link(self, title: str, *when: int) -> dict[str, str]:
        units = (f"{DATE}__{unit}" for unit in ("year", "month", "day"))
        return {"link": self.get_query_string(dict(zip(units, when, strict=False)), [f"{DATE}__"]), "title": title}


def _period(year: int, month: int | None = None, day: int | None = None) -> tuple[date, date, str, tuple[int, ...]]:
    """First day, day after the last, title, and its numbers."""
    if month is None:
        return date(year, 1, 1), date(year + 1, 1, 1), str(year), (year,)
    begin = date(year, month, day or 1)
    if day is None:
        after = (begin + timedelta(days=32)).replace(day=1)
        return begin, after, date_format(begin, "YEAR_MONTH_FORMAT"), (year, month)
    return begin, begin + timedelta(days=1), date_format(begin, "MONTH_DAY_FORMAT"), (year, month, day)


def _between(begin: date, end: date) -> dict[str, datetime]:
    starts = [clock.stored(timezone.make_aware(datetime(each.year, each.month, each.day))) for each in (begin, end)]
    return {f"{DATE}__gte": starts[0], f"{DATE}__lt": starts[1]}


def _ends(runs: QuerySet[Run]) -> tuple[datetime, datetime] | None:
    """The first and the last time; asked for one by one, since SQLite uses its index for one alone."""
    times = runs.values_list(DATE, flat=True)
    first, last = times.order_by(DATE).first(), times.order_by(f"-{DATE}").first()
    if first is None or last is None:
        return None
    return timezone.localtime(clock.aware(first)), timezone.localtime(clock.aware(last))


def search(request: HttpRequest, runs: QuerySet[Run], text: str) -> QuerySet[Run]:
    """The runs that have each word of the text; by name, person and number all of them, by other texts the newest.

    What is found is collected first: asked for all at once with OR, a database may go through every run.
    """
    words = list(_words(text))
    if not words:
        return runs
    newest = runs.order_by(f"-{DATE}", "-pk").values_list("pk", flat=True)
    floor = newest.values_list(DATE, flat=True)[MOST_SEARCHED : MOST_SEARCHED + 1].first()
    inside = Q() if floor is None else Q(**{f"{DATE}__gt": floor})
    for word in words:
        anywhere = Q()
        for column in TEXTS:
            anywhere |= Q(**{f"{column}__icontains": word})
        inside &= anywhere
    exact = text.strip()
    wanted = [inside, Q(migration__in={exact, *_names(words)}), Q(requested_by=exact)]
    if exact.isascii() and exact.isdecimal() and len(exact) < 19:
        wanted.append(Q(pk=int(exact)))
    found = {pk for each in wanted for pk in newest.filter(each)[: MOST_FOUND + 1]}
    kept = sorted(found, reverse=True)[:MOST_FOUND]
    bound = Bound(runs, is_window=floor is not None, is_cut=len(found) > MOST_FOUND)
    request._console_searched = bound  # type: ignore[attr-defined]
    return runs.filter(pk__in=kept)


def _names(words: list[str]) -> list[str]:
    """The data migrations of the code that have each word in their name or command, unless there are many."""
    names = [
        each.name
        for each in registry.all_migrations()
        if all(word.casefold() in f"{each.name} {each.command_name}".casefold() for word in words)
    ]
    return names if len(names) <= MOST_NAMES else []


def _words(text: str) -> Iterator[str]:
    for bit in smart_split(text):
        quoted = len(bit) > 1 and bit[0] == bit[-1] and bit[0] in "\"'"
        yield unescape_string_literal(bit) if quoted else bit
