/*
 * check_front.c: what lies before PostgreSQL: the ports of gates, the virtual addresses and who may put them
 * there, HAProxy's runtime sockets.
 *
 * The daemon's rights count, not those of whoever runs the check: a running one is looked at, else its unit.
 */
#include "cli/check.h"
#include "sys/file.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NEEDED (UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_NET_RAW)

static void check_gate(Check *check, const ConfigGate *gate)
{
    char subject[64];

    snprintf(subject, sizeof subject, "gate %s", gate->named.name);
    check_port(check, subject, gate->address != NULL ? gate->address : "0.0.0.0", gate->port, true);
}

/* The capabilities of a process, or none. */
static uint64_t capabilities_of(const char *process)
{
    char path[64], line[256];
    unsigned long long value = 0;

    snprintf(path, sizeof path, "/proc/%.20s/status", process);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "CapPrm: %llx", &value) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return value;
}

/* The process id in the daemon's lock file, "" if it does not run. */
static void find_daemon(const Check *check, char *ret_pid, size_t size)
{
    char path[1024];
    Buf text = {0};

    ret_pid[0] = '\0';
    snprintf(path, sizeof path, "%s/%s.lock", check->config->node.state_directory,
             check->config->cluster.name);
    if (check_is_ours(check) && file_read(path, 64, &text, NULL) && text.data != NULL)
        snprintf(ret_pid, size, "%.*s", (int) strspn(text.data, "0123456789"), text.data);
    buf_done(&text);
}

/* Whether a line of the unit or of what was added to it gives both. */
static bool unit_gives(void)
{
    static const char *const patterns[] = {
        "/etc/systemd/system/pgvigil.service", "/etc/systemd/system/pgvigil.service.d/*.conf",
        "/usr/local/lib/systemd/system/pgvigil.service", "/lib/systemd/system/pgvigil.service",
        "/lib/systemd/system/pgvigil.service.d/*.conf"};
    bool admin = false, raw = false;
    glob_t files = {0};

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        glob(patterns[i], i > 0 ? GLOB_APPEND : 0, NULL, &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        Buf text = {0};
        if (file_read(files.gl_pathv[i], 65536, &text, NULL) && text.data != NULL)
            for (char *rest = NULL, *line = strtok_r(text.data, "\n", &rest); line != NULL;
                 line = strtok_r(NULL, "\n", &rest))
                if (strncmp(line, "AmbientCapabilities=", 20) == 0) {
                    admin = admin || strstr(line, "CAP_NET_ADMIN") != NULL;
                    raw = raw || strstr(line, "CAP_NET_RAW") != NULL;
                }
        buf_done(&text);
    }
    globfree(&files);
    return admin && raw;
}

static void check_capabilities(Check *check)
{
    static const char cure[] =
        "give the unit AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW: examples/virtual-address.conf is a drop-in for it";
    char pid[24];

    find_daemon(check, pid, sizeof pid);
    if (pid[0] != '\0' && (capabilities_of(pid) & NEEDED) == NEEDED)
        check_line(check, CHECK_OK, "capabilities", NULL, "the daemon that runs here may hold addresses");
    else if (pid[0] != '\0')
        check_line(check, CHECK_FAIL, "capabilities", cure,
                   "the daemon that runs here lacks CAP_NET_ADMIN or CAP_NET_RAW");
    else if (unit_gives() || (capabilities_of("self") & NEEDED) == NEEDED)
        check_line(check, CHECK_OK, "capabilities", NULL,
                   "the daemon is given what it needs to hold addresses");
    else
        check_line(
            check, CHECK_FAIL, "capabilities", cure,
            "nothing gives the daemon CAP_NET_ADMIN and CAP_NET_RAW, without which it cannot hold addresses");
}

static void check_vips(Check *check)
{
    const Config *config = check->config;

    if (config->virtual_count == 0 || check->self->role != MEMBER_ROLE_DATA)
        return;
    check_capabilities(check);
    for (int i = 0; i < config->virtual_count; i++) {
        const ConfigVip *vip = &config->virtual_address[i];
        if (if_nametoindex(vip->device) != 0)
            check_line(check, CHECK_OK, "virtual address", NULL, "%s can be put on %s", vip->text,
                       vip->device);
        else
            check_line(check, CHECK_FAIL, "virtual address",
                       "name one that is there on every data member (ip link), in [vip] address",
                       "%s: there is no network device %s here", vip->text, vip->device);
    }
}

static void check_haproxy(Check *check, const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    str_copy(at.sun_path, sizeof at.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *) &at, sizeof at) == 0)
        check_line(check, CHECK_OK, "HAProxy", NULL, "%s answers", path);
    else if (errno == ENOENT)
        check_line(check, CHECK_INFO, "HAProxy", NULL, "%s is not there: no HAProxy on this machine", path);
    else
        check_line(
            check, CHECK_WARN, "HAProxy",
            "stats socket PATH level admin group GROUP mode 660 in haproxy.cfg, with pgvigil's user in GROUP",
            "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void check_front(Check *check)
{
    const Config *config = check->config;

    for (int i = 0; i < config->gate_count; i++)
        check_gate(check, &config->gate[i]);
    check_vips(check);
    for (size_t i = 0; i < config->haproxy.socket.count; i++)
        check_haproxy(check, config->haproxy.socket.item[i]);
}
