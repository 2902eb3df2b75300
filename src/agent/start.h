/*
 * start.h: what must be right before the agent begins, and the core's options from the configuration.
 */
#ifndef PGVIGIL_AGENT_START_H
#define PGVIGIL_AGENT_START_H

#include "action/action.h"
#include "config/config.h"
#include "core/core.h"
#include "notify/notify.h"

/* Options for the core, as the configuration says. */
CoreOptions start_core_options(const Config *config);

/* Options for actions and poller; the strings are valid until the next call or the configuration's end. */
ActionsOptions start_actions_options(const Config *config);
PollOptions start_poll_options(const Config *config);

/* Notifications as [notify NAME] has them; specs is of CONFIG_NOTIFY_MAX, and pointed to as long as the
 * configuration lives. */
void start_notify_options(const Config *config, NotifySpec *specs, NotifyOptions *ret_options);

/*
 * Refuses what an agent could only do harm with: a data directory of somebody else or of a version below 12,
 * or root on a data node. Nothing is touched. ERR_CONFIG.
 */
bool start_check(const Config *config, Err *err);

/* A random identity; aborts the start if there is no randomness. */
bool start_random(void *ret, size_t len, Err *err);

#endif
