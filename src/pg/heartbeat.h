/*
 * heartbeat.h: the small transaction that gives the standbys of an idle primary something to replay.
 *
 * Whoever measures a standby's lag as the age of the last transaction that it replayed sees it grow while
 * nobody writes. A transaction number that is assigned makes the end of the transaction a record in the WAL,
 * with the time in it; no table is touched. Of both spellings the old one is used: 9.6 and later have it.
 */
#ifndef PGVIGIL_PG_HEARTBEAT_H
#define PGVIGIL_PG_HEARTBEAT_H

/* An error on a standby. With synchronous_commit = off, so that it waits for nobody. */
#define HEARTBEAT_CALL "txid_current()"

#endif
