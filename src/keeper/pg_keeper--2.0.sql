-- The table and functions of pg_keeper 2.0. CREATE EXTENSION begins here and goes on to the present version at once.
\echo Use "CREATE EXTENSION pg_keeper" to load this file. \quit

CREATE SCHEMA pgkeeper;

CREATE TABLE pgkeeper.node_info (
    seqno serial,
    name text,
    conninfo text,
    is_master bool,
    is_nextmaster bool,
    is_sync bool);

CREATE FUNCTION pgkeeper.add_node(node_name text, conninfo text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_add_node' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION pgkeeper.del_node(node_name text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_del_node_name' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION pgkeeper.del_node(seqno integer) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_del_node_seqno' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION pgkeeper.indirect_polling(conninfo text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_indirect_polling' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION pgkeeper.indirect_kill(signal text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'pgkeeper_indirect_kill' LANGUAGE C STRICT VOLATILE;
