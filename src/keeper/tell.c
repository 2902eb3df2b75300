/*
 * tell.c: what the core says, in the server's log, with the cures that there are here.
 */
#include "keeper/body.h"

#include <stdio.h>
#include <string.h>

#include "sys/log.h"

/* The core names the agent's commands. */
static const struct {
    const char *there, *here;
} words[] = {
    {"pgvigil member add", "pgkeeper.add_node"},
    {"pgvigil member remove", "pgkeeper.del_node"},
    {"pgvigil status", "pgkeeper.node_info"},
};

void tell_log(LogLevel level, const char *event, const char *text)
{
    char said[2 * CORE_TEXT_LEN];
    size_t len = 0;

    while (*text != '\0' && len < sizeof said - 1) {
        size_t i = 0;
        while (i < lengthof(words) && strncmp(text, words[i].there, strlen(words[i].there)) != 0)
            i++;
        if (i == lengthof(words)) {
            said[len++] = *text++;
            continue;
        }
        text += strlen(words[i].there);
        int added = snprintf(said + len, sizeof said - len, "%s", words[i].here);
        len = Min(len + (size_t) added, sizeof said - 1);
    }
    said[len] = '\0';
    log_line(level, event, "%s", said);
}

void tell_history(const Core *core, const Effect *effect)
{
    const Document *doc = &core->persist.doc;
    const History *history = &effect->history;

    log_line(LOG_LEVEL_INFO, "history", "kind=%s member=%s epoch=%u reason=\"%s\"",
             history_name(history->kind),
             history->member != MEMBER_NONE ? doc->member[history->member].name : "-",
             (unsigned) history->epoch, effect->text);
}
