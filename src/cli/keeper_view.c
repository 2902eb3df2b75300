/*
 * keeper_view.c: see keeper_view.h.
 */
#include "cli/keeper_view.h"

#include "cli/field.h"

#include <inttypes.h>
#include <string.h>

static bool has_lease(const json_t *view)
{
    return field_true(json_object_get(view, "lease"), "held");
}

/* A lease before a majority, a majority before none; the newest of them. */
static bool is_better(const json_t *view, const json_t *other)
{
    bool lease = has_lease(view), other_lease = has_lease(other);
    bool quorum = field_true(view, "quorum"), other_quorum = field_true(other, "quorum");

    if (lease != other_lease)
        return lease;
    if (quorum != other_quorum)
        return quorum;
    int64_t epoch = field_number(view, "epoch", 0), other_epoch = field_number(other, "epoch", 0);
    return epoch != other_epoch ? epoch > other_epoch
                                : field_number(view, "term", 0) > field_number(other, "term", 0);
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
    const char *own = field_text(view, "system_identifier", NULL);
    const char *other = field_text(answer->view, "system_identifier", own);

    if (answer->name[0] != '\0' && strcmp(answer->name, member_of(answer->view)) != 0)
        return err_set(err, ERR_CONFIG, "%s: %s answers there", answer->place, member_of(answer->view)), true;
    if (own != NULL && strcmp(own, other) != 0)
        return err_set(err, ERR_CONFIG, "%s: a node of another cluster answers there", answer->place), true;
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

/* The primary itself knows best whether it has the lease: what others believe of it is of a moment ago. */
static void ask_primary(json_t *view, const json_t *said)
{
    json_t *members = json_object_get(view, "members");
    json_t *row = json_array_get(members, row_at(members, member_of(said)));
    const json_t *own = field_member(said, member_of(said));
    char text[200];

    if (strcmp(field_text(view, "primary", ""), member_of(said)) != 0 || has_lease(view) ||
        strcmp(field_text(own, "state", ""), "closed") != 0)
        return;
    json_object_set_new(view, "quorum", json_false());
    json_object_set(row, "state", json_object_get(own, "state"));
    snprintf(text, sizeof text, "%.63s has no lease: it takes no commits", member_of(said));
    add_alarm(view, text);
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

static void add_not_asked(json_t *view, const char *name, const char *reason)
{
    json_array_append_new(json_object_get(view, "not_asked"),
                          json_pack("{s:s, s:s}", "name", name, "reason", reason));
}

static bool was_taken(const KeeperAnswer *answers, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (answers[i].view != NULL && strcmp(member_of(answers[i].view), name) == 0)
            return true;
    return false;
}

json_t *keeper_view_make(const KeeperAnswer *answers, int count, int chosen)
{
    json_t *view = json_deep_copy(answers[chosen].view);

    json_object_set_new(view, "not_asked", json_array());
    if (!json_is_array(json_object_get(view, "alarms")))
        json_object_set_new(view, "alarms", json_array());
    for (int i = 0; i < count; i++) {
        const KeeperAnswer *answer = &answers[i];
        const char *name = answer->name[0] != '\0' ? answer->name : answer->place;
        Err err = answer->err;
        if (answer->view == NULL || is_foreign(answer, view, &err)) {
            add_not_asked(view, name, err.text);
        } else if (i != chosen && strcmp(member_of(answer->view), member_of(view)) != 0 &&
                   !was_taken(answers, i, member_of(answer->view))) {
            take_row(view, answer->view);
            ask_primary(view, answer->view);
            compare(view, answer->view);
        }
    }
    return view;
}

void keeper_view_render_rest(const json_t *view, const ShowStyle *style, Buf *out)
{
    const json_t *rows = json_object_get(view, "not_asked");

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        buf_puts(out, "Not asked from here: ");
        show_text(out, style, TONE_BOLD, field_text(row, "name", "?"));
        buf_puts(out, ": ");
        show_text(out, style, TONE_WARN, field_text(row, "reason", "?"));
        buf_puts(out, "\n");
    }
}
