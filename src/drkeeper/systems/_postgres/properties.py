"""What belongs to a database as a whole: encoding, locale, owner, grants, settings, comment.

pg_dump carries these, but only for a database of the same name (`pg_restore --create`); ours is loaded under
another name first. So they are a small stream of their own, and are applied from it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, LiteralString

from psycopg import sql
from pydantic import BaseModel, ConfigDict

from drkeeper.systems._postgres.connect import Connection, rows, value

DATABASE = """
    SELECT pg_encoding_to_char(d.encoding) AS encoding,
           coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS provider, d.datcollate AS collate,
           d.datctype AS ctype, to_jsonb(d) ->> 'daticulocale' AS icu_locale, to_jsonb(d) ->> 'datlocale' AS locale,
           to_jsonb(d) ->> 'daticurules' AS icu_rules, pg_get_userbyid(d.datdba) AS owner,
           d.datconnlimit AS connection_limit, t.spcname AS tablespace,
           shobj_description(d.oid, 'pg_database') AS comment, d.datacl IS NOT NULL AS granted
    FROM pg_database AS d JOIN pg_tablespace AS t ON t.oid = d.dattablespace WHERE d.datname = current_database()"""
GRANTS = """
    SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
    FROM pg_database AS d, aclexplode(d.datacl) AS a WHERE d.datname = current_database() ORDER BY 1, 2"""
SETTINGS = """
    SELECT CASE s.setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(s.setrole) END, split_part(c, '=', 1),
           substr(c, strpos(c, '=') + 1)
    FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase, unnest(s.setconfig) AS c
    WHERE d.datname = current_database() ORDER BY 1, 2"""
# Settings that are lists: pg_dump knows them by name (variable_is_guc_list_quote in its dumputils.c), because
# quoting the whole value would make one element of it.
LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)


PROVIDERS_SINCE = 15
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
LOCALE_WORDS: dict[str, LiteralString] = {"i": "ICU_LOCALE {}", "b": "BUILTIN_LOCALE {}"}
# A custom setting of a database whose locale the target lacked; its value is the locale that was wanted.
REPLACED = "drkeeper.replaced_locale"
Privilege = Literal["CREATE", "TEMPORARY", "CONNECT"]


class Properties(BaseModel):
    """One database's, as stored. Who is None is PUBLIC, or all roles.

    Attributes:
        grants: Who, what, with grant option; None where nobody ever granted or revoked.
        settings: Role, name, value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    encoding: str
    provider: str
    collate: str
    ctype: str
    locale: str | None
    icu_rules: str | None
    owner: str
    connection_limit: int
    tablespace: str
    comment: str | None
    grants: tuple[tuple[str | None, Privilege, bool], ...] | None
    settings: tuple[tuple[str | None, str, str], ...]


def read_properties(connection: Connection, database: str) -> dict[str, Any]:
    """Those of the connection's own database, seen in its snapshot."""
    cursor = connection.execute(DATABASE)
    names = [column.name for column in cursor.description or ()]
    found = dict(zip(names, cursor.fetchone() or (), strict=True))
    icu_locale, granted = found.pop("icu_locale"), found.pop("granted")
    found["locale"] = found["locale"] or icu_locale
    found["grants"] = rows(connection, GRANTS) if granted else None
    return Properties(name=database, settings=tuple(rows(connection, SETTINGS)), **found).model_dump(mode="json")


def create_statement(
    target: str, properties: Properties, *, major: int, tablespace: bool, locale: bool
) -> sql.Composed:
    """CREATE DATABASE from template0, so that nothing of the target's own template comes in.

    Args:
        target: Its name.
        properties: What it must be like.
        major: The target server's version; providers of locales can be named since 15.
        tablespace: Whether to name the tablespace; else the target's default.
        locale: Whether to name the locale; else the target's default.
    """
    words = [sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(target))]

    def add(text: LiteralString, word: str) -> None:
        words.append(sql.SQL(text).format(sql.Literal(word)))

    add("ENCODING {}", properties.encoding)
    if locale:
        if major >= PROVIDERS_SINCE:
            words.append(sql.SQL("LOCALE_PROVIDER {}").format(sql.Identifier(PROVIDERS[properties.provider])))
        if properties.locale and properties.provider in LOCALE_WORDS:
            add(LOCALE_WORDS[properties.provider], properties.locale)
        if properties.icu_rules:
            add("ICU_RULES {}", properties.icu_rules)
        add("LC_COLLATE {}", properties.collate)
        add("LC_CTYPE {}", properties.ctype)
    if tablespace:
        words.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(properties.tablespace)))
    return sql.SQL(" ").join(words)


def property_statements(target: str, properties: Properties, *, owners: bool) -> Iterator[sql.Composed]:
    """What makes the database like its source once its data are in: limit, settings, owner, grants."""
    name = sql.Identifier(target)
    if properties.connection_limit >= 0:
        yield sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(properties.connection_limit))
    for role, setting, text in properties.settings:
        if role is None or owners:
            yield _setting(name, role, setting, text)
    if owners:
        yield sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(properties.owner))
        if properties.grants is not None:
            yield from _grants(name, properties)


def replaced_statement(target: str, properties: Properties) -> sql.Composed:
    """Note in a database that it has another locale than its source."""
    parameter = sql.Identifier(*REPLACED.split("."))
    return sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
        sql.Identifier(target), parameter, sql.Literal(properties.collate)
    )


def comment_statement(target: str, comment: str | None) -> sql.Composed:
    """Set, or remove, a database's comment."""
    return sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(target), sql.Literal(comment))


def list_elements(text: str) -> list[str]:
    """The elements of a stored list, whose identifiers stand in double quotes where they need them."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^,\s"]+)', text)
    return [quoted.replace('""', '"') or plain for quoted, plain in found] or [""]


def _setting(name: sql.Identifier, role: str | None, setting: str, text: str) -> sql.Composed:
    subject = sql.SQL("DATABASE {}").format(name)
    if role is not None:
        subject = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), name)
    elements = list_elements(text) if setting in LISTS else [text]
    plain = sql.SQL(", ").join(sql.Literal(element) for element in elements)
    parameter = sql.SQL(".").join(sql.Identifier(part) for part in setting.split("."))
    return sql.SQL("ALTER {} SET {} TO {}").format(subject, parameter, plain)


def _grants(name: sql.Identifier, properties: Properties) -> Iterator[sql.Composed]:
    public = sql.SQL("PUBLIC")
    for role in (public, sql.Identifier(properties.owner)):
        yield sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(name, role)
    for grantee, privilege, grantable in properties.grants or ():
        to = public if grantee is None else sql.Identifier(grantee)
        option = sql.SQL(" WITH GRANT OPTION") if grantable else sql.SQL("")
        yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(sql.SQL(privilege), name, to, option)


def locale_known(connection: Connection, provider: str, words: Iterable[str]) -> bool:
    """Whether this server has the locale: libc's by the collations that initdb found; of the others, the provider.

    `pg_collation` spells a locale `en_US.utf8`, a database perhaps `en_US.UTF-8`, so case and dashes do not count.
    """
    if provider != "c":
        query = "SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = %s)"
        return bool(value(connection, query, provider))
    query = """SELECT lower(replace(collcollate, '-', '')) FROM pg_collation WHERE collprovider = 'c'
               UNION SELECT lower(replace(datcollate, '-', '')) FROM pg_database"""
    known = {row[0] for row in rows(connection, query)} | {"c", "posix"}
    return {word.lower().replace("-", "") for word in words} <= known
