/*
 * config_fixture.h: a configuration in the test's folder, loaded with what a test adds to it.
 */
#ifndef TEST_CONFIG_FIXTURE_H
#define TEST_CONFIG_FIXTURE_H

#include "folder.h"

#include "config/config.h"

#define CONFIG_FIXTURE_HEAD                                                                                  \
    "[cluster]\nname = shop\nsecret = file:secret\n[members]\npg1 = host=10.0.0.1\npg2 = host=10.0.0.2\n"    \
    "[postgresql]\ndata_directory = /d\n"

static Config *config;
static Buf errors, warnings;

static inline int config_fixture_setup(void **state)
{
    if (folder_setup(state) != 0)
        return -1;
    folder_write("secret", "0123456789abcdef");
    return chmod(folder_path("secret"), 0600);
}

static inline void config_fixture_forget(void)
{
    config_free(config);
    config = NULL;
    buf_done(&errors);
    buf_done(&warnings);
}

static inline int config_fixture_teardown(void **state)
{
    config_fixture_forget();
    return folder_teardown(state);
}

/* The errors, "" if there are none; config and warnings are the rest of it. */
static inline const char *config_fixture_load(const char *text, ConfigUse use)
{
    char whole[8192];

    config_fixture_forget();
    snprintf(whole, sizeof whole, "%s%s", CONFIG_FIXTURE_HEAD, text);
    config = config_load_all(folder_write("c", whole), "pg1", use, &errors, &warnings);
    return errors.data != NULL ? errors.data : "";
}

#endif
