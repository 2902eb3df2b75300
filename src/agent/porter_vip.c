/*
 * porter_vip.c: one virtual address: put there and renewed, announced, removed.
 *
 * The kernel would remove it some seconds after the last renewal: that is for the moment in which this
 * process is dead too.
 */
#include "agent/porter_vip.h"

#include <string.h>

#define AGAIN_US (US_PER_SEC)     /* the renewal, and what failed */
#define SOON_US  (50 * US_PER_MS) /* a removal that failed, of one that has to go */

/* After the address was put there; some switches miss the first. */
static const int64_t announce_us[] = {0, 100 * US_PER_MS, 500 * US_PER_MS, 2 * US_PER_SEC, 5 * US_PER_SEC};
#define ANNOUNCEMENTS (sizeof announce_us / sizeof announce_us[0])

void porter_vip_copy(const ConfigVip *from, Vip *ret)
{
    _Static_assert(sizeof(Vip) == sizeof(ConfigVip), "the same members");
    *ret = (Vip){.family = from->family, .prefix = from->prefix};
    memcpy(ret->text, from->text, sizeof ret->text);
    memcpy(ret->device, from->device, sizeof ret->device);
    memcpy(ret->byte, from->byte, sizeof ret->byte);
}

static bool remove_address(PorterVip *held, const Vip *vip, const Clock *now, const char *reason)
{
    bool removed = false;
    Err err = {0};

    if ((!held->may_be_there || held->stays) && now->boot_us < held->again_us)
        return false;
    held->again_us = now->boot_us + AGAIN_US;
    /* Also one that was never ours to put there: who does not hold the lease must not have it. */
    held->stays = !vip_remove(vip, &removed, &err);
    if (held->stays) {
        if (held->may_be_there)
            held->again_us = now->boot_us + SOON_US;
        return porter_set_state(&held->state, "vip", false, true, err.text);
    }
    held->may_be_there = false;
    if (removed && !held->state.on)
        log_line(LOG_LEVEL_WARN, "vip", "name=%s state=removed reason=\"it was found here\"",
                 held->state.name);
    return porter_set_state(&held->state, "vip", false, false, reason);
}

static void announce(PorterVip *held, const Vip *vip, const Clock *now)
{
    static LogLimit limit;
    Err err = {0};

    if (held->announced == ANNOUNCEMENTS || now->boot_us - held->since_us < announce_us[held->announced])
        return;
    held->announced++;
    if (!vip_announce(vip, &err))
        log_limited(&limit, LOG_LEVEL_ERROR, "vip_not_announced", "name=%s reason=\"%s\"", held->state.name,
                    err.text);
}

static bool hold_address(PorterVip *held, const Vip *vip, uint32_t lifetime_s, const Clock *now)
{
    bool was = held->state.on, changed = false;
    Err err = {0};

    if (now->boot_us >= held->again_us || !was) {
        held->may_be_there = true; /* whatever the kernel's answer is, or is not */
        held->stays = false;
        bool ok = vip_add(vip, lifetime_s, &err);
        held->again_us = now->boot_us + AGAIN_US;
        changed = porter_set_state(&held->state, "vip", ok, !ok, err.text);
        if (ok && !was) {
            held->since_us = now->boot_us;
            held->announced = 0;
        }
    }
    if (held->state.on)
        announce(held, vip, now);
    return changed;
}

bool porter_vip_look(PorterVip *held, const Vip *vip, uint32_t lifetime_s, bool wanted, const char *reason,
                     const Clock *now)
{
    if (!wanted)
        return remove_address(held, vip, now, reason);
    if (!held->state.on && held->state.trouble && now->boot_us < held->again_us)
        return false;
    return hold_address(held, vip, lifetime_s, now);
}
