/*
 * members.c: the lines of [members], and which of them this machine is.
 */
#include "config/load.h"
#include "config/suggest.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

bool members_is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_");

    return text[len] == '\0' && len >= 1 && len < MEMBER_NAME_LEN && isalnum((unsigned char) text[0]);
}

static const Option *find_key(const char *key, size_t len)
{
    const Option *option;

    for (size_t i = 0; (option = options_member_key(i)) != NULL; i++)
        if (strlen(option->name) == len && strncmp(option->name, key, len) == 0)
            return option;
    return NULL;
}

static void unknown_key(Load *load, const ConfigMember *member, const char *word)
{
    Suggest suggest = suggest_for(word);
    const Option *option;

    for (size_t i = 0; (option = options_member_key(i)) != NULL; i++)
        suggest_offer(&suggest, option->name);
    const char *best = suggest_best(&suggest);
    if (best != NULL)
        load_error(load, member->line, "members", member->name, "unknown \"%.60s\", did you mean %s=?", word,
                   best);
    else
        load_error(load, member->line, "members", member->name,
                   "unknown \"%.60s\", known are host= port= agent_port= http_port= role=", word);
}

/* Takes one word of a member's line, "key=value". *seen has a bit for each key that was there. */
static void take_word(Load *load, ConfigMember *member, char *word, unsigned *seen)
{
    char *equals = strchr(word, '=');
    const Option *option = equals != NULL ? find_key(word, (size_t) (equals - word)) : NULL;
    Err err = {0};

    if (equals == NULL) {
        load_error(load, member->line, "members", member->name, "\"%.60s\" is not key=value, without blanks",
                   word);
        return;
    }
    *equals = '\0';
    if (option == NULL) {
        unknown_key(load, member, word);
        return;
    }
    unsigned bit = 1u << (unsigned) (option - options_member_key(0));
    if ((*seen & bit) != 0)
        load_error(load, member->line, "members", member->name, "%s= is given twice", option->name);
    else if (!options_parse(option, equals + 1, member, &load->config->arena, &err))
        load_error(load, member->line, "members", member->name, "%s=: %s", option->name, err.text);
    *seen |= bit;
}

void members_add(Load *load, const char *name, const char *value, int line)
{
    Config *config = load->config;
    ConfigMember member = {.line = line, .name = arena_strdup(&config->arena, name)};
    char *rest = NULL, *words = arena_strdup(&config->arena, value);
    const Option *option;
    unsigned seen = 0;
    int known = config_find_member(config, name);

    if (member.name == NULL || words == NULL)
        return; /* the arena remembers */
    if (!members_is_name(name)) {
        load_error(load, line, "members", name,
                   "is no name for a member, allowed are 1 to %d of a-z, 0-9, - and _", MEMBER_NAME_LEN - 1);
        return;
    }
    if (known >= 0) {
        load_error(load, line, "members", name, "is given twice, first on line %d",
                   config->member[known].line);
        return;
    }
    if (config->member_count == CONFIG_MEMBER_MAX) {
        load_error(load, line, "members", name, "there are more than %d members", CONFIG_MEMBER_MAX);
        return;
    }
    for (size_t i = 0; (option = options_member_key(i)) != NULL; i++)
        options_set_default(option, &member, &config->arena);
    for (char *word = strtok_r(words, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest))
        take_word(load, &member, word, &seen);
    if (member.host == NULL && (seen & 1u) == 0)
        load_error(load, line, "members", name, "host= is missing, write %s = host=ADDRESS", name);
    if (member.host == NULL)
        member.host = arena_strdup(&config->arena, "");
    config->member[config->member_count++] = member;
}

/* ---- All together ---- */

static void check_ports(Load *load, const ConfigMember *member)
{
    bool data = member->role == MEMBER_ROLE_DATA;

    if (member->agent_port == member->http_port)
        load_error(load, member->line, "members", member->name, "agent_port and http_port are both %u",
                   member->agent_port);
    if (data && (member->port == member->agent_port || member->port == member->http_port))
        load_error(load, member->line, "members", member->name,
                   "port %u is PostgreSQL's and pgvigil's at once", member->port);
}

static void check_pair(Load *load, const ConfigMember *a, const ConfigMember *b)
{
    if (strcmp(a->host, b->host) != 0 || *a->host == '\0')
        return;
    bool agent = a->agent_port == b->agent_port, http = a->http_port == b->http_port;
    if (load->use != CONFIG_USE_WATCH && (agent || http))
        load_error(load, b->line, "members", b->name,
                   "has the same host and %s as %s (line %d); give it a host, or ports, of its own",
                   agent && http ? "agent_port and http_port"
                   : agent       ? "agent_port"
                                 : "http_port",
                   a->name, a->line);
    else if (a->port == b->port && a->role == MEMBER_ROLE_DATA && b->role == MEMBER_ROLE_DATA)
        load_error(load, b->line, "members", b->name,
                   "its PostgreSQL is on the same host and port as that of %s", a->name);
}

void members_check(Load *load)
{
    const Config *config = load->config;
    int data = 0;

    for (int i = 0; i < config->member_count; i++) {
        const ConfigMember *member = &config->member[i];
        if (strcmp(member->host, "0.0.0.0") == 0 || strcmp(member->host, "::") == 0)
            load_error(load, member->line, "members", member->name,
                       "host=%s is no address that others can reach; write the machine's own", member->host);
        data += member->role == MEMBER_ROLE_DATA;
        if (load->use != CONFIG_USE_WATCH) /* there may be no agents */
            check_ports(load, member);
        for (int j = 0; j < i; j++)
            check_pair(load, &config->member[j], member);
    }
    if (config->member_count == 0)
        load_error(load, 0, "members", NULL,
                   "there is no member; write one line for each: NAME = host=ADDRESS");
    else if (data == 0)
        load_error(load, 0, "members", NULL,
                   "there are only witnesses; at least one member has to have role=data");
    else if (config->member_count == 2)
        load_warning(load, 0, "members", NULL,
                     "two members are no majority when one is lost: no failover by itself; add a witness");
}

/* ---- Which one is this machine ---- */

/* True if host is the text of an address of one of the interfaces. Names are not resolved: that could hang.
 */
static bool is_own_address(const char *host, const struct ifaddrs *interfaces)
{
    struct in_addr v4;
    struct in6_addr v6;
    bool is_v4 = inet_pton(AF_INET, host, &v4) == 1;
    bool is_v6 = inet_pton(AF_INET6, host, &v6) == 1;

    for (; interfaces != NULL; interfaces = interfaces->ifa_next) {
        const struct sockaddr *address = interfaces->ifa_addr;
        if (address == NULL || (interfaces->ifa_flags & IFF_UP) == 0)
            continue;
        if (is_v4 && address->sa_family == AF_INET) {
            const struct sockaddr_in *in = (const void *) address;
            if (in->sin_addr.s_addr == v4.s_addr)
                return true;
        } else if (is_v6 && address->sa_family == AF_INET6) {
            const struct sockaddr_in6 *in6 = (const void *) address;
            if (memcmp(&in6->sin6_addr, &v6, sizeof v6) == 0)
                return true;
        }
    }
    return false;
}

/* True if name is the host name, whole or up to its first dot. */
static bool is_own_name(const char *name, const char *host_name)
{
    size_t len = strcspn(host_name, ".");

    return *name != '\0' && (strcasecmp(name, host_name) == 0 ||
                             (strlen(name) == len && strncasecmp(name, host_name, len) == 0));
}

static unsigned match_addresses(const Config *config)
{
    struct ifaddrs *interfaces = NULL;
    unsigned found = 0;

    if (getifaddrs(&interfaces) != 0)
        return 0;
    for (int i = 0; i < config->member_count; i++)
        found |= (unsigned) is_own_address(config->member[i].host, interfaces) << i;
    freeifaddrs(interfaces);
    return found;
}

static unsigned match_names(const Config *config, const char *host_name)
{
    unsigned found = 0;

    for (int i = 0; i < config->member_count; i++) {
        const ConfigMember *member = &config->member[i];
        found |= (unsigned) (is_own_name(member->name, host_name) || is_own_name(member->host, host_name))
                 << i;
    }
    return found;
}

static void set_self(Load *load, int self, const char *how)
{
    Config *config = load->config;

    config->self = self;
    config->node.name = config->member[self].name;
    config->self_found = how;
}

static void find_by_name(Load *load, const char *name, int line)
{
    Config *config = load->config;
    bool from_file = load->node_name == NULL;
    int self = config_find_member(config, name);

    if (self >= 0) {
        set_self(load, self, from_file ? "[node] name" : "--node");
        return;
    }
    Suggest suggest = suggest_for(name);
    for (int i = 0; i < config->member_count; i++)
        suggest_offer(&suggest, config->member[i].name);
    const char *best = suggest_best(&suggest);
    load_error(load, line, from_file ? "node" : NULL, from_file ? "name" : "--node",
               "there is no member \"%.60s\" in [members]%s%s%s", name, best != NULL ? ", did you mean " : "",
               best != NULL ? best : "", best != NULL ? "?" : "");
}

static void report_ambiguous(Load *load, unsigned found, const char *what)
{
    const Config *config = load->config;
    Buf names = {0};

    for (int i = 0; i < config->member_count; i++)
        if ((found >> i & 1u) != 0)
            buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", config->member[i].name);
    load_error(load, 0, "members", NULL,
               "%s could be this machine by %s; say which with [node] name or --node",
               names.data != NULL ? names.data : "", what);
    buf_done(&names);
}

void members_find_self(Load *load)
{
    Config *config = load->config;
    char host_name[HOST_NAME_MAX + 1] = "";

    config->self = -1;
    config->self_found = "";
    if (load->node_name != NULL) {
        find_by_name(load, load->node_name, 0);
        return;
    }
    if (config->node.name != NULL) {
        find_by_name(load, config->node.name, load_line(load, OPTION_node_name));
        return;
    }
    gethostname(host_name, sizeof host_name - 1);
    unsigned found = match_addresses(config);
    const char *what = "its address";
    if (found == 0) {
        found = match_names(config, host_name);
        what = "its host name";
    }
    config->self_unclear = (found & (found - 1)) != 0;
    if (found != 0 && !config->self_unclear) {
        int self = __builtin_ctz(found);
        set_self(load, self, what);
    } else if (load->use != CONFIG_USE_RUN || config->member_count == 0) {
        return; /* anybody may ask; without members that is the error to report */
    } else if (found != 0) {
        report_ambiguous(load, found, what);
    } else {
        load_error(
            load, 0, "members", NULL,
            "no member has an address of this machine, or its host name \"%.60s\"; add it, or say which it is "
            "with [node] name or --node",
            host_name);
    }
}
