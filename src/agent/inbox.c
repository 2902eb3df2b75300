/*
 * inbox.c: what comes from other members and from operators, decoded and enqueued.
 *
 * Everything that arrives here is authentic; what is malformed all the same is logged once a minute and
 * answered with 400.
 */
#include "agent/internal.h"

#include "base/str.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "wire/codec.h"
#include "wire/json.h"

#include <string.h>

static bool take_message(Agent *agent, const char *from, const char *body, size_t len, uint32_t token)
{
    static LogLimit limit;
    char name[MEMBER_NAME_LEN];
    Err err = {0};
    Queued *queued = agent_enqueue(agent, EVENT_MESSAGE);

    if (queued == NULL)
        return false;
    Msg *msg = &queued->data.message.msg;
    if (!codec_decode_msg(body, len, msg, &queued->data.message.doc, name, &err)) {
        log_limited(&limit, LOG_LEVEL_WARN, "message_refused", "from=%s reason=\"%s\"",
                    from != NULL ? from : "?", err.text);
        agent->queue_len--;
        return false;
    }
    msg->from = document_find(&agent->core.persist.doc, name);
    /* The name inside must be the one that signed; and only a question has a stranger's name for us. */
    bool stranger = msg->from == MEMBER_NONE;
    if (from != NULL ? strcmp(from, name) != 0 : stranger) {
        log_limited(&limit, LOG_LEVEL_WARN, "message_refused", "from=%s reason=\"%s is no member\"",
                    from != NULL ? from : "?", name);
        agent->queue_len--;
        return false;
    }
    /* A member's name in the file, and none in the document: a HELLO is answered with that. */
    bool answered = !stranger || msg->kind == MSG_HELLO;
    queued->event.msg = msg;
    queued->event.doc = msg->has_doc ? &queued->data.message.doc : NULL;
    queued->event.reply_token = answered ? token : 0;
    agent_turn(agent);
    return answered;
}

void inbox_on_message(void *arg, const char *from, const char *body, size_t len, uint32_t token)
{
    Agent *agent = arg;

    if (!take_message(agent, from, body, len, token))
        peer_reply(agent->peers, token, 400, "", 0);
}

void inbox_on_answer(void *arg, bool ok, const char *body, size_t len)
{
    if (ok && len > 0)
        take_message(arg, NULL, body, len, 0);
}

/* ---- Commands ---- */

static void reply_command(Agent *agent, uint32_t token, uint32_t id, const char *state, const char *text)
{
    Buf out = {0};

    json_add_open(&out, NULL, '{');
    json_add_number(&out, "id", id);
    json_add_text(&out, "state", state);
    json_add_text(&out, "text", text);
    json_add_close(&out, '}');
    peer_reply(agent->peers, token, 200, out.data != NULL ? out.data : "", out.len);
    buf_done(&out);
}

static CommandKind parse_verb(const char *verb)
{
    for (int kind = 1; kind < COMMAND_KINDS; kind++)
        if (strcmp(command_name((CommandKind) kind), verb) == 0)
            return (CommandKind) kind;
    return COMMAND_KINDS;
}

/* Where a new member is, and what, the configuration says: the others have to know it by then, too. */
static bool parse_member(const Agent *agent, const char *name, Command *ret, Err *err)
{
    const Config *config = agent->config;
    int index = config_find_member(config, name);

    if (!codec_is_name(name))
        return err_set(err, ERR_REFUSED, "\"%s\" is no name of a member", name);
    str_copy(ret->name, sizeof ret->name, name);
    ret->target = document_find(&agent->core.persist.doc, name);
    if (index >= 0)
        ret->member_kind = config->member[index].role == MEMBER_ROLE_DATA ? MEMBER_DATA : MEMBER_WITNESS;
    return index >= 0 || ret->kind == COMMAND_MEMBER_REMOVE ||
           err_set(
               err, ERR_REFUSED,
               "the configuration file of %s does not name %s: add its line to [members], copy the file to all "
               "members, and pgvigil reload",
               config_self(config)->name, name);
}

static bool parse_command(Agent *agent, const char *body, size_t len, Command *ret, Err *err)
{
    char verb[32] = "", target[MEMBER_NAME_LEN] = "";
    int64_t pause_for_ms = 0;
    json_t *object = json_parse(body, len, err);
    bool ok = object != NULL && json_get_text(object, "verb", verb, sizeof verb, err) &&
              json_get_text(object, "target", target, sizeof target, err) &&
              json_get_text(object, "reason", ret->reason, sizeof ret->reason, err) &&
              json_get_bool(object, "accept_loss", &ret->accept_loss, err) &&
              json_get_number(object, "pause_for_ms", 0, INT32_MAX * (int64_t) 1000, &pause_for_ms, err);

    json_decref(object);
    if (!ok)
        return false;
    /* It is shown in quotes. */
    for (char *quote = ret->reason; (quote = strpbrk(quote, "\"\n")) != NULL;)
        *quote = '\'';
    ret->kind = parse_verb(verb);
    if (ret->kind == COMMAND_KINDS)
        return err_set(err, ERR_PROTOCOL, "there is no verb %s here; is this member's pgvigil an older one?",
                       verb);
    if (ret->kind == COMMAND_MEMBER_ADD || ret->kind == COMMAND_MEMBER_REMOVE)
        return parse_member(agent, target, ret, err);
    ret->target = target[0] != '\0' ? document_find(&agent->core.persist.doc, target) : MEMBER_NONE;
    if (target[0] != '\0' && ret->target == MEMBER_NONE)
        return err_set(err, ERR_REFUSED, "there is no member %s in this cluster", target);
    if (pause_for_ms > 0)
        ret->pause_until_us = clock_now().wall_us + pause_for_ms * US_PER_MS;
    return true;
}

void inbox_on_command(void *arg, const char *body, size_t len, uint32_t token)
{
    Agent *agent = arg;
    Command command = {.target = MEMBER_NONE};
    Err err = {0};

    if (!parse_command(agent, body, len, &command, &err)) {
        reply_command(agent, token, 0, "refused", err.text);
        return;
    }
    if (command.kind == COMMAND_RELOAD && !agent_reload(agent, &err)) {
        reply_command(agent, token, 0, "refused", err.text);
        return;
    }
    command.token = ++agent->op_next;
    Queued *queued = agent_enqueue(agent, EVENT_COMMAND);
    if (queued == NULL) {
        reply_command(agent, token, 0, "refused", "the agent is too busy; try again");
        return;
    }
    agent->asked[command.token % OPERATIONS_TOLD].id = command.token;
    agent->asked[command.token % OPERATIONS_TOLD].token = token;
    queued->data.command = command;
    queued->event.command = &queued->data.command;
    agent_turn(agent);
}

void inbox_answer(Agent *agent, uint32_t id, AnswerState state, const char *text)
{
    static const char *const words[] = {"started", "done", "refused"};

    if (agent->asked[id % OPERATIONS_TOLD].id != id)
        return;
    reply_command(agent, agent->asked[id % OPERATIONS_TOLD].token, id, words[state], text);
    agent->asked[id % OPERATIONS_TOLD].id = 0;
}
