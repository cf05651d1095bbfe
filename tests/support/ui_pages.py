"""Every page of the web UI, for the tests that hold of each: links, access, states, hostile texts,
console, pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

from support import problems, repeated


@dataclass(frozen=True)
class Page:
    """In an address {trace} and {transaction} stand for the ids of what a test has stored.

    route: as in services/ui/src/router.tsx
    pictures: by the name of its picture in docs/screens, what is shown on it
    more: further addresses that show something of their own
    absent: an address of something that does not exist
    answer: URLs of the request without whose answer the page shows nothing of clew's data
    has_state: whether what one does there stands in the URL
    """

    route: str
    pictures: dict[str, str]
    more: tuple[str, ...] = ()
    absent: str | None = None
    answer: str | None = None
    has_state: bool = field(default=True, kw_only=True)

    @property
    def address(self) -> str:
        return next(iter(self.pictures.values()))

    @property
    def addresses(self) -> tuple[str, ...]:
        return (*self.pictures.values(), *self.more)


TABS = (
    *("why", "occurrences", "funnel", "calls", "logs", "exceptions", "metrics", "resources"),
    "kpis",
)

PAGES = (
    Page("/", {"transactions": "/"}, answer="**/api/v1/transactions?*"),
    Page(
        "/transactions/$id",
        {
            "transaction": "/transactions/{transaction}",
            "why": "/transactions/{transaction}?tab=why",
        },
        tuple(f"/transactions/{{transaction}}?tab={tab}" for tab in TABS if tab != "why"),
        absent="/transactions/none",
        answer="**/api/v1/transactions/*?*",
    ),
    Page("/traces", {"traces": "/traces"}, answer="**/api/v1/traces?*"),
    Page(
        "/traces/$id",
        {"trace": "/traces/{trace}", "flame": "/traces/{trace}?view=flame"},
        ("/traces/{trace}?view=compare",),
        absent="/traces/0123456789abcdef0123456789abcdef",
        answer="**/api/v1/traces/*/outline*",
    ),
    Page(
        "/problems",
        {"problems": f"/problems?opened={problems.CAUSE}"},
        ("/problems?state=over", "/problems?q=nothing"),
        answer="**/api/v1/alerts?*",
    ),
    Page(
        "/problems/$id",
        {"problem": f"/problems/{problems.CAUSE}"},
        absent="/problems/0123456789abcdef",
        answer="**/api/v1/alerts/*",
    ),
    Page(
        "/findings",
        {"findings": "/findings"},
        ("/findings?state=all", "/findings?q=nothing"),
        answer="**/api/v1/findings?*",
    ),
    Page(
        "/findings/$id",
        {"finding": f"/findings/{repeated.FINDING}"},
        absent="/findings/0123456789abcdef",
        answer="**/api/v1/findings/*",
    ),
    Page(
        "/services/$name",
        {"service": "/services/payments"},
        answer="**/api/v1/services/*/resources?*",
    ),
    Page(
        "/third-parties",
        {"third-parties": "/third-parties"},
        answer="**/api/v1/dependencies/external?*",
    ),
    Page("/start", {"start": "/start"}, answer="**/api/v1/setup", has_state=False),
    Page("/login", {"login": "/login"}, has_state=False),
)
