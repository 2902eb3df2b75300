/*
 * store_slot.h: one slot of the state file: a header, the record's text, zeros; for src/store and the
 * simulator.
 *
 * Later formats must keep the header and the check sum as they are, so that this version can tell them from
 * damage.
 */
#ifndef PGVIGIL_STORE_STORE_SLOT_H
#define PGVIGIL_STORE_STORE_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOT_SIZE   4096
#define SLOT_MAGIC  0x70677673u /* "pgvs" */
#define SLOT_FORMAT 1u

typedef struct SlotHeader {
    uint32_t magic;
    uint32_t format;
    uint64_t generation; /* rises by one with each save; never 0 */
    uint32_t length;     /* of the text behind the header */
    uint32_t crc;        /* CRC-32 of the whole slot with this as zero */
} SlotHeader;

#define SLOT_TEXT_MAX (SLOT_SIZE - sizeof(SlotHeader))

typedef union Slot {
    SlotHeader header;
    unsigned char byte[SLOT_SIZE];
} Slot;

typedef enum SlotState {
    SLOT_BLANK,   /* never written: all zero */
    SLOT_VALID,   /* whole */
    SLOT_NEWER,   /* whole, of a format this version does not know */
    SLOT_DAMAGED, /* anything else */
} SlotState;

SlotState store_slot_check(const Slot *slot);

/* The text of a valid slot, header.length bytes of it, without a terminating NUL. */
const char *store_slot_text(const Slot *slot);

/* len is at most SLOT_TEXT_MAX. */
void store_slot_fill(Slot *ret, uint64_t generation, const char *text, size_t len);

/* CRC-32 as in ISO 3309, of Ethernet and zlib. */
uint32_t store_slot_crc(const unsigned char *data, size_t len);

#endif
