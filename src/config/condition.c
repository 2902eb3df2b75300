/*
 * condition.c: the grammar of open_when, by recursive descent, and its value with unknowns (Kleene's logic).
 */
#include "config/condition.h"

#include "base/str.h"
#include "config/suggest.h"
#include "config/value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_LEN 64

enum Step { STEP_WORD, STEP_LAG_BELOW, STEP_NOT, STEP_AND, STEP_OR };
enum Value { VALUE_FALSE, VALUE_UNKNOWN, VALUE_TRUE };

static const char *const words[] = {
    [CONDITION_PRIMARY] = "primary", [CONDITION_REPLICA] = "replica", [CONDITION_SYNC] = "sync",
    [CONDITION_HEALTHY] = "healthy", [CONDITION_LEADER] = "leader",   [CONDITION_WITNESS] = "witness",
    [CONDITION_PAUSED] = "paused",   [CONDITION_QUORUM] = "quorum",
};
_Static_assert(sizeof words / sizeof words[0] == CONDITION_WORDS, "a name for each word");

typedef struct Parser {
    const char *text;
    size_t at;             /* behind the token */
    size_t begin;          /* of the token */
    char token[TOKEN_LEN]; /* "" at the end */
    int depth;
    Condition *condition;
    Err *err;
} Parser;

static bool fail(const Parser *parser, const char *text)
{
    return err_set(parser->err, ERR_CONFIG, "column %zu: %s", parser->begin + 1, text);
}

static bool is_word(char c)
{
    return isalnum((unsigned char) c) || c == '_' || c == '.';
}

/* A word, a comparison, or one character. */
static void next(Parser *parser)
{
    const char *text = parser->text;
    size_t len = 0;

    while (isspace((unsigned char) text[parser->at]))
        parser->at++;
    parser->begin = parser->at;
    if (is_word(text[parser->at]))
        while (is_word(text[parser->at + len]))
            len++;
    else if (text[parser->at] == '<' || text[parser->at] == '>')
        len = text[parser->at + 1] == '=' ? 2 : 1;
    else if (text[parser->at] != '\0')
        len = 1;
    snprintf(parser->token, sizeof parser->token, "%.*s", (int) (len < TOKEN_LEN ? len : TOKEN_LEN),
             text + parser->at);
    parser->at += len;
}

static bool is_at(const Parser *parser, const char *token)
{
    return strcmp(parser->token, token) == 0;
}

static bool add(Parser *parser, enum Step kind, uint64_t value)
{
    Condition *condition = parser->condition;

    if (condition->count == CONDITION_STEPS)
        return fail(parser, "the condition is too long");
    condition->step[condition->count].kind = kind;
    condition->step[condition->count++].value = value;
    return true;
}

/* lag <= SIZE is lag < SIZE + 1, and the other two are their contraries. */
static bool parse_lag(Parser *parser)
{
    bool more = parser->token[0] == '>', equal = parser->token[0] != '\0' && parser->token[1] == '=';
    int64_t size;
    Err err = {0};

    if (!more && parser->token[0] != '<')
        return fail(parser, "write lag < SIZE, as in lag < 16MB; also <=, > and >=");
    next(parser);
    if (parser->token[0] == '\0')
        return fail(parser, "a size is missing, as in lag < 16MB");
    if (!value_parse_size(parser->token, 0, INT64_MAX / 2, &size, &err))
        return fail(parser, err.text);
    next(parser);
    return add(parser, STEP_LAG_BELOW, (uint64_t) size + (more != equal)) &&
           (!more || add(parser, STEP_NOT, 0));
}

static bool unknown_word(const Parser *parser)
{
    Suggest suggest = suggest_for(parser->token);
    char text[200];

    suggest_offer(&suggest, "lag");
    suggest_offer(&suggest, "and");
    suggest_offer(&suggest, "not");
    for (size_t i = 0; i < CONDITION_WORDS; i++)
        suggest_offer(&suggest, words[i]);
    const char *best = suggest_best(&suggest);
    if (best != NULL)
        snprintf(text, sizeof text, "unknown \"%s\", did you mean %s?", parser->token, best);
    else
        snprintf(text, sizeof text,
                 "unknown \"%s\", known are primary, replica, sync, healthy, leader, witness, paused, quorum "
                 "and lag < SIZE",
                 parser->token);
    return fail(parser, text);
}

static bool parse_any(Parser *parser);

static bool parse_inside(Parser *parser)
{
    if (++parser->depth > CONDITION_DEPTH)
        return fail(parser, "too many parentheses and nots inside of each other");
    next(parser);
    bool ok = parse_any(parser);
    parser->depth--;
    if (!ok)
        return false;
    if (!is_at(parser, ")"))
        return fail(parser, "a ) is missing");
    next(parser);
    return true;
}

static bool parse_factor(Parser *parser)
{
    if (parser->token[0] == '\0')
        return fail(parser, "a word is missing, such as primary or replica");
    if (is_at(parser, "("))
        return parse_inside(parser);
    if (is_at(parser, "not")) {
        if (++parser->depth > CONDITION_DEPTH)
            return fail(parser, "too many parentheses and nots inside of each other");
        next(parser);
        bool ok = parse_factor(parser);
        parser->depth--;
        return ok && add(parser, STEP_NOT, 0);
    }
    if (is_at(parser, "lag")) {
        next(parser);
        return parse_lag(parser);
    }
    for (size_t i = 0; i < CONDITION_WORDS; i++)
        if (is_at(parser, words[i])) {
            next(parser);
            return add(parser, STEP_WORD, i);
        }
    return unknown_word(parser);
}

static bool parse_all(Parser *parser)
{
    if (!parse_factor(parser))
        return false;
    while (is_at(parser, "and")) {
        next(parser);
        if (!parse_factor(parser) || !add(parser, STEP_AND, 0))
            return false;
    }
    return true;
}

static bool parse_any(Parser *parser)
{
    if (!parse_all(parser))
        return false;
    while (is_at(parser, "or")) {
        next(parser);
        if (!parse_all(parser) || !add(parser, STEP_OR, 0))
            return false;
    }
    return true;
}

bool condition_parse(const char *text, Condition *ret, Err *err)
{
    Parser parser = {.text = text, .condition = ret, .err = err};

    memset(ret, 0, sizeof *ret);
    next(&parser);
    bool ok = parse_any(&parser);
    if (ok && parser.token[0] != '\0')
        ok = fail(&parser, "and, or, or nothing more is expected here");
    if (!ok)
        memset(ret, 0, sizeof *ret);
    return ok;
}

static enum Value value_of(uint32_t kind, uint64_t value, const ConditionFacts *facts)
{
    bool known = kind == STEP_LAG_BELOW ? facts->lag_known != 0 : (facts->known >> value & 1u) != 0;
    bool holds = kind == STEP_LAG_BELOW ? facts->lag < value : (facts->holds >> value & 1u) != 0;

    return !known ? VALUE_UNKNOWN : holds ? VALUE_TRUE : VALUE_FALSE;
}

bool condition_holds(const Condition *condition, const ConditionFacts *facts)
{
    enum Value stack[CONDITION_STEPS + 1] = {VALUE_FALSE}, other;
    size_t top = 0; /* place 0 is the answer of an empty condition */

    for (uint32_t i = 0; i < condition->count; i++)
        switch ((enum Step) condition->step[i].kind) {
        case STEP_WORD:
        case STEP_LAG_BELOW:
            stack[++top] = value_of(condition->step[i].kind, condition->step[i].value, facts);
            break;
        case STEP_NOT: stack[top] = VALUE_TRUE - stack[top]; break;
        case STEP_AND:
            other = stack[top--];
            stack[top] = other < stack[top] ? other : stack[top];
            break;
        case STEP_OR:
            other = stack[top--];
            stack[top] = other > stack[top] ? other : stack[top];
            break;
        }
    return stack[top] == VALUE_TRUE;
}

const char *condition_word(size_t index)
{
    return index < CONDITION_WORDS ? words[index] : NULL;
}
