/*
 * codec_document.c: the document, with its history and its members.
 */
#include "wire/codec.h"
#include "wire/codec_table.h"

#include <string.h>

static const char *kind_word(int value)
{
    static const char *const names[] = {"free", "data", "witness"};

    return value >= MEMBER_FREE && value <= MEMBER_WITNESS ? names[value] : "?";
}

static const Field id_field[] = {
    {FIELD_INT(DocId, term, CODEC_TERM), .required = true},
    {FIELD_INT(DocId, version, CODEC_COUNT), .required = true},
};
static const FieldTable id_table = FIELD_TABLE(id_field);

static const Field document_field[] = {
    {FIELD_SUB(Document, id, id_table), .required = true},
    {FIELD(BIG, Document, system_identifier)},
    {FIELD_INT(Document, epoch, FIELD_UNSIGNED)},
    {FIELD_INT(Document, primary, CODEC_SLOT)},
    {FIELD(BOOL, Document, synchronous)},
    {FIELD_INT(Document, sync_set, FIELD_RANGE(0, (1 << MEMBER_MAX) - 1))},
    {FIELD_INT(Document, sync_needed, FIELD_RANGE(0, MEMBER_MAX - 1))},
    {FIELD_INT(Document, lease_ms, CODEC_LEASE_MS)},
    {FIELD_INT(Document, heartbeat_ms, CODEC_BEAT_MS)},
    {FIELD_INT(Document, discard, FIELD_RANGE(0, (1 << MEMBER_MAX) - 1))},
    {FIELD(BOOL, Document, paused)},
    {FIELD_INT(Document, pause_until_us, CODEC_COUNT)},
    {FIELD(TEXT, Document, pause_reason)},
};
static const FieldTable document_table = FIELD_TABLE(document_field);

static const Field epoch_field[] = {
    {FIELD_INT(DocEpoch, epoch, FIELD_RANGE(1, UINT32_MAX)), .required = true},
    {FIELD_INT(DocEpoch, parent, FIELD_UNSIGNED)},
    {FIELD_INT(DocEpoch, timeline, FIELD_UNSIGNED)},
    {FIELD(LSN, DocEpoch, start)},
    {FIELD_INT(DocEpoch, kept_from, FIELD_UNSIGNED)},
    {FIELD(BOOL, DocEpoch, settled)},
    {FIELD_INT(DocEpoch, primary, CODEC_SLOT)},
};
static const FieldTable epoch_table = FIELD_TABLE(epoch_field);

static const Field member_field[] = {
    {FIELD(NAME, DocMember, name), .required = true},
    {FIELD(UUID, DocMember, uuid)},
    {FIELD_WORD(DocMember, kind, kind_word, FIELD_RANGE(MEMBER_DATA, MEMBER_WITNESS)), .required = true},
    {FIELD(BOOL, DocMember, voter)},
    {FIELD(BOOL, DocMember, leaving)},
};
static const FieldTable member_table = FIELD_TABLE(member_field);

static void write_members(const Document *doc, Buf *out)
{
    int used = MEMBER_MAX;

    while (used > 0 && doc->member[used - 1].kind == MEMBER_FREE)
        used--;
    json_add_open(out, "members", '[');
    for (int i = 0; i < used; i++) {
        if (doc->member[i].kind == MEMBER_FREE) {
            json_add_null(out, NULL);
            continue;
        }
        json_add_open(out, NULL, '{');
        codec_field_write(&member_table, &doc->member[i], out);
        json_add_close(out, '}');
    }
    json_add_close(out, ']');
}

void codec_document_write(const Document *doc, Buf *out)
{
    json_add_open(out, "document", '{');
    codec_field_write(&document_table, doc, out);
    json_add_open(out, "history", '[');
    for (int i = 0; i < doc->history_len && i < DOC_HISTORY_MAX; i++) {
        json_add_open(out, NULL, '{');
        codec_field_write(&epoch_table, &doc->history[i], out);
        json_add_close(out, '}');
    }
    json_add_close(out, ']');
    write_members(doc, out);
    json_add_close(out, '}');
}

/* The core searches epochs backwards and follows parents: both must come to an end. */
static bool check_history(const Document *doc, Err *err)
{
    uint32_t newest = 0;

    for (int i = 0; i < doc->history_len; i++) {
        const DocEpoch *row = &doc->history[i];
        if (row->epoch <= newest || row->parent >= row->epoch)
            return err_set(err, ERR_PROTOCOL, "history: epoch %u with parent %u is out of order", row->epoch,
                           row->parent);
        if (row->kept_from != 0 && row->parent != 0)
            return err_set(err, ERR_PROTOCOL, "history: epoch %u was kept, and has parent %u", row->epoch,
                           row->parent);
        newest = row->epoch;
    }
    return newest == doc->epoch ||
           err_set(err, ERR_PROTOCOL, "history ends in epoch %u, not in %u", newest, doc->epoch);
}

static bool read_history(const json_t *object, Document *ret, Err *err)
{
    const json_t *rows = NULL;

    if (!json_get_array(object, "history", DOC_HISTORY_MAX, &rows, err))
        return false;
    ret->history_len = (uint8_t) json_array_size(rows);
    for (size_t i = 0; i < ret->history_len; i++) {
        const json_t *row = json_array_get(rows, i);
        if (!json_is_object(row))
            return err_set(err, ERR_PROTOCOL, "history: not an object");
        if (!codec_field_read(&epoch_table, row, &ret->history[i], err))
            return err_context(err, "history");
    }
    return check_history(ret, err);
}

/* Names tell who is who: two alike could not be told apart. */
static bool check_member(const Document *doc, size_t no, Err *err)
{
    const char *name = doc->member[no].name;

    if (!codec_is_name(name))
        return err_set(err, ERR_PROTOCOL, "members: a member without a name");
    for (size_t i = 0; i < no; i++)
        if (strcmp(doc->member[i].name, name) == 0)
            return err_set(err, ERR_PROTOCOL, "members: %s is there twice", name);
    return true;
}

static bool read_members(const json_t *object, Document *ret, Err *err)
{
    const json_t *rows = NULL;

    if (!json_get_array(object, "members", MEMBER_MAX, &rows, err))
        return false;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (json_is_null(row))
            continue;
        if (!json_is_object(row))
            return err_set(err, ERR_PROTOCOL, "members: not an object");
        if (!codec_field_read(&member_table, row, &ret->member[i], err))
            return err_context(err, "members");
        if (!check_member(ret, i, err))
            return false;
    }
    return true;
}

/* Nobody, or a member that has PostgreSQL: anybody else can be no primary. */
static bool is_primary_slot(const Document *doc, MemberNo no)
{
    return no == MEMBER_NONE || doc->member[no].kind == MEMBER_DATA;
}

/* Numbers that promise what cannot be kept: who would take over by them might lose what was acknowledged. */
static bool check_sync(const Document *doc, Err *err)
{
    int members = syncset_count(doc->sync_set);

    if (!doc->synchronous)
        return doc->sync_needed == 0 ||
               err_set(err, ERR_PROTOCOL, "sync_needed is %d, but it is asynchronous", doc->sync_needed);
    if (doc->primary == MEMBER_NONE || (doc->sync_set >> doc->primary & 1) == 0)
        return err_set(err, ERR_PROTOCOL, "sync_set lacks the primary");
    return doc->sync_needed < members ||
           err_set(err, ERR_PROTOCOL, "sync_needed is %d, with %d in sync_set", doc->sync_needed, members);
}

/* The core looks up names and reports by these slots, and sends to them. */
static bool check_slots(const Document *doc, Err *err)
{
    if (!is_primary_slot(doc, doc->primary))
        return err_set(err, ERR_PROTOCOL, "primary is %d, which is no data member", doc->primary);
    for (int i = 0; i < doc->history_len; i++)
        if (!is_primary_slot(doc, doc->history[i].primary))
            return err_set(err, ERR_PROTOCOL,
                           "history: the primary of epoch %u is %d, which is no data member",
                           doc->history[i].epoch, doc->history[i].primary);
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if ((doc->sync_set >> no & 1) != 0 && doc->member[no].kind != MEMBER_DATA)
            return err_set(err, ERR_PROTOCOL, "sync_set has %d, which is no data member", no);
    return check_sync(doc, err);
}

/* Who votes: nobody could be elected otherwise, and two of one identity would be one vote that counts twice.
 */
static bool check_voters(const Document *doc, Err *err)
{
    int voters = 0, leaving = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const DocMember *member = &doc->member[no];
        voters += member->voter;
        leaving += member->leaving;
        for (MemberNo other = 0; other < no; other++)
            if (!uuid_is_zero(&member->uuid) && uuid_equal(&member->uuid, &doc->member[other].uuid))
                return err_set(err, ERR_PROTOCOL, "members: %s and %s have the same uuid",
                               doc->member[other].name, member->name);
    }
    if (leaving > 1)
        return err_set(err, ERR_PROTOCOL, "members: %d are leaving, and one may at a time", leaving);
    return voters > 0 || err_set(err, ERR_PROTOCOL, "members: nobody has a vote");
}

/* What a leader wrote. The one that each member makes of its configuration before has no term. */
static bool check_document(const Document *doc, Err *err)
{
    const DocEpoch *last = document_last(doc);
    MemberNo named = last != NULL ? last->primary : MEMBER_NONE;

    if (doc->id.term == 0)
        return true;
    if (doc->primary != named || (doc->epoch > 0) != (doc->primary != MEMBER_NONE))
        return err_set(err, ERR_PROTOCOL, "primary is %d, and %d by its history, in epoch %u", doc->primary,
                       named, doc->epoch);
    if (doc->heartbeat_ms == 0 || doc->heartbeat_ms > doc->lease_ms / 3)
        return err_set(err, ERR_PROTOCOL, "heartbeat_ms is %u and lease_ms %u: at least three fit in",
                       doc->heartbeat_ms, doc->lease_ms);
    return check_voters(doc, err);
}

bool codec_document_read(const json_t *object, Document *ret, Err *err)
{
    const json_t *doc = NULL;

    memset(ret, 0, sizeof *ret);
    ret->primary = MEMBER_NONE;
    if (!json_require(object, "document", err) || !json_get_object(object, "document", &doc, err))
        return false;
    return (codec_field_read(&document_table, doc, ret, err) && read_history(doc, ret, err) &&
            read_members(doc, ret, err) && check_slots(ret, err) && check_document(ret, err)) ||
           err_context(err, "document");
}
