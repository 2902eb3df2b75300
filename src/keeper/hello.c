/*
 * hello.c: asks another node how it is, beside what the core itself says to it.
 */
#include "keeper/body.h"

#include "wire/codec.h"

void hello_send(const Core *core, int index)
{
    Msg hello = {.kind = MSG_HELLO,
                 .sender = core->persist.node_uuid,
                 .term = core->persist.term,
                 .inc = core->inc,
                 .seq = core->seq,
                 .doc_id = core->doc_durable,
                 .report = core_report(core)};
    Buf text = {0};

    codec_encode_msg(&hello, &core->persist.doc, core->options.name, &text);
    if (!text.failed && text.data != NULL)
        link_send(index, text.data, text.len);
    buf_done(&text);
}
