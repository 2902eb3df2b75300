/*
 * commands.c: [commands] and [network]: that each line can be split and its placeholders exist is found when
 * the file is read, and not at three in the morning.
 */
#include "base/command_names.h"
#include "config/load.h"
#include "sys/words.h"

#include <arpa/inet.h>
#include <string.h>

#define LINKS_MAX     8
#define LINK_NAME_LEN 16 /* as long as the kernel's names are */

static const WordsValue no_values[] = {
#define VALUE(name) {#name, ""},
    COMMAND_PLACEHOLDERS(VALUE)
#undef VALUE
        {NULL, NULL},
};

static const char *text_of(const Config *config, OptionId id)
{
    return *(const char *const *) (const void *) ((const char *) config + options_at(id)->offset);
}

static void complain(Load *load, OptionId id, const char *text)
{
    const Option *option = options_at(id);

    load_error(load, load_line(load, id), option->section, option->name, "%s", text);
}

static void check_command(Load *load, OptionId id)
{
    const char *line = text_of(load->config, id);
    static Words words;
    Err err = {0};

    if (line != NULL && line[0] != '\0' && !words_split(line, no_values, &words, &err))
        complain(load, id, err.text);
}

/* A text without its command says that somebody means something else. */
static void check_success(Load *load, OptionId id, OptionId command)
{
    const char *text = text_of(load->config, id), *line = text_of(load->config, command);

    if (text != NULL && text[0] != '\0' && (line == NULL || line[0] == '\0'))
        complain(load, id, "is for the output of a command, and that is not set");
}

static void check_links(Load *load)
{
    const OptionList *links = &load->config->network.links;

    if (links->count > LINKS_MAX)
        complain(load, OPTION_network_links, "has more than 8 devices");
    for (size_t i = 0; i < links->count; i++)
        if (strlen(links->item[i]) >= LINK_NAME_LEN || strpbrk(links->item[i], "/,;") != NULL ||
            links->item[i][0] == '.')
            complain(
                load, OPTION_network_links,
                "has a word that is no network device's name; write them with blanks between: eth0 eth1");
}

static void check_gateway(Load *load)
{
    const char *gateway = load->config->network.gateway;
    struct in6_addr address;

    if (gateway != NULL && gateway[0] != '\0' && strcmp(gateway, "auto") != 0 &&
        inet_pton(AF_INET, gateway, &address) != 1)
        complain(load, OPTION_network_gateway, "is neither an IPv4 address nor auto");
}

void commands_check(Load *load)
{
#define CHECK(id, option, instead) check_command(load, OPTION_commands_##option);
    COMMAND_NAMES(CHECK)
#undef CHECK
    check_success(load, OPTION_commands_status_success, OPTION_commands_status);
    check_success(load, OPTION_commands_network_success, OPTION_commands_network);
    check_links(load);
    check_gateway(load);
}
