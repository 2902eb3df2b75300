-- Functions and table of pg_keeper on the primary of a cluster, before and while nodes are registered.
CREATE EXTENSION pg_keeper;
SELECT extversion FROM pg_extension WHERE extname = 'pg_keeper';
\d pgkeeper.node_info
SELECT relrowsecurity FROM pg_class WHERE oid = 'pgkeeper.node'::regclass;
SELECT p.oid::regprocedure, p.proacl IS NOT NULL AS restricted FROM pg_proc p
    WHERE pronamespace = 'pgkeeper'::regnamespace ORDER BY p.oid::regprocedure::text COLLATE "C";
-- the primary is first
SELECT pgkeeper.add_node('pg2', 'host=10.77.2.1');
SELECT pgkeeper.add_node('PG1', 'host=10.77.1.1');
SELECT pgkeeper.add_node('o''brien', 'host=10.77.1.1');
SELECT pgkeeper.add_node(E'pg1\n', 'host=10.77.1.1');
SELECT pgkeeper.add_node(repeat('ö', 32), 'host=10.77.1.1');
SELECT pgkeeper.add_node('pg1', 'host=');
SELECT pgkeeper.add_node('pg1', 'no connection string');
SELECT pgkeeper.add_node('pg1', NULL);
SELECT pgkeeper.add_node('pg1', 'host=10.77.1.1 user=postgres');
SELECT pgkeeper.add_node('pg1', 'host=10.77.1.1 user=postgres');
SELECT pgkeeper.add_node('pg2', 'postgresql://postgres@10.77.2.1:5432/template1');
SELECT pgkeeper.add_node('PG2', 'host=10.77.2.1 port=5432');
SELECT pgkeeper.add_node('PG2', 'host=10.77.2.1 port=65536');
SELECT pgkeeper.add_node('PG2', 'host=10.77.2.1 port=5433');
SELECT pgkeeper.add_node('o''brien, "köln"; --', 'host=10.77.9.1');
SELECT pgkeeper.add_node('o''brien, "köln"; --', 'host=10.77.9.1');
SELECT pgkeeper.del_node('PG2'), pgkeeper.del_node('o''brien, "köln"; --'), pgkeeper.del_node('PG1');
SELECT seqno, name, conninfo FROM pgkeeper.node_info;
-- what is not there, and who must not go
SELECT pgkeeper.del_node('pg3');
SELECT pgkeeper.del_node(7);
SELECT pgkeeper.del_node('pg1');
SELECT pgkeeper.del_node(1);
SELECT pgkeeper.del_node(2);
SELECT pgkeeper.indirect_kill('SIGUSR2');
SELECT pgkeeper.indirect_kill('SIGTERM');
SELECT pgkeeper.exchange('nonsense');
INSERT INTO pgkeeper.node_info (seqno, name) VALUES (3, 'pg3');
-- a change that is rolled back is none
BEGIN;
SELECT pgkeeper.add_node('pg2', 'host=10.77.2.1 user=postgres');
ROLLBACK;
SELECT seqno, name, conninfo FROM pgkeeper.node_info;
SET pg_keeper.commit_wait = '1s';
SET pg_keeper.keepalive_time = 3;
DROP EXTENSION pg_keeper;
