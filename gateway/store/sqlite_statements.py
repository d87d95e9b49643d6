"""The tables of `gateway.store.sqlite`, and the statements on them."""

SWEEP_ENTRIES = 8
SWEEP_ITEMS = 64
"""The most expired rows that a write removes: more than it adds, so that the file stops growing,
and few enough to take no noticeable time."""

SCHEMA_VERSION = 2
SCHEMA = (
    # `made` is an entry's first version: the order in which entries came.
    """CREATE TABLE IF NOT EXISTS entries (
        key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, expires REAL,
        kind TEXT NOT NULL, about TEXT NOT NULL, made INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS entries_listed ON entries (kind, made)",
    "CREATE INDEX IF NOT EXISTS entries_about ON entries (about)",
    "CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires) WHERE expires IS NOT NULL",
    """CREATE TABLE IF NOT EXISTS logs (
        log TEXT PRIMARY KEY, length INTEGER NOT NULL, expires REAL, about TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS logs_about ON logs (about)",
    "CREATE INDEX IF NOT EXISTS logs_expires ON logs (expires) WHERE expires IS NOT NULL",
    """CREATE TABLE IF NOT EXISTS items (
        log TEXT NOT NULL, position INTEGER NOT NULL, item BLOB NOT NULL,
        PRIMARY KEY (log, position)
    ) WITHOUT ROWID""",
    # One counter for all entries: a key that is deleted and made again never repeats a version,
    # so a writer who read the old entry cannot overwrite the new one.
    "CREATE TABLE IF NOT EXISTS counter (version INTEGER NOT NULL)",
    "INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

LAST = 2**63 - 1
"""Greater than every version."""

GET = """SELECT value, version FROM entries
    WHERE key = :key AND (expires IS NULL OR expires > :now)"""
NEXT_VERSION = "UPDATE counter SET version = version + 1 RETURNING version"
INSERT = """INSERT INTO entries (key, value, version, expires, kind, about, made)
    VALUES (:key, :value, :version, :expires, :kind, :about, :version)
    ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, version = excluded.version, expires = excluded.expires,
        about = excluded.about, made = excluded.made
    WHERE expires <= :now"""
UPDATE = """UPDATE entries
    SET value = :value, version = :version, expires = :expires, about = :about
    WHERE key = :key AND version = :expect AND (expires IS NULL OR expires > :now)"""
FOUND = """SELECT version FROM entries
    WHERE key = :key AND (expires IS NULL OR expires > :now)"""
KEEP = tuple(
    f"""UPDATE {table} SET expires = :expires
    WHERE {column} = :name AND (expires IS NULL OR expires > :now)"""
    for table, column in (("entries", "key"), ("logs", "log"))
)
PAGE = """SELECT key, value, version, made FROM entries
    WHERE kind = :kind AND made < :before AND (expires IS NULL OR expires > :now)
    ORDER BY made DESC LIMIT :limit"""
SINCE = """SELECT key, value, version, made FROM entries
    WHERE kind = :kind AND made > :after AND (expires IS NULL OR expires > :now)
    ORDER BY made LIMIT :limit"""
DROP_EXPIRED_ITEMS = """DELETE FROM items
    WHERE log = :log AND EXISTS (SELECT 1 FROM logs WHERE log = :log AND expires <= :now)"""
LENGTHEN = """INSERT INTO logs (log, length, expires, about) VALUES (:log, 1, :expires, :about)
    ON CONFLICT (log) DO UPDATE
    SET length = CASE WHEN expires <= :now THEN 1 ELSE length + 1 END, expires = excluded.expires
    RETURNING length"""
ADD_ITEM = "INSERT INTO items (log, position, item) VALUES (:log, :position, :item)"
READ = """SELECT position, item FROM items JOIN logs USING (log)
    WHERE log = :log AND position > :after AND (expires IS NULL OR expires > :now)
    ORDER BY position"""
DELETE = tuple(
    f"DELETE FROM {table} WHERE {column} = :key"
    for table, column in (("entries", "key"), ("items", "log"), ("logs", "log"))
)
ERASE = (
    "DELETE FROM logs WHERE about = :about RETURNING expires",
    "DELETE FROM entries WHERE about = :about RETURNING expires",
)
ERASE_ITEMS = "DELETE FROM items WHERE log IN (SELECT log FROM logs WHERE about = :about)"

SWEEP = (
    f"""DELETE FROM entries WHERE key IN
        (SELECT key FROM entries WHERE expires <= :now LIMIT {SWEEP_ENTRIES})""",
    f"""DELETE FROM items WHERE (log, position) IN
        (SELECT log, position FROM logs JOIN items USING (log)
         WHERE expires <= :now LIMIT {SWEEP_ITEMS})""",
    f"""DELETE FROM logs WHERE log IN
        (SELECT log FROM logs WHERE expires <= :now
         AND NOT EXISTS (SELECT 1 FROM items WHERE items.log = logs.log) LIMIT {SWEEP_ENTRIES})""",
)
