"""Permissions of Datasette on the tables that an import reads or writes."""

from __future__ import annotations

from typing import Any

from datasette.resources import DatabaseResource, TableResource

from .actions import Actor

#: Datasette's actions for each mode of an import: on the database, and on the table.
_IMPORT_NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "create": (("create-table", "insert-row"), ()),
    "append": ((), ("insert-row",)),
    "replace": (("create-table", "insert-row"), ("insert-row", "drop-table")),
    "merge": ((), ("insert-row", "update-row")),
    "compare": ((), ("view-table", "insert-row", "update-row")),
}


async def missing_for_import(
    datasette: Any, actor: Actor, database: str, table: str, mode: str, removes: bool = False
) -> list[str]:
    """Datasette's actions that this import needs and the actor may not do."""
    on_database, on_table = _IMPORT_NEEDS[mode]
    if removes:
        on_table = (*on_table, "delete-row")
    missing: list[str] = []
    for actions, resource in (
        (on_database, DatabaseResource(database)),
        (on_table, TableResource(database, table)),
    ):
        if actions:
            verdicts = await datasette.allowed_many(
                actions=list(actions), resource=resource, actor=actor
            )
            missing += [name for name in actions if not verdicts[name] and name not in missing]
    return missing


async def may_add_rows(datasette: Any, actor: Actor, database: str) -> bool:
    """Tell whether the actor may add rows to any table of the database."""
    await datasette.refresh_schemas()  # Datasette knows tables by this alone
    page = await datasette.allowed_resources("insert-row", actor, parent=database, limit=1)
    return bool(page.resources)


async def tables_for_rows(datasette: Any, actor: Actor, database: str) -> list[str]:
    """The tables that the actor may view and add rows to, of the first 1,000 of each."""
    await datasette.refresh_schemas()
    addable, viewable = [
        await datasette.allowed_resources(action, actor, parent=database, limit=1000)
        for action in ("insert-row", "view-table")
    ]
    seen = {resource.child for resource in viewable.resources}
    return [resource.child for resource in addable.resources if resource.child in seen]


async def may_view_table(datasette: Any, actor: Actor, database: str, table: str) -> bool:
    """Tell whether the actor may view the table in Datasette."""
    verdict: bool = await datasette.allowed(
        action="view-table", resource=TableResource(database, table), actor=actor
    )
    return verdict
