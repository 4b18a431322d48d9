"""The receiver's database: tables, views and versions."""

VERSION = 2  # PRAGMA user_version; a file with a greater one was written by a newer receiver
APPLICATION_ID = 0x63697374  # "cist": tells our file from any other SQLite database

SQL = """
-- Tables are normalised for size; people read the views at the end.
-- Times are integers, nanoseconds since 1970 UTC. See docs/CLOUD.md.

-- What one collector captures: component, method and parameters on one part.
CREATE TABLE stream (
    id INTEGER PRIMARY KEY,
    part TEXT NOT NULL,
    component_type TEXT NOT NULL,
    component TEXT NOT NULL,
    method TEXT NOT NULL,
    params TEXT NOT NULL,           -- JSON object
    UNIQUE (part, component_type, component, method, params)
);

CREATE TABLE tagset (
    id INTEGER PRIMARY KEY,
    tags TEXT NOT NULL UNIQUE       -- JSON array of strings
);

-- A device's flash log. The part belongs to the key: no part can claim another's parcels.
CREATE TABLE flash_log (
    id INTEGER PRIMARY KEY,
    part TEXT NOT NULL,
    log_id BLOB NOT NULL,           -- 8 bytes, random
    UNIQUE (part, log_id)
);

-- One answered request, also when all it brought was here before.
CREATE TABLE upload (
    id INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,       -- when it was stored
    entity TEXT NOT NULL,           -- who sent it: part id or API key id
    part TEXT NOT NULL,
    bytes INTEGER NOT NULL,         -- of the message
    stored INTEGER NOT NULL,        -- readings new to this database
    repeated INTEGER NOT NULL,      -- readings of parcels that were here before
    file_name TEXT,                 -- as sent, unless it lists parcels
    extra TEXT                      -- JSON object: other metadata, if any
);

-- A run of readings stored together: a parcel, or all of an upload that names none.
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES stream,
    tagset INTEGER NOT NULL REFERENCES tagset,
    upload INTEGER NOT NULL REFERENCES upload,
    log INTEGER REFERENCES flash_log,
    sector INTEGER,
    place INTEGER,                  -- index in the sector
    readings INTEGER NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    digest BLOB,                    -- of the payloads: tells a repeated parcel from a reused name
    conflicts INTEGER NOT NULL DEFAULT 0  -- times the name came with other readings (not stored)
);
CREATE UNIQUE INDEX batch_parcel ON batch (log, sector, place) WHERE log IS NOT NULL;
CREATE INDEX batch_stream ON batch (stream);

CREATE TABLE reading (
    batch INTEGER NOT NULL REFERENCES batch,
    n INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,       -- requested; if missing, received; else when it was stored
    latency_ns INTEGER NOT NULL,    -- received minus requested
    missing INTEGER NOT NULL,       -- 1: no requested time was given, 2: no received, 3: neither
    payload TEXT NOT NULL,          -- JSON object
    time TEXT GENERATED ALWAYS AS (
        strftime('%Y-%m-%dT%H:%M:%S', time_ns / 1000000000, 'unixepoch')
        || printf('.%06dZ', time_ns / 1000 % 1000000)
    ) VIRTUAL,
    PRIMARY KEY (batch, n)
) WITHOUT ROWID;
CREATE INDEX reading_time ON reading (time);

CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    part TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    host TEXT NOT NULL,
    level TEXT NOT NULL,
    logger TEXT NOT NULL,
    message TEXT NOT NULL,
    caller TEXT,                    -- JSON object
    stack TEXT,
    fields TEXT                     -- JSON array of objects
);

CREATE VIEW readings AS
SELECT
    r.time,
    s.part,
    s.component,
    s.method,
    r.payload,
    t.tags,
    s.params,
    s.component_type,
    CASE WHEN r.missing & 1 THEN NULL ELSE r.time END AS time_requested,
    CASE WHEN r.missing & 2 THEN NULL ELSE
        strftime('%Y-%m-%dT%H:%M:%S', (r.time_ns + r.latency_ns) / 1000000000, 'unixepoch')
        || printf('.%06dZ', (r.time_ns + r.latency_ns) / 1000 % 1000000)
    END AS time_received,
    r.time_ns,
    CASE WHEN r.missing & 2 THEN NULL ELSE r.time_ns + r.latency_ns END AS time_received_ns,
    b.upload,
    CASE WHEN b.log IS NULL THEN NULL ELSE
        (SELECT lower(hex(l.log_id)) FROM flash_log l WHERE l.id = b.log)
        || ':' || b.sector || '.' || b.place
    END AS parcel
FROM reading r
JOIN batch b ON b.id = r.batch
JOIN stream s ON s.id = b.stream
JOIN tagset t ON t.id = b.tagset;

CREATE VIEW streams AS
SELECT
    s.part, s.component, s.method, s.params, s.component_type,
    sum(b.readings) AS readings,
    strftime('%Y-%m-%dT%H:%M:%SZ', min(b.first_ns) / 1000000000, 'unixepoch') AS first_time,
    strftime('%Y-%m-%dT%H:%M:%SZ', max(b.last_ns) / 1000000000, 'unixepoch') AS last_time,
    count(b.log) AS parcels,
    sum(b.conflicts) AS conflicts
FROM stream s JOIN batch b ON b.stream = s.id
GROUP BY s.id;

CREATE VIEW uploads AS
SELECT
    strftime('%Y-%m-%dT%H:%M:%S', time_ns / 1000000000, 'unixepoch')
        || printf('.%06dZ', time_ns / 1000 % 1000000) AS time,
    part, entity, bytes, stored, repeated, file_name, extra, id
FROM upload;

CREATE VIEW logs AS
SELECT
    strftime('%Y-%m-%dT%H:%M:%S', time_ns / 1000000000, 'unixepoch')
        || printf('.%06dZ', time_ns / 1000 % 1000000) AS time,
    part, level, message, logger, host, caller, stack, fields
FROM log;
"""

# What boards say that they lost: totals, of which the latest one counts.
LOSSES = """
CREATE TABLE loss (
    id INTEGER PRIMARY KEY,
    part TEXT NOT NULL,
    log_id BLOB NOT NULL,           -- of the flash log that counts them
    definition TEXT NOT NULL,       -- CRC32 of the stream's definition, 8 hex digits
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    component_type TEXT,            -- NULL where the board did not know the stream any more
    component TEXT,
    method TEXT,
    params TEXT,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    boot INTEGER NOT NULL,          -- of the board, and how long it ran, when it said so
    uptime_ms INTEGER NOT NULL,
    UNIQUE (part, log_id, definition, reason)
);
CREATE INDEX loss_definition ON loss (part, definition);

CREATE VIEW losses AS
SELECT
    part, coalesce(component, '#' || definition) AS component, method, params, reason,
    sum(count) AS count,
    strftime('%Y-%m-%dT%H:%M:%SZ', min(first_ns) / 1000000000, 'unixepoch') AS first,
    strftime('%Y-%m-%dT%H:%M:%SZ', max(last_ns) / 1000000000, 'unixepoch') AS last,
    component_type
FROM loss
GROUP BY part, component_type, coalesce(component, '#' || definition), method, params, reason
HAVING sum(count) > 0;
"""

# version of a file → what makes it the next one.
UPGRADES = {1: LOSSES}
