-- What the agent of this machine knows of the cluster, and the state of the fence. The fence itself needs none of
-- this, only shared_preload_libraries.
\echo Use "CREATE EXTENSION pgvigil" to load this file. \quit

CREATE FUNCTION fence(
    OUT loaded boolean, OUT open boolean, OUT reason text, OUT epoch integer, OUT remaining interval,
    OUT agent_seen timestamptz, OUT waits bigint, OUT refusals bigint, OUT cut bigint)
    AS 'MODULE_PATHNAME', 'pgvigil_fence' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION fence() IS
    'whether a commit would be acknowledged now, until when, and how many had to wait, were refused or cut off';

CREATE FUNCTION document(kind text) RETURNS text
    AS 'MODULE_PATHNAME', 'pgvigil_document' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION document(text) IS 'JSON as the agent left it last: cluster or history';

CREATE FUNCTION status() RETURNS jsonb
    LANGUAGE sql STRICT VOLATILE
    AS $$ SELECT pgvigil.document('cluster')::jsonb $$;
COMMENT ON FUNCTION status() IS 'the cluster as this machine''s agent sees it, as pgvigil status --json prints it';

CREATE VIEW members AS
    SELECT m.*, (s.view ->> 'generated')::timestamptz AS as_of
    FROM pgvigil.status() AS s(view), jsonb_to_recordset(s.view -> 'members') AS m(
        name text, role text, kind text, self boolean, leader boolean, host text, port integer, state text,
        reachable boolean, last_seen_ms bigint, timeline integer, lsn pg_lsn, lag_bytes bigint, lag_ms bigint, streaming boolean,
        upstream text, epoch integer, action text, eligible boolean, voter boolean, leaving boolean,
        no_failover boolean, sync text);
COMMENT ON VIEW members IS
    'the members as this machine''s agent saw them as_of then, each last_seen_ms before (null: never)';

CREATE VIEW history AS
    SELECT h.*
    FROM jsonb_to_recordset(pgvigil.document('history')::jsonb -> 'entries') AS h(
        "time" timestamptz, kind text, member text, "from" text, epoch integer, timeline integer, lsn pg_lsn,
        duration_ms bigint, bytes bigint, transactions bigint, reason text);
COMMENT ON VIEW history IS 'what happened in the cluster, the oldest first';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgvigil FROM PUBLIC;
GRANT USAGE ON SCHEMA pgvigil TO pg_monitor;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgvigil TO pg_monitor;
GRANT SELECT ON members, history TO pg_monitor;
