"""Let the database refuse to change what was once written, also for whoever opens it by hand."""

from sqlalchemy import DDL, Table, event


def append_only(table: Table, refusal: str) -> None:
    """Have rows of `table` refused, with these words, to whoever updates or deletes them; it holds once it is made."""
    for dialect, guard in _guards(table.name, refusal):
        event.listen(
            table,
            "after_create",
            DDL(guard).execute_if(dialect=dialect),  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
        )


def _guards(table: str, refusal: str) -> list[tuple[str, str]]:
    raising = f"BEGIN RAISE integrity_constraint_violation USING MESSAGE = '{refusal}'; END"
    on_sqlite = "CREATE TRIGGER {0}_no_{1} BEFORE {2} ON {0} BEGIN SELECT RAISE(ABORT, '{3}'); END"
    return [
        ("sqlite", on_sqlite.format(table, "update", "UPDATE", refusal)),
        ("sqlite", on_sqlite.format(table, "delete", "DELETE", refusal)),
        (
            "postgresql",
            f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$",
        ),
        (
            "postgresql",
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()",
        ),
    ]
