/*
 * feed.c: a closed server feeds no standby: what it goes on to write, if only the end of what was refused, is
 * not the cluster's, and would part whoever gets it from the cluster.
 */
#include "keeper/keeper.h"

#include <miscadmin.h>
#include <replication/walsender.h>

static ClientAuthentication_hook_type next_authentication;

static void on_authentication(struct Port *port, int status)
{
    if (next_authentication != NULL)
        next_authentication(port, status);
    if (am_walsender && board_feeds_nobody())
        ereport(FATAL,
                (errcode(ERRCODE_CANNOT_CONNECT_NOW), errmsg("this server is closed, and feeds no standby"),
                 errdetail("Another node is the primary of its cluster, or about to be."),
                 errhint("Connect to that one; node_info here, or this server's log, says which it is.")));
}

void feed_init(void)
{
    next_authentication = ClientAuthentication_hook;
    ClientAuthentication_hook = on_authentication;
}
