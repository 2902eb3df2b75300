-- From the table of 2.0: who is the primary, the next one, synchronous is no column any more, but seen.
\echo Use "ALTER EXTENSION pg_keeper UPDATE" to load this file. \quit

DROP FUNCTION pgkeeper.add_node(text, text);
DROP FUNCTION pgkeeper.del_node(text);
DROP FUNCTION pgkeeper.del_node(integer);
DROP FUNCTION pgkeeper.indirect_polling(text);
DROP FUNCTION pgkeeper.indirect_kill(text);
ALTER TABLE pgkeeper.node_info RENAME TO node_2_0;

CREATE TABLE pgkeeper.node (
    seqno integer PRIMARY KEY,
    name text NOT NULL UNIQUE,
    conninfo text NOT NULL);
INSERT INTO pgkeeper.node SELECT seqno, name, conninfo FROM pgkeeper.node_2_0;
DROP TABLE pgkeeper.node_2_0;
COMMENT ON TABLE pgkeeper.node IS 'who shall belong; changed by add_node and del_node';
-- Without any policy: pg_read_all_data and pg_write_all_data find no rows in it. Superusers do, and the functions below.
ALTER TABLE pgkeeper.node ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION pgkeeper.add_node(node_name text, conninfo text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_add_node' LANGUAGE C STRICT VOLATILE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION pgkeeper.add_node(text, text) IS 'registers a node; the primary first, and on the primary';

CREATE FUNCTION pgkeeper.del_node(node_name text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_del_node_name' LANGUAGE C STRICT VOLATILE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION pgkeeper.del_node(text) IS 'removes a node; false: there is none of that name';

CREATE FUNCTION pgkeeper.del_node(seqno integer) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_del_node_seqno' LANGUAGE C STRICT VOLATILE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION pgkeeper.del_node(integer) IS 'removes a node; false: there is none of that number';

CREATE FUNCTION pgkeeper.indirect_polling(conninfo text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_indirect_polling' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION pgkeeper.indirect_polling(text) IS 'whether a server answers when it is asked from here';

CREATE FUNCTION pgkeeper.indirect_kill(signal text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_indirect_kill' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION pgkeeper.indirect_kill(text) IS 'sends SIGUSR1 or SIGUSR2 to the worker here: it looks at the nodes again';

CREATE FUNCTION pgkeeper.exchange(message text) RETURNS text
    AS 'MODULE_PATHNAME', 'pgkeeper_exchange' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION pgkeeper.exchange(text) IS 'hands a message of another node to the worker here, and returns its answer';

CREATE FUNCTION pgkeeper.node_states(
    OUT seqno integer, OUT name text, OUT is_master boolean, OUT is_nextmaster boolean, OUT is_sync boolean, OUT state text)
    RETURNS SETOF record AS 'MODULE_PATHNAME', 'pgkeeper_node_states' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION pgkeeper.node_states() IS 'the nodes as the worker here sees them';

CREATE FUNCTION pgkeeper.switchover(node text) RETURNS text
    AS 'MODULE_PATHNAME', 'pgkeeper_switchover' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION pgkeeper.switchover(text) IS 'hands the primary''s role over to a standby, in order; on the primary';

CREATE FUNCTION pgkeeper.status() RETURNS json
    AS 'MODULE_PATHNAME', 'pgkeeper_status' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION pgkeeper.status() IS 'the cluster as the worker here sees it, for pgvigil status';

CREATE VIEW pgkeeper.node_info AS
    SELECT coalesce(n.seqno, s.seqno) AS seqno, coalesce(n.name, s.name) AS name,
        -- Connection strings may hold passwords: they are for whoever could read the table itself.
        CASE WHEN NOT row_security_active('pgkeeper.node'::regclass) THEN
            coalesce(n.conninfo, current_setting(CASE WHEN s.name = current_setting('pg_keeper.node_name')
                THEN 'pg_keeper.my_conninfo' ELSE 'pg_keeper.partner_conninfo' END)) END AS conninfo,
        coalesce(s.is_master, false) AS is_master,
        coalesce(s.is_nextmaster, false) AS is_nextmaster,
        coalesce(s.is_sync, false) AS is_sync,
        s.state
    FROM pgkeeper.node n FULL JOIN pgkeeper.node_states() s ON s.name = n.name
    WHERE coalesce(n.seqno, s.seqno) IS NOT NULL -- not who left the table and is a member still
    ORDER BY 1;
COMMENT ON VIEW pgkeeper.node_info IS 'the nodes, and what the worker of this server sees of them';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgkeeper FROM PUBLIC;
REVOKE ALL ON pgkeeper.node, pgkeeper.node_info FROM PUBLIC;
GRANT USAGE ON SCHEMA pgkeeper TO pg_monitor;
GRANT EXECUTE ON FUNCTION pgkeeper.node_states() TO pg_monitor;
GRANT EXECUTE ON FUNCTION pgkeeper.status() TO pg_monitor;
GRANT SELECT (seqno, name, is_master, is_nextmaster, is_sync, state) ON pgkeeper.node_info TO pg_monitor;
