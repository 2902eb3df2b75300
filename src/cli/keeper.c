/*
 * keeper.c: one question to each node, all of them at once, each with a deadline.
 */
#include "cli/keeper.h"

#include "cli/field.h"
#include "cli/keeper_view.h"
#include "sys/loop.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

#define ASK_TIMEOUT_MS 1500
#define QUESTION       "SELECT pgkeeper.status()"

typedef struct Asking {
    Dsn *dsn;
    ConnParam param[CONN_PARAMS_MAX];
    size_t param_count;
    uv_loop_t loop;
    KeeperAnswer answer[KEEPER_ANSWERS_MAX];
    struct Ask {
        struct Asking *asking;
        Conn *conn;
        KeeperAnswer *answer;
        ConnTarget target;
    } ask[KEEPER_ANSWERS_MAX];
    int count, under_way;
} Asking;

typedef struct Ask Ask;

/* ---- One node ---- */

typedef struct Cure {
    const char *sqlstate; /* or its class */
    const char *text;
} Cure;

/* What the server's own words leave open. */
static const Cure cures[] = {
    {"3F000",
     "; the extension pg_keeper is not in this database: name the one that it is in with dbname= (SHOW "
     "pg_keeper.database tells), or CREATE EXTENSION pg_keeper on the primary; if it was dropped from a cluster, the "
     "line extension_dropped in the server's log says what to do"},
    {"42883", "; the extension is older than this question: ALTER EXTENSION pg_keeper UPDATE on the primary"},
    {"42501", "; GRANT pg_monitor to this role, or name another with user="},
    {"3D000", "; name the database of the extension with dbname="},
    {"28", "; let this user in (pg_hba.conf, password), or name another with user="},
};

/* libpq begins with the place, which everybody is told before this text. */
static const char *without_place(const char *text)
{
    const char *end = strncmp(text, "connection to server ", 21) == 0 ? strstr(text, " failed: ") : NULL;

    return end != NULL ? end + strlen(" failed: ") : text;
}

static void take_error(KeeperAnswer *answer, const ConnReply *reply)
{
    const char *text = without_place(reply->err.text), *end = strstr(text, " LINE 1:");
    const char *cure = "";
    ErrCode code = ERR_NET;

    for (size_t i = 0; i < sizeof cures / sizeof cures[0]; i++)
        if (strncmp(reply->sqlstate, cures[i].sqlstate, strlen(cures[i].sqlstate)) == 0)
            cure = cures[i].text;
    if (reply->needs_password)
        cure = "; give a password in PGPASSWORD or ~/.pgpass";
    /* 57P03 passes, and so does whatever no SQLSTATE is told of. */
    if (cure[0] != '\0' || strcmp(reply->sqlstate, "55000") == 0)
        code = ERR_CONFIG;
    /* What the question was is no news to anybody. */
    int len = end != NULL ? (int) (end - text) : (int) strlen(text);
    if (reply->err.code == ERR_TIMEOUT)
        err_set(&answer->err, code, "no answer within %d ms", ASK_TIMEOUT_MS);
    else
        err_set(&answer->err, code, "%.*s%s", len < 200 ? len : 200, text, cure);
}

static void end(Ask *ask)
{
    conn_close(ask->conn);
    ask->asking->under_way--;
}

static void on_told(void *arg, const ConnReply *reply)
{
    Ask *ask = arg;

    if (reply->ok) {
        const char *text = conn_value(reply->result, 0);
        ask->answer->view = json_parse(text, strlen(text), &ask->answer->err);
    } else {
        take_error(ask->answer, reply);
    }
    end(ask);
}

static void on_connected(void *arg, const ConnReply *reply)
{
    Ask *ask = arg;

    if (reply->ok) {
        conn_query(ask->conn, QUESTION, ASK_TIMEOUT_MS, on_told, ask);
        return;
    }
    take_error(ask->answer, reply);
    end(ask);
}

/* The next answer's place; target says where, name who should be there ("": whoever is). */
static void begin(Asking *asking, const char *name, const char *place, ConnTarget target)
{
    if (asking->count >= KEEPER_ANSWERS_MAX)
        return;
    KeeperAnswer *answer = &asking->answer[asking->count];
    Ask *ask = &asking->ask[asking->count++];
    const char *database = getenv("PGDATABASE");

    str_copy(answer->name, sizeof answer->name, name);
    str_copy(answer->place, sizeof answer->place, place);
    target.params = asking->param;
    target.param_count = asking->param_count;
    /* Where the extension is, unless somebody said otherwise; libpq would take the user's name. */
    target.database = database == NULL || database[0] == '\0' ? "postgres" : NULL;
    *ask = (Ask){.asking = asking, .conn = conn_new(&asking->loop), .answer = answer, .target = target};
    asking->under_way++;
    conn_connect(ask->conn, &target, ASK_TIMEOUT_MS, on_connected, ask);
}

static void wait_for_all(Asking *asking)
{
    while (asking->under_way > 0)
        uv_run(&asking->loop, UV_RUN_ONCE);
}

/* ---- All of them ---- */

/* Standbys are asked, too, whatever an application's string asks for, and JSON is UTF-8. */
static void take_params(Asking *asking)
{
    ConnTarget target = dsn_target(asking->dsn, 0);

    for (size_t i = 0; i < target.param_count; i++)
        if (strcmp(target.params[i].keyword, "target_session_attrs") != 0 &&
            strcmp(target.params[i].keyword, "client_encoding") != 0 &&
            asking->param_count + 1 < CONN_PARAMS_MAX)
            asking->param[asking->param_count++] = target.params[i];
    asking->param[asking->param_count++] = (ConnParam){"client_encoding", "UTF8"};
}

static void ask_hosts(Asking *asking)
{
    for (int host = 0; host < dsn_hosts(asking->dsn); host++) {
        char place[CONN_HOST_LEN + 16];
        dsn_host_name(asking->dsn, host, place, sizeof place);
        begin(asking, "", place, dsn_target(asking->dsn, host));
    }
    wait_for_all(asking);
}

static bool has_answered(const Asking *asking, const char *name)
{
    for (int i = 0; i < asking->count; i++)
        if (asking->answer[i].view != NULL &&
            strcmp(field_text(asking->answer[i].view, "member", ""), name) == 0)
            return true;
    return false;
}

static uint16_t default_port(void)
{
    PQconninfoOption *options = PQconndefaults();
    long port = 0;

    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
        if (strcmp(option->keyword, "port") == 0 && option->val != NULL)
            port = strtol(option->val, NULL, 10);
    PQconninfoFree(options);
    return (uint16_t) port;
}

/* One of the hosts is that node's, and gave no answer: it is known now whose it is, and not asked again. */
static bool was_asked(Asking *asking, const char *name, const char *host, int port)
{
    for (int i = 0; i < asking->count; i++) {
        const ConnTarget *target = &asking->ask[i].target;
        const char *at = target->hostaddr != NULL ? target->hostaddr : target->host;
        int at_port = target->port != 0 ? target->port : default_port();
        if (asking->answer[i].view != NULL || at == NULL || strcmp(at, host) != 0 || at_port != port)
            continue;
        str_copy(asking->answer[i].name, sizeof asking->answer[i].name, name);
        return true;
    }
    return false;
}

/* Those that the view names and that were not among the hosts. */
static void ask_nodes(Asking *asking, const json_t *view)
{
    const json_t *members = json_object_get(view, "members");

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *name = field_text(member, "name", ""), *host = field_text(member, "host", "");
        int64_t port = field_number(member, "port", 0);
        char place[CONN_HOST_LEN + 16];
        if (host[0] == '\0' || port <= 0 || port > UINT16_MAX || has_answered(asking, name) ||
            was_asked(asking, name, host, (int) port))
            continue;
        snprintf(place, sizeof place, "%.200s:%d", host, (int) port);
        begin(asking, name, place, (ConnTarget){.host = host, .port = (uint16_t) port});
    }
    wait_for_all(asking);
}

static void tell_error(const KeeperAnswer *answer, Err *err)
{
    *err = answer->err;
    err_context(err, "%s", answer->place);
}

/* What can be cured is told before who is only silent. */
static void explain_silence(const Asking *asking, Err *err)
{
    int best = 0;

    for (int i = asking->count - 1; i >= 0; i--)
        if (asking->answer[i].err.code == ERR_CONFIG || asking->answer[best].err.code != ERR_CONFIG)
            best = i;
    tell_error(&asking->answer[best], err);
}

/* The answer of that node; -1 with err: it gave none, or there is no such node. */
static int find_answer(const Asking *asking, const char *member, Err *err)
{
    Buf names = {0};

    for (int i = 0; i < asking->count; i++) {
        const KeeperAnswer *answer = &asking->answer[i];
        if (answer->view != NULL && strcmp(field_text(answer->view, "member", ""), member) == 0)
            return i;
        if (answer->view == NULL && strcmp(answer->name, member) == 0) {
            tell_error(answer, err);
            return -1;
        }
        if (answer->view != NULL)
            buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", field_text(answer->view, "member", "?"));
    }
    err_set(err, ERR_CONFIG, "there is no node \"%.60s\"; those that answered: %s", member,
            names.data != NULL ? names.data : "-");
    buf_done(&names);
    return -1;
}

static json_t *ask(Asking *asking, const char *member, Err *err)
{
    take_params(asking);
    ask_hosts(asking);
    int chosen = keeper_view_choose(asking->answer, asking->count);
    if (chosen < 0) {
        explain_silence(asking, err);
        return NULL;
    }
    ask_nodes(asking, asking->answer[chosen].view);
    chosen =
        member != NULL ? find_answer(asking, member, err) : keeper_view_choose(asking->answer, asking->count);
    return chosen >= 0 ? keeper_view_make(asking->answer, asking->count, chosen) : NULL;
}

json_t *keeper_ask(const char *dsn, const char *member, Err *err)
{
    Asking *asking = calloc(1, sizeof *asking);
    json_t *view = NULL;

    if (asking == NULL || uv_loop_init(&asking->loop) != 0) {
        free(asking);
        err_set(err, ERR_IO, "no memory, or no file descriptors, to ask anybody");
        return NULL;
    }
    asking->dsn = dsn_parse(dsn, err);
    if (asking->dsn != NULL)
        view = ask(asking, member, err);
    for (int i = 0; i < asking->count; i++) {
        conn_free(asking->ask[i].conn);
        json_decref(asking->answer[i].view);
    }
    loop_end(&asking->loop);
    dsn_free(asking->dsn);
    free(asking);
    return view;
}
