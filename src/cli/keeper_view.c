/*
 * keeper_view.c: see keeper_view.h.
 */
#include "cli/keeper_view.h"

#include "cli/field.h"
#include "cli/status.h"

#include <inttypes.h>
#include <string.h>

#define TOLD_EVERY_MS 1000 /* the leader tells the others what it hears of each other so often */

static bool has_lease(const json_t *view)
{
    return field_true(json_object_get(view, "lease"), "held");
}

/* A lease before a majority, a majority before none; the newest of them; who leads, and hears all others. */
static bool is_better(const json_t *view, const json_t *other)
{
    bool lease = has_lease(view), other_lease = has_lease(other);
    bool quorum = field_true(view, "quorum"), other_quorum = field_true(other, "quorum");

    if (lease != other_lease)
        return lease;
    if (quorum != other_quorum)
        return quorum;
    int64_t epoch = field_number(view, "epoch", 0), other_epoch = field_number(other, "epoch", 0);
    int64_t term = field_number(view, "term", 0), other_term = field_number(other, "term", 0);
    if (epoch != other_epoch)
        return epoch > other_epoch;
    return term != other_term ? term > other_term : status_knows_lease(view) && !status_knows_lease(other);
}

int keeper_view_choose(const KeeperAnswer *answers, int count)
{
    int best = -1;

    for (int i = 0; i < count; i++)
        if (answers[i].view != NULL && (best < 0 || is_better(answers[i].view, answers[best].view)))
            best = i;
    return best;
}

static const char *member_of(const json_t *view)
{
    return field_text(view, "member", "?");
}

/* Whether this answer is none of the node that was asked for; err says whose it is. */
static bool is_foreign(const KeeperAnswer *answer, const json_t *view, Err *err)
{
    const char *own = field_text(view, "system_identifier", ""),
               *other = field_text(answer->view, "system_identifier", "");
    bool known = own[0] != '\0' && other[0] != '\0' && strcmp(own, "0") != 0 && strcmp(other, "0") != 0;

    if (answer->name[0] != '\0' && strcmp(answer->name, member_of(answer->view)) != 0)
        return err_set(err, ERR_CONFIG, "%s answers there", member_of(answer->view)), true;
    if (known && strcmp(own, other) != 0)
        return err_set(err, ERR_CONFIG, "a node of another cluster answers there"), true;
    return false;
}

/* The index of a node's row; as many as there are: it has none. */
static size_t row_at(const json_t *members, const char *name)
{
    size_t i = 0;

    while (i < json_array_size(members) &&
           strcmp(field_text(json_array_get(members, i), "name", ""), name) != 0)
        i++;
    return i;
}

/*
 * A node that is not heard is shown by its own words. That its vote is not heard stays: only who has none is
 * reached when it was reached from here.
 */
static void take_row(json_t *view, const json_t *said)
{
    json_t *members = json_object_get(view, "members");
    size_t at = row_at(members, member_of(said));
    const json_t *row = json_array_get(members, at), *own = field_member(said, member_of(said));

    if (row == NULL || own == NULL || field_true(row, "reachable"))
        return;
    json_t *copy = json_deep_copy(own);
    json_object_set_new(copy, "self", json_false());
    json_object_set_new(copy, "reachable", json_boolean(!field_true(row, "voter")));
    json_object_set(copy, "voter", json_object_get(row, "voter"));
    json_object_set_new(copy, "leader", json_false());
    json_object_set(copy, "last_seen_ms", json_object_get(row, "last_seen_ms"));
    json_array_set_new(members, at, copy);
}

static void add_alarm(json_t *view, const char *text)
{
    json_t *alarms = json_object_get(view, "alarms");

    for (size_t i = 0; i < json_array_size(alarms); i++) {
        const char *known = json_string_value(json_array_get(alarms, i));
        if (known != NULL && text != NULL && strcmp(known, text) == 0)
            return;
    }
    if (text != NULL)
        json_array_append_new(alarms, json_string(text));
}

/* Who is the primary is what nodes must agree on. */
static void compare(json_t *view, const json_t *said)
{
    const char *primary = field_text(view, "primary", NULL), *other = field_text(said, "primary", NULL);
    const json_t *alarms = json_object_get(said, "alarms");
    char text[300];

    for (size_t i = 0; i < json_array_size(alarms); i++)
        add_alarm(view, json_string_value(json_array_get(alarms, i)));
    if (primary == NULL || other == NULL || strcmp(primary, other) == 0)
        return;
    snprintf(text, sizeof text, "%.63s takes %.63s for the primary%s, by epoch %" PRId64, member_of(said),
             strcmp(other, member_of(said)) == 0 ? "itself" : other, has_lease(said) ? " with a lease" : "",
             field_number(said, "epoch", 0));
    add_alarm(view, text);
}

static void add_not_asked(json_t *view, const KeeperAnswer *answer, const char *reason)
{
    const char *name = answer->name[0] != '\0' ? answer->name : answer->place;

    json_t *text = json_string(reason); /* who refuses a connection speaks its own encoding */

    json_array_append_new(
        json_object_get(view, "not_asked"),
        json_pack("{s:s, s:s, s:o}", "name", name, "place", answer->place, "reason",
                  text != NULL ? text : json_string("it refuses, in words that are not UTF-8")));
}

/* What that node says itself: the view's own, or one of the first count answers; NULL: nothing. */
static const json_t *own_word(const KeeperAnswer *answers, int count, const json_t *view, const char *name)
{
    Err err = {0};

    if (strcmp(member_of(view), name) == 0)
        return view;
    for (int i = 0; i < count; i++)
        if (answers[i].view != NULL && strcmp(member_of(answers[i].view), name) == 0 &&
            !is_foreign(&answers[i], view, &err))
            return answers[i].view;
    return NULL;
}

/* ---- What is not known ---- */

/* The primary was not asked. */
static void add_unknown_lease(json_t *view, const char *primary)
{
    const json_t *rows = json_object_get(view, "not_asked");
    const char *place = "", *reason = "it is not known where it is";
    char text[1024];

    for (size_t i = 0; i < json_array_size(rows); i++)
        if (strcmp(field_text(json_array_get(rows, i), "name", ""), primary) == 0) {
            place = field_text(json_array_get(rows, i), "place", "");
            reason = field_text(json_array_get(rows, i), "reason", "");
        }
    snprintf(text, sizeof text, "%.63s was not asked: whether it has the lease is not known; %s%s%s", primary,
             place, place[0] != '\0' ? ": " : "", reason);
    add_alarm(view, text);
}

/* Only the primary itself knows whether it has the lease: what others say of it is of a moment ago. */
static void judge_primary(json_t *view, const KeeperAnswer *answers, int count)
{
    const char *primary = field_text(view, "primary", NULL);
    const json_t *said = primary != NULL ? own_word(answers, count, view, primary) : NULL;
    json_t *members = json_object_get(view, "members");
    char text[200];

    if (primary == NULL || (said != NULL && has_lease(said)))
        return;
    const char *state = field_text(field_member(said, primary), "state", "unknown");
    bool closed = strcmp(state, "closed") == 0;
    json_object_set_new(json_array_get(members, row_at(members, primary)), "state", json_string(state));
    if (said == NULL) {
        add_unknown_lease(view, primary);
        return;
    }
    json_object_set_new(view, "quorum", json_false());
    snprintf(text, sizeof text, "%.63s has no lease%s", primary, closed ? ": it takes no commits" : "");
    add_alarm(view, text);
}

/* How old what the node that was asked has heard may be: only with the leader all talk all the time. */
static int64_t heard_limit_ms(const json_t *view, const json_t *row)
{
    bool direct = field_true(field_member(view, member_of(view)), "leader") || field_true(row, "leader");

    return 2 * field_number(json_object_get(view, "lease"), "ms", 0) / 5 + (direct ? 0 : TOLD_EVERY_MS);
}

/* Who was not asked, and was not heard a moment ago either, may be gone. */
static void judge_unheard(json_t *view, const KeeperAnswer *answers, int count)
{
    const json_t *members = json_object_get(view, "members");

    for (size_t i = 0; i < json_array_size(members); i++) {
        json_t *row = json_array_get(members, i);
        if (field_true(row, "self") || !field_true(row, "reachable") ||
            own_word(answers, count, view, field_text(row, "name", "")) != NULL ||
            field_number(row, "last_seen_ms", 0) <= heard_limit_ms(view, row))
            continue;
        json_object_set_new(row, "reachable", json_false());
        json_object_set_new(row, "state", json_string("unknown"));
        json_object_set_new(row, "streaming", json_false());
    }
}

json_t *keeper_view_make(const KeeperAnswer *answers, int count, int chosen)
{
    json_t *view = json_deep_copy(answers[chosen].view);

    json_object_set_new(view, "not_asked", json_array());
    if (!json_is_array(json_object_get(view, "alarms")))
        json_object_set_new(view, "alarms", json_array());
    for (int i = 0; i < count; i++) {
        const KeeperAnswer *answer = &answers[i];
        Err err = answer->err;
        if (answer->view == NULL || is_foreign(answer, view, &err)) {
            add_not_asked(view, answer, err.text);
        } else if (i != chosen && own_word(answers, i, view, member_of(answer->view)) == NULL) {
            take_row(view, answer->view);
            compare(view, answer->view);
        }
    }
    judge_unheard(view, answers, count);
    judge_primary(view, answers, count);
    return view;
}

void keeper_view_render_rest(const json_t *view, const ShowStyle *style, Buf *out)
{
    const json_t *rows = json_object_get(view, "not_asked");
    const char *primary = field_text(view, "primary", "");

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = field_text(row, "name", "?"), *place = field_text(row, "place", name);
        if (strcmp(name, primary) == 0)
            continue;
        buf_puts(out, "Not asked from here: ");
        show_text(out, style, TONE_BOLD, name);
        if (strcmp(name, place) != 0) {
            buf_puts(out, " (");
            show_text(out, style, TONE_PLAIN, place);
            buf_puts(out, ")");
        }
        buf_puts(out, ": ");
        show_text(out, style, TONE_WARN, field_text(row, "reason", "?"));
        buf_puts(out, "\n");
    }
}
