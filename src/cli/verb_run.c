/*
 * verb_run.c: the daemon, and the two processes that it starts. The only file of the command line that knows
 * the agent and the observer.
 */
#include "agent/agent.h"
#include "cli/verb.h"
#include "config/config.h"
#include "observer/observer.h"

#include <signal.h>
#include <sys/prctl.h>

int verb_run(const Call *call)
{
    Err err = {0};
    prctl(PR_SET_NAME, "pgvigil"); /* also where pglookout has started it, through /proc/self/exe */
    signal(SIGHUP, SIG_IGN); /* a reload in the first milliseconds has nothing to do, and must not end it */
    const char *path = call->value[FLAG_CONFIG] != NULL ? call->value[FLAG_CONFIG] : config_default_path();
    Config *config = config_load_either(path, call->value[FLAG_NODE], CONFIG_USE_RUN, &err);

    if (config == NULL)
        return call_fail(&err);
    int code =
        config_is_observer(config) ? observer_run(config, &err) : agent_run(config, config->path, &err);
    if (err.code != ERR_NONE) {
        int failed = call_fail(&err);
        code = code == EXIT_DONE ? failed : code;
    }
    config_free(config);
    return code;
}

int verb_guard(const Call *call)
{
    return guard_main(call->argc, call->argv);
}

int verb_release(const Call *call)
{
    Err err = {0};
    Config *config = config_load_client(call->value[FLAG_CONFIG], call->value[FLAG_NODE], &err);

    if (config == NULL)
        return call_fail(&err);
    bool ok = agent_release(config, &err);
    config_free(config);
    return ok ? EXIT_DONE : call_fail(&err);
}

int verb_porter(const Call *call)
{
    return porter_main(call->argc, call->argv);
}
