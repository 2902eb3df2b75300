/*
 * gucs.c: the extension's settings, made from the rows of config/options.def.
 */
#include "ext/ext.h"

#include <utils/guc.h>

#define SETTING_START   PGC_POSTMASTER
#define SETTING_RELOAD  PGC_SIGHUP
#define SETTING_SESSION PGC_USERSET

const char gucs_teller[] = "\"pgvigil status\"";
const char gucs_names_cure[] =
    "Take synchronous_standby_names out of the configuration and reload; pgvigil sets it by itself.";
static char *state_value;

/* clang-format off */
#define SETTING_STRING(name, standard, context, help)               char *gucs_##name;
#define SETTING_DURATION(name, standard, low, high, context, help)  int gucs_##name##_ms = (standard);
#define SETTING_NUMBER(name, standard, low, high, context, help)    int gucs_##name = (standard);
#include "config/options.def"
/* clang-format on */

/* Called in each process at each reload; whoever sets synchronous_standby_names sets the generation behind
 * it, so that the names are in force here when this is. */
static void on_generation(int value, void *extra)
{
    (void) extra;
    shared_stamp(value);
}

static GucIntAssignHook assign_hook(const int *at)
{
    return at == &gucs_generation ? on_generation : NULL;
}

void gucs_define(void)
{
    /* clang-format off */
#define SETTING_STRING(name, standard, context, help) \
    DefineCustomStringVariable("pgvigil." #name, help, NULL, &gucs_##name, standard, context, GUC_SUPERUSER_ONLY, \
                               NULL, NULL, NULL);
#define SETTING_DURATION(name, standard, low, high, context, help) \
    DefineCustomIntVariable("pgvigil." #name, help, NULL, &gucs_##name##_ms, standard, low, high, context, \
                            GUC_UNIT_MS, NULL, NULL, NULL);
#define SETTING_NUMBER(name, standard, low, high, context, help) \
    DefineCustomIntVariable("pgvigil." #name, help, NULL, &gucs_##name, standard, low, high, context, 0, NULL, \
                            assign_hook(&gucs_##name), NULL);
#include "config/options.def"
    /* clang-format on */
    DefineCustomStringVariable("pgvigil.state", "What the fence says, for the agent.", NULL, &state_value, "",
                               PGC_INTERNAL, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
                               NULL, NULL, state_show);
    version_reserve_prefix("pgvigil");
}
