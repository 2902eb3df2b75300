/*
 * tell.c: what the core says, in the server's log, with the cures that there are here.
 */
#include "keeper/body.h"

#include <stdio.h>
#include <string.h>

#include "sys/log.h"

/* The core names the agent's commands, and has ids for nodes. Where one begins as another, the longer first.
 */
static const struct {
    const char *there, *here;
} words[] = {
    {"pgvigil switchover", "pgkeeper.switchover"},
    {"; on any member: pgvigil member add",
     ", until the primary takes it in (of two nodes that takes pg_keeper.prefer = standby): pgkeeper.node_info shows"},
    {"pgvigil member add lets it in", "pgkeeper.node_info shows whom it names"},
    {"pgvigil member add", "pgkeeper.add_node"},
    {"pgvigil status", "pgkeeper.node_info"},
    {"pgvigil explain --member", "the log tells why on"},
    {"is pgvigil started there", "does its server run, with pg_keeper"},
    {": stop pgvigil there, take its line out of [members] everywhere, and pgvigil reload", ""},
    {"empty its data directory to have it cloned, or correct [members]",
     "replace its data directory by a copy of the primary's (pg_basebackup)"},
    {"another machine runs as", "another server has the same pg_keeper.node_name,"},
    {", or with a copy of its state directory: give each its own", ": " TELL_TWIN_CURE},
    {"two machines run as", "two servers have pg_keeper.node_name ="},
    {"the document does not know is refused", "came later is refused: " TELL_TWIN_CURE},
    {"from a copy of its state directory, and is refused",
     "from a copy of its data directory, and is refused: " TELL_TWIN_CURE},
    {"an agent of cluster", "a worker of node"},
    {"runs with that state_directory; pgvigil status asks it, and another takes its place only when it has "
     "ended. If it is another member on this machine, give each a state_directory of its own",
     "has it still, perhaps one that hangs: it has to end first"},
    {"ask its agent", "ask there"},
    {"its agent", "its worker"},
    {"the agent", "the worker"},
    {"agents that", "workers that"},
};

static bool skip(const char **text, const char *word)
{
    size_t len = strlen(word);
    bool found = strncmp(*text, word, len) == 0;

    *text += found ? len : 0;
    return found;
}

/* The word for what *text begins with, which is passed over; NULL: it stays as it is. */
static const char *translate(const char **text)
{
    const KeeperNodes *nodes = body_known();

    for (size_t i = 0; i < lengthof(words); i++)
        if (skip(text, words[i].there))
            return words[i].here;
    for (int i = 0; i < nodes->count; i++)
        if (strcmp(nodes->node[i].id, nodes->node[i].name) != 0 && skip(text, nodes->node[i].id))
            return nodes->node[i].name;
    return NULL;
}

const char *tell_words(const char *text)
{
    static char said[2 * CORE_TEXT_LEN];
    size_t len = 0;

    while (*text != '\0' && len < sizeof said - 1) {
        const char *here = translate(&text);
        if (here == NULL) {
            said[len++] = *text++;
            continue;
        }
        int added = snprintf(said + len, sizeof said - len, "%s", here);
        len = Min(len + (size_t) added, sizeof said - 1);
    }
    said[len] = '\0';
    return said;
}

void tell_log(LogLevel level, const char *event, const char *text)
{
    log_line(level, event, "%s", tell_words(text));
}

void tell_history(const Core *core, const Effect *effect)
{
    const Document *doc = &core->persist.doc;
    const History *history = &effect->history;
    char line[2 * CORE_TEXT_LEN];

    snprintf(line, sizeof line, "kind=%s member=%s epoch=%u reason=\"%s\"", history_name(history->kind),
             history->member != MEMBER_NONE ? doc->member[history->member].name : "-",
             (unsigned) history->epoch, effect->text);
    tell_log(LOG_LEVEL_INFO, "history", line);
}
