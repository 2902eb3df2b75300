/*
 * store_slot.c: the layout of a slot, and telling a whole one from a damaged one.
 */
#include "store/store_slot.h"

#include <string.h>

_Static_assert(sizeof(SlotHeader) == 24, "the header is the same on every machine of one byte order");

uint32_t store_slot_crc(const unsigned char *data, size_t len)
{
    /* by four bits at a time */
    static const uint32_t table[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
                                       0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                       0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    uint32_t crc = 0xFFFFFFFFu;

    for (size_t i = 0; i < len; i++) {
        crc = table[(crc ^ data[i]) & 15] ^ crc >> 4;
        crc = table[(crc ^ (uint32_t) data[i] >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

static uint32_t crc_of(const Slot *slot)
{
    Slot copy = *slot;

    copy.header.crc = 0;
    return store_slot_crc(copy.byte, sizeof copy.byte);
}

SlotState store_slot_check(const Slot *slot)
{
    static const Slot blank;

    if (memcmp(slot, &blank, sizeof blank) == 0)
        return SLOT_BLANK;
    if (slot->header.magic != SLOT_MAGIC || slot->header.crc != crc_of(slot))
        return SLOT_DAMAGED;
    if (slot->header.format > SLOT_FORMAT)
        return SLOT_NEWER;
    bool sane = slot->header.format == SLOT_FORMAT && slot->header.generation > 0 &&
                slot->header.length <= SLOT_TEXT_MAX;
    return sane ? SLOT_VALID : SLOT_DAMAGED;
}

const char *store_slot_text(const Slot *slot)
{
    return (const char *) slot->byte + sizeof(SlotHeader);
}

void store_slot_fill(Slot *ret, uint64_t generation, const char *text, size_t len)
{
    memset(ret, 0, sizeof *ret);
    ret->header.magic = SLOT_MAGIC;
    ret->header.format = SLOT_FORMAT;
    ret->header.generation = generation;
    ret->header.length = (uint32_t) len;
    memcpy(ret->byte + sizeof(SlotHeader), text, len);
    ret->header.crc = crc_of(ret);
}
