/*
 * nodes_list.c: the nodes, whoever says which they are, and what a connection string says of one.
 */
#include "keeper/nodes.h"

#include <libpq-fe.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* With fewer a failover by itself could not be told from a cut between the two, unless one side was chosen.
 */
#define NODES_LEAST 3

int nodes_find(const KeeperNodes *nodes, const char *id)
{
    for (int i = 0; i < nodes->count; i++)
        if (strcmp(nodes->node[i].id, id) == 0)
            return i;
    return -1;
}

bool nodes_has(const KeeperNodes *nodes, const char *id)
{
    int index = nodes_find(nodes, id);

    return index >= 0 && !nodes->node[index].gone;
}

const char *nodes_name(const KeeperNodes *nodes, const char *id)
{
    int index = nodes_find(nodes, id);

    return index >= 0 ? nodes->node[index].name : id;
}

int nodes_registered(const KeeperNodes *nodes)
{
    int count = 0;

    for (int i = 0; i < nodes->count; i++)
        count += !nodes->node[i].gone;
    return count;
}

bool nodes_can_elect(const KeeperNodes *nodes, bool standby_votes)
{
    int count = nodes_registered(nodes);

    return count >= NODES_LEAST || (count == 2 && standby_votes);
}

/* What would make a node unreachable, or be overruled in silence; NULL: nothing. */
static const char *refusal(const char *keyword, const char *value)
{
    if (strcmp(keyword, "service") == 0 || strcmp(keyword, "servicefile") == 0)
        return "a service file may say something else on each node: give host and port";
    if (strcmp(keyword, "target_session_attrs") == 0 && strcmp(value, "any") != 0)
        return "target_session_attrs has to be any: a node is reached whatever it is at the time";
    if (strcmp(keyword, "replication") == 0)
        return "replication makes no session in which a node could be asked";
    if (strcmp(keyword, "gssencmode") == 0 && strcmp(value, "require") == 0)
        return "gssencmode=require is not possible: nodes talk to each other without GSS encryption";
    return NULL;
}

static bool take(KeeperNode *node, const PQconninfoOption *option, Err *err)
{
    bool is_host = strcmp(option->keyword, "host") == 0,
         is_address = strcmp(option->keyword, "hostaddr") == 0;

    if (option->val == NULL || option->val[0] == '\0')
        return true;
    if ((is_host || is_address || strcmp(option->keyword, "port") == 0) && strchr(option->val, ',') != NULL)
        return err_set(err, ERR_CONFIG, "%s names several servers: a node is one", option->keyword);
    const char *refused = refusal(option->keyword, option->val);
    if (refused != NULL)
        return err_set(err, ERR_CONFIG, "%s", refused);
    if (strcmp(option->keyword, "port") == 0 && (atoi(option->val) < 1 || atoi(option->val) > UINT16_MAX))
        return err_set(err, ERR_CONFIG, "port is no number from 1 to %d", UINT16_MAX);
    bool fits = true;
    if (is_address || (is_host && node->host[0] == '\0'))
        fits = str_copy(node->host, sizeof node->host, option->val);
    else if (strcmp(option->keyword, "port") == 0)
        fits = str_copy(node->port, sizeof node->port, option->val);
    return fits || err_set(err, ERR_CONFIG, "%s is too long", option->keyword);
}

bool nodes_parse(const char *conninfo, KeeperNode *node, Err *err)
{
    char *why = NULL;
    bool ok = true;

    if (!str_copy(node->conninfo, sizeof node->conninfo, conninfo))
        return err_set(err, ERR_CONFIG, "a connection string has at most %d bytes", NODE_CONNINFO_LEN - 1);
    if (strpbrk(conninfo, "\r\n") != NULL)
        return err_set(err, ERR_CONFIG, "a connection string has no line breaks");
    node->host[0] = '\0';
    str_copy(node->port, sizeof node->port, "5432");
    PQconninfoOption *options = PQconninfoParse(conninfo, &why);
    if (options == NULL)
        err_set(err, ERR_CONFIG, "%.*s", why != NULL ? (int) strcspn(why, "\n") : 0, why != NULL ? why : "");
    if (why != NULL)
        PQfreemem(why);
    if (options == NULL)
        return false;
    for (const PQconninfoOption *option = options; ok && option->keyword != NULL; option++)
        ok = take(node, option, err);
    PQconninfoFree(options);
    if (ok && node->host[0] == '\0')
        return err_set(err, ERR_CONFIG, "it has no host: the other nodes could not find this one");
    return ok;
}
