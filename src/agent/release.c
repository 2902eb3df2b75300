/*
 * release.c: takes the virtual addresses from this machine when nobody is left who would: after a crash of
 * everything.
 */
#include "agent/agent.h"
#include "agent/porter_vip.h"
#include "base/fence.h"
#include "net/vip.h"
#include "sys/proc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool porter_lives(const Config *config)
{
    char path[FENCE_PATH_LEN], mark[FENCE_PATH_LEN + 16], program[64] = "pgvigil";

    if (config->self < 0)
        return false;
    fence_path(config->node.run_directory, config->cluster.name, config_self(config)->name, path);
    porter_mark(path, mark);
    proc_program(getpid(), program, sizeof program);
    return proc_signal_program(program, mark, 0) > 0;
}

bool agent_release(const Config *config, Err *err)
{
    bool ok = true, removed;

    if (config->virtual_count == 0 || porter_lives(config))
        return true;
    for (int i = 0; i < config->virtual_count; i++) {
        Vip vip;
        porter_vip_copy(&config->virtual_address[i], &vip);
        if (!vip_remove(&vip, &removed, err))
            ok = false;
        else if (removed)
            printf("%s was removed from %s\n", vip.text, vip.device);
    }
    return ok;
}
