/*
 * render.h: the option table and a configuration as text: for people, the manual page and the documentation.
 *
 * Secrets are always masked. docs/configuration.md is what render_markdown writes; a test keeps it so.
 */
#ifndef PGVIGIL_CONFIG_RENDER_H
#define PGVIGIL_CONFIG_RENDER_H

#include "config/config.h"

/* `config show`: every value with its origin, as an INI file with comments. */
void render_show(const Config *config, Buf *ret_text);

/* The same as JSON: {"path","member","options":[{"key","value","origin","line","reloadable"}],"members":[…]}.
 */
void render_show_json(const Config *config, Buf *ret_text);

/*
 * `config explain KEY`: type, default, range, reloadable, help; with config also the value and its origin
 * (config may be NULL). key is "section.name", or a name alone if only one section has it. ERR_CONFIG with
 * the nearest key if there is none.
 */
bool render_explain(const Config *config, const char *key, Buf *ret_text, Err *err);

/* The same as JSON:
 * {"key","help","default","required","allowed","reloadable","shared","value","origin","line"}. */
bool render_explain_json(const Config *config, const char *key, Buf *ret_text, Err *err);

/* All options in short, for `help config`. */
void render_help(Buf *ret_text);

/* The sections and options as the body of a manual page (man macros, after the caller's .TH and .SH). */
void render_man(Buf *ret_text);

/* docs/configuration.md, whole. */
void render_markdown(Buf *ret_text);

#endif
