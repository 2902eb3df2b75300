/*
 * repmgr.c: reads `repmgr cluster show` by the names of its columns.
 *
 * A gate hangs on it: a table, a role or a status never seen is an error, never a guess. The table has what
 * people read, with the node's host; --csv of repmgr 4 and 5 is made for programs, but has numbers only.
 */
#include "front/repmgr.h"

#include "base/str.h"
#include "pg/conninfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CELLS_MAX 12
#define CELL_LEN  1024
#define LINE_LEN  4096

typedef struct Row {
    char cell[CELLS_MAX][CELL_LEN];
    int count;
} Row;

/* The last cell is a connection string, which may hold a "|" itself: at most `most` cells. */
static bool split(const char *line, int most, Row *ret_row)
{
    ret_row->count = 0;
    for (;;) {
        const char *bar = ret_row->count + 1 < most ? strchr(line, '|') : NULL;
        size_t len = bar != NULL ? (size_t) (bar - line) : strlen(line);
        if (ret_row->count == CELLS_MAX || len >= CELL_LEN)
            return false;
        while (len > 0 && *line == ' ')
            line++, len--;
        while (len > 0 && strchr(" \r", line[len - 1]) != NULL)
            len--;
        memcpy(ret_row->cell[ret_row->count], line, len);
        ret_row->cell[ret_row->count++][len] = '\0';
        if (bar == NULL)
            return true;
        line = bar + 1;
    }
}

static int column(const Row *head, const char *name)
{
    for (int i = 0; i < head->count; i++)
        if (strcasecmp(head->cell[i], name) == 0)
            return i;
    return -1;
}

static void on_keyword(void *arg, const char *keyword, const char *value)
{
    RepmgrNode *node = arg;

    if (strcmp(keyword, "host") == 0 && node->host[0] == '\0')
        str_copy(node->host, sizeof node->host, value);
    else if (strcmp(keyword, "hostaddr") == 0)
        str_copy(node->host, sizeof node->host, value);
    else if (strcmp(keyword, "port") == 0)
        node->port = (uint16_t) strtoul(value, NULL, 10);
}

/* repmgr 3: the first column is role and state in one. */
static bool read_state_3(const char *role, RepmgrNode *node, Err *err)
{
    if (strcmp(role, "* master") == 0)
        node->is_primary = true;
    else if (strcmp(role, "standby") == 0)
        node->is_standby = true;
    else if (strcmp(role, "FAILED") != 0 && strcmp(role, "witness") != 0 && strcmp(role, "master") != 0)
        return err_set(err, ERR_PROTOCOL, "repmgr shows the role \"%.60s\", which is not known here", role);
    return true;
}

/* repmgr 4 and 5 (repmgr-action-cluster.c): the status begins with a mark: "*", "!", "?", "-" or none. */
static bool read_state_4(const char *role, const char *status, RepmgrNode *node, Err *err)
{
    const char *word = status + strspn(status, "*!?- ");
    bool is_primary = strcmp(role, "primary") == 0, is_standby = strcmp(role, "standby") == 0;

    if (!is_primary && !is_standby && strcmp(role, "witness") != 0)
        return err_set(err, ERR_PROTOCOL, "repmgr shows the role \"%.60s\", which is not known here", role);
    if (strcmp(word, "running as primary") == 0)
        node->is_primary = true;
    else if (strcmp(word, "running as standby") == 0)
        node->is_standby = true;
    else if (strcmp(word, "running") == 0)
        node->is_primary = is_primary, node->is_standby = is_standby;
    else if (strcmp(word, "failed") != 0 && strcmp(word, "unreachable") != 0 && strcmp(word, "rejected") != 0)
        return err_set(err, ERR_PROTOCOL, "repmgr shows the status \"%.60s\", which is not known here",
                       status);
    return true;
}

static bool read_row(const Row *head, const Row *row, RepmgrCluster *cluster, Err *err)
{
    int id = column(head, "ID"), status = column(head, "Status");
    const char *role = row->cell[column(head, "Role")];

    if (cluster->count == REPMGR_NODES_MAX)
        return err_set(err, ERR_PROTOCOL, "repmgr shows more than %d nodes", REPMGR_NODES_MAX);
    RepmgrNode *node = &cluster->nodes[cluster->count++];
    *node = (RepmgrNode){.port = 5432, .id = id >= 0 ? strtoll(row->cell[id], NULL, 10) : 0};
    str_copy(node->name, sizeof node->name, row->cell[column(head, "Name")]);
    if (!conninfo_each(row->cell[head->count - 1], on_keyword, node))
        return err_set(err, ERR_PROTOCOL, "repmgr's connection string of node %s cannot be read", node->name);
    return cluster->version == 3 ? read_state_3(role, node, err)
                                 : read_state_4(role, row->cell[status], node, err);
}

/* The heading's form, or 0. */
static int version_of(const Row *head)
{
    if (head->count < 4 || strcasecmp(head->cell[head->count - 1], "Connection string") != 0 ||
        column(head, "Role") < 0 || column(head, "Name") < 0)
        return 0;
    if (column(head, "ID") == 0 && column(head, "Status") > 0)
        return 4;
    return column(head, "Role") == 0 && head->count == 4 ? 3 : 0;
}

/* Copies one line; returns where the next begins, NULL at the end. Cut lines come back as "". */
static const char *next_line(const char *text, char *ret_line)
{
    size_t len = strcspn(text, "\n");

    ret_line[0] = '\0';
    if (*text == '\0')
        return NULL;
    if (len < LINE_LEN) {
        memcpy(ret_line, text, len);
        ret_line[len] = '\0';
    }
    return text + len + (text[len] == '\n');
}

bool repmgr_parse_table(const char *text, RepmgrCluster *ret_cluster, Err *err)
{
    static const char unknown[] =
        "no table of `repmgr cluster show` as repmgr 3, 4 or 5 print it; its output: %.200s";
    Row *rows = calloc(2, sizeof *rows); /* the heading and one line; too large for the stack */
    char line[LINE_LEN];
    const char *at = text;
    bool ok = false;

    if (rows == NULL)
        abort();
    *ret_cluster = (RepmgrCluster){0};
    while (ret_cluster->version == 0 && (at = next_line(at, line)) != NULL)
        if (split(line, CELLS_MAX, &rows[0]))
            ret_cluster->version = version_of(&rows[0]);
    if (ret_cluster->version == 0 || (at = next_line(at, line)) == NULL || strncmp(line, "--", 2) != 0) {
        err_set(err, ERR_PROTOCOL, unknown, text[0] != '\0' ? text : "nothing");
        goto out;
    }
    for (const char *next; (next = next_line(at, line)) != NULL; at = next) {
        bool is_cut = line[0] == '\0' && *at != '\n';
        if (!is_cut && strchr(line, '|') == NULL)
            continue; /* a warning between the rows, or behind them: a row that is not read is a node less */
        if (is_cut || !split(line, rows[0].count, &rows[1]) || rows[1].count != rows[0].count) {
            err_set(err, ERR_PROTOCOL, "a line of repmgr's table cannot be read: %.200s", at);
            goto out;
        }
        if (!read_row(&rows[0], &rows[1], ret_cluster, err))
            goto out;
    }
    ok = ret_cluster->count > 0 || err_set(err, ERR_PROTOCOL, "repmgr shows no nodes");
out:
    free(rows);
    return ok;
}

static bool agree(const RepmgrCluster *cluster, long long id, int availability, int recovery, Err *err)
{
    for (int i = 0; i < cluster->count; i++) {
        const RepmgrNode *node = &cluster->nodes[i];
        if (node->id != id)
            continue;
        if (node->is_primary != (availability == 0 && recovery == 0) &&
            (node->is_primary || node->is_standby))
            return err_set(err, ERR_PROTOCOL,
                           "repmgr's two answers contradict each other about node %s: it is changing, or its "
                           "output is of a form not known here",
                           node->name);
        if (!node->is_primary && !node->is_standby && availability == 0 && recovery == 0)
            return err_set(err, ERR_PROTOCOL, "repmgr's two answers contradict each other about node %s",
                           node->name);
        return true;
    }
    return err_set(err, ERR_PROTOCOL, "repmgr --csv shows a node %lld that its table does not", id);
}

bool repmgr_parse_csv(const char *text, const RepmgrCluster *cluster, Err *err)
{
    char line[LINE_LEN];
    int count = 0;

    for (const char *at = text; (at = next_line(at, line)) != NULL;) {
        long long id;
        int availability, recovery, len = 0;
        if (line[0] < '0' || line[0] > '9')
            continue; /* a warning */
        if (sscanf(line, "%lld,%d,%d%n", &id, &availability, &recovery, &len) != 3 || line[len] != '\0')
            return err_set(err, ERR_PROTOCOL,
                           "a line of `repmgr cluster show --csv` is of a form not known here: %.100s", line);
        if (!agree(cluster, id, availability, recovery, err))
            return false;
        count++;
    }
    if (count != cluster->count)
        return err_set(err, ERR_PROTOCOL, "`repmgr cluster show --csv` shows %d nodes, its table %d", count,
                       cluster->count);
    return true;
}
