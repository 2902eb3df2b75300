/*
 * talk.c: what the nodes say to each other: the core's messages, over the links and the board.
 */
#include "keeper/body.h"

#include <access/xlog.h>

#include <string.h>

#include "sys/log.h"
#include "wire/codec.h"

/* The answer of a standby that takes no part, to whatever it is told; any other silence means nothing. */
#define MUTE_STANDBY "standby"

/* ---- Said ---- */

/* To the backend that waits for it, or (token 0) to the node of that index. */
static void say(const Core *core, const Msg *msg, uint32 token, int index)
{
    Buf text = {0};

    codec_encode_msg(msg, &core->persist.doc, core->options.name, &text);
    if (!text.failed && text.data != NULL && token != 0)
        board_answer(token, text.data, text.len);
    else if (!text.failed && text.data != NULL)
        link_send(index, text.data, text.len);
    buf_done(&text);
}

void talk_send(const Core *core, const Effect *effect)
{
    if (orders_leave())
        return; /* nobody is to count on it */
    int index =
        effect->to != MEMBER_NONE ? nodes_find(body_known(), core->persist.doc.member[effect->to].name) : -1;
    say(core, &effect->msg, effect->token, index);
}

void talk_hello(const Core *core, int index)
{
    Msg hello = {.kind = MSG_HELLO,
                 .sender = core->persist.node_uuid,
                 .term = core->persist.term,
                 .inc = core->inc,
                 .seq = core->seq,
                 .doc_id = core->doc_durable,
                 .report = core_report(core)};

    say(core, &hello, 0, index);
}

/* ---- Heard ---- */

static void take(const char *text, size_t len, uint32 token)
{
    static LogLimit refused;
    static Msg msg;
    static Document doc;
    const Core *core = body_core();
    char name[MEMBER_NAME_LEN];
    Err err = {0};

    if (!codec_decode_msg(text, len, &msg, &doc, name, &err)) {
        log_limited(&refused, LOG_LEVEL_WARN, "message_refused", "reason=\"%s\"", err.text);
        return;
    }
    if (core == NULL) {
        alarms_hear(name, &msg.sender, body_identity());
        return;
    }
    byhand_hear(core, body_known(), name, &msg);
    msg.from = document_find(&core->persist.doc, name);
    orders_hear(core, msg.from, &msg);
    bool stranger = msg.from == MEMBER_NONE;
    if (stranger && token == 0)
        return;
    Event event = {.kind = EVENT_MESSAGE,
                   .msg = &msg,
                   .doc = msg.has_doc ? &doc : NULL,
                   .reply_token = stranger && msg.kind != MSG_HELLO ? 0 : token};
    body_step(&event);
}

/* A vote that waits for a freeze keeps its token; everything else is answered by now, if ever. */
void talk_message(const char *text, size_t len, uint32 token)
{
    take(text, len, token);
    const Core *core = body_core();
    bool later =
        core != NULL && (core->fresh.token == token || (core->ballot.token == token && core->ballot.pending));
    bool is_mute = core == NULL && RecoveryInProgress();
    if (!later)
        board_answer(token, MUTE_STANDBY, is_mute ? strlen(MUTE_STANDBY) : 0);
}

void talk_answer(const KeeperNode *node, const char *text, size_t len)
{
    bool is_mute = len == strlen(MUTE_STANDBY) && memcmp(text, MUTE_STANDBY, len) == 0;

    if (body_core() == NULL)
        return;
    if (is_mute && !node->gone)
        byhand_hear_standby();
    else if (!is_mute && len > 0)
        take(text, len, 0);
}
