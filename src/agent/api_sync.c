/*
 * api_sync.c: the synchronous mode as /v1/cluster tells it: whom commits wait for, and what is not as wanted.
 */
#include "agent/internal.h"

#include "wire/json.h"

#include <stdio.h>

static bool is_in(MemberSet set, MemberNo no)
{
    return no >= 0 && (set >> no & 1) != 0;
}

/* The leader alone knows: waited for, and streaming at this moment. Others go by the document. */
static bool is_in_sync(const Core *core, MemberNo no)
{
    const Document *doc = &core->persist.doc;

    if (!is_in(doc->sync_set, no) || no == doc->primary)
        return false;
    return core->role != ROLE_LEADER || (is_in(core->sync_good, no) && core->pg.confirmed[no] != LSN_NONE);
}

static int in_sync(const Core *core)
{
    int count = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        count += is_in_sync(core, no);
    return count;
}

static const Observation *primary_of(const Core *core)
{
    MemberNo no = core->persist.doc.primary;

    return no == MEMBER_NONE ? NULL : no == core->self ? &core->pg : &core->peer[no].report.pg;
}

const char *api_sync_of(const Core *core, MemberNo no)
{
    const Document *doc = &core->persist.doc;

    if (!doc->synchronous || no == doc->primary || !is_in(doc->sync_set, no))
        return NULL;
    return is_in_sync(core, no) ? "sync" : "late";
}

/* What is wrong, or ""; the text goes on after "synchronous mode: ". */
static void describe_trouble(const Core *core, char *ret_text, size_t size)
{
    const Document *doc = &core->persist.doc;
    int have = in_sync(core), wanted = core->options.sync_k;
    bool strict = core->options.sync_mode == SYNC_STRICT;

    ret_text[0] = '\0';
    if (core->options.sync_mode == SYNC_OFF || !doc->synchronous || core->leader == MEMBER_NONE)
        return;
    if (have >= wanted && doc->sync_needed >= wanted)
        return;
    if (strict)
        snprintf(ret_text, size, "strict: %d standbys are in sync and %d are needed, so commits wait", have,
                 wanted);
    else if (doc->sync_needed == 0)
        snprintf(ret_text, size, "degraded: no standby is waited for, so only %s can be the primary",
                 doc->primary != MEMBER_NONE ? doc->member[doc->primary].name : "nobody");
    else if (doc->sync_needed < wanted)
        snprintf(ret_text, size, "degraded: commits wait for %u of the %d standbys they should wait for",
                 doc->sync_needed, wanted);
    else
        snprintf(ret_text, size, "degraded: in sync are %d of the %d standbys that commits wait for", have,
                 wanted);
}

void api_sync_add(const Agent *agent, Buf *out)
{
    static const char *const modes[] = {"off", "on", "strict"};
    const Core *core = &agent->core;
    const Document *doc = &core->persist.doc;
    const Observation *primary = primary_of(core);
    char text[160];

    describe_trouble(core, text, sizeof text);
    json_add_open(out, "sync", '{');
    json_add_text(out, "mode", modes[core->options.sync_mode]);
    json_add_bool(out, "synchronous", doc->synchronous);
    json_add_number(out, "wanted", core->options.sync_mode != SYNC_OFF ? core->options.sync_k : 0);
    json_add_number(out, "needed", doc->sync_needed);
    json_add_number(out, "in_sync", doc->synchronous ? in_sync(core) : 0);
    json_add_open(out, "members", '[');
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->synchronous && no != doc->primary && is_in(doc->sync_set, no))
            json_add_text(out, NULL, doc->member[no].name);
    json_add_close(out, ']');
    json_add_bool(out, "steady",
                  core->role == ROLE_LEADER && core->doc_in_force && core->sync_evaluated &&
                      core->sync_step.kind == SYNC_STEADY);
    json_add_bool(out, "extension", primary != NULL && primary->fenced);
    json_add_text(out, "trouble", text[0] != '\0' ? text : NULL);
    json_add_close(out, '}');
}

void api_sync_alarm(const Agent *agent, Alarms *alarms)
{
    char trouble[160];

    describe_trouble(&agent->core, trouble, sizeof trouble);
    if (trouble[0] != '\0')
        alarms_add(alarms, NOTIFY_EVENT_synchronous, MEMBER_NONE, "synchronous mode %s", trouble);
}
