/*
 * operation.c: orders and their progress.
 *
 * The member that took the order keeps its operation and is asked for it every 100 ms; a member that does not
 * answer for a moment (its server changes roles, or it restarts) is asked again until the time is over.
 */
#include "cli/operation.h"

#include "cli/field.h"
#include "cli/show.h"
#include "sys/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ASK_EVERY_MS 100
/* An order that was taken is in the published answers after this time at the latest. */
#define PUBLISH_MS 2000

/* Ctrl-C ends the waiting, not the order; what was begun is said before we go. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void) number;
    interrupted = 1;
}

/* A second one ends us at once, in case that a question is still waited for. */
static void listen_for_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int) SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool operation_interrupted(void)
{
    return interrupted != 0;
}

/* What the order is called: "member" alone would be a member. */
static const char *order_name(const Call *call)
{
    if (strcmp(call->verb->name, "member") != 0)
        return call->verb->name;
    if (call->argument_count == 0)
        return "change of members";
    return strcmp(call->argument[0], "add") == 0 ? "member add" : "member remove";
}

json_t *operation_body(const char *verb, const char *target)
{
    return json_pack("{s:s, s:s?}", "verb", verb, "target", target);
}

bool operation_confirm(const Call *call, const char *question)
{
    char answer[16] = "";

    if (call_has(call, FLAG_YES))
        return true;
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "pgvigil: %s\npgvigil: nobody is there to ask; --yes goes ahead\n", question);
        return false;
    }
    fprintf(stderr, "%s\nGo ahead? [y/N] ", question);
    if (fgets(answer, sizeof(answer), stdin) == NULL)
        return false;
    return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0 || strcmp(answer, "Y\n") == 0;
}

static void print_step(int64_t ms, const char *text)
{
    static const ShowStyle plain;
    Buf line = {0};

    buf_printf(&line, "%8" PRId64 " ms  ", ms);
    show_text(&line, &plain, TONE_PLAIN, text);
    buf_puts(&line, "\n");
    show_print(&line, stdout);
}

/* An order under way, and how it is told: step by step, or, of several members, in one line for each. */
typedef struct Order {
    const Client *client;
    const Call *call;
    int member;
    bool in_line;
} Order;

static const char *member_name(const Order *order)
{
    return order->client->config->member[order->member].name;
}

/* The member's name stands before it already: the rest of its line. */
static void end_line(const Order *order, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void end_line(const Order *order, const char *format, ...)
{
    static const ShowStyle plain;
    size_t len = strlen(member_name(order));
    char text[700];
    va_list args;
    Buf line = {0};

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bool named = strncmp(text, member_name(order), len) == 0 && strncmp(text + len, ": ", 2) == 0;
    show_text(&line, &plain, TONE_PLAIN, named ? text + len + 2 : text);
    buf_puts(&line, "\n");
    show_print(&line, stdout);
}

static int fail(const Order *order, const Err *err)
{
    if (!order->in_line)
        return call_fail(err);
    end_line(order, "%s", err->text);
    return call_exit_code(err);
}

static int goes_on(const Order *order, int64_t id, const Err *last)
{
    const char *verb = order->call->verb->name;
    char advice[200];

    snprintf(advice, sizeof(advice),
             "%s %" PRId64 " is not at its end yet; ask again: pgvigil %s --operation %" PRId64
             " --member %s",
             order_name(order->call), id, verb, id, member_name(order));
    if (order->in_line) {
        end_line(order, "%s", advice);
        return EXIT_GOES_ON;
    }
    if (last->code != ERR_NONE && !operation_interrupted())
        fprintf(stderr, "pgvigil: %s\n", last->text);
    fprintf(stderr, "pgvigil: %s\n", advice);
    return EXIT_GOES_ON;
}

/* The member that took the order may only know that the target has not made it. */
static void print_problems(const Order *order, const char *target)
{
    int member = config_find_member(order->client->config, target);
    static const ShowStyle plain;
    json_t *explain = NULL, *problem;
    Buf out = {0};
    size_t i;
    Err err = {0};

    if (member < 0 || member == order->member ||
        !client_get(order->client, member, "/v1/explain", &explain, &err))
        return;
    json_array_foreach(json_object_get(explain, "problems"), i, problem)
    {
        if (!json_is_string(problem))
            continue;
        buf_printf(&out, "pgvigil: %s says: ", target);
        show_text(&out, &plain, TONE_PLAIN, json_string_value(problem));
        buf_puts(&out, "\n");
    }
    show_print(&out, stderr);
    json_decref(explain);
}

static int print_end(const Order *order, json_t *operation)
{
    bool done = strcmp(field_text(operation, "state", ""), "done") == 0;
    int64_t took_ms = field_number(operation, "duration_ms", 0);
    const char *step = field_text(operation, "step", "");

    if (order->in_line)
        end_line(order, "%s after %" PRId64 " ms: %s", done ? "done" : "failed", took_ms, step);
    else if (call_has(order->call, FLAG_JSON))
        field_print(operation, false);
    else if (done)
        printf("Done after %" PRId64 " ms: %s\n", took_ms, step);
    else {
        fprintf(stderr, "pgvigil: %s failed after %" PRId64 " ms: %s\n", order_name(order->call), took_ms,
                step);
        print_problems(order, field_text(operation, "target", ""));
    }
    return done ? EXIT_DONE : EXIT_NO;
}

/* Prints the step if it is another than before. */
static void follow_step(const Order *order, const json_t *operation, const Clock *begun, char *step,
                        size_t size)
{
    const char *text = field_text(operation, "step", "");

    if (order->in_line || call_has(order->call, FLAG_JSON) || text[0] == '\0' || strcmp(step, text) == 0)
        return;
    str_copy(step, size, text);
    print_step(field_number(operation, "duration_ms", clock_ms_since(begun)), step);
}

/* told: the step that was printed already. */
static int watch(const Order *order, int64_t id, const char *told, int64_t timeout_ms)
{
    Clock begun = clock_now();
    char step[300];
    Err err = {0};

    str_copy(step, sizeof(step), told);
    listen_for_interrupt();

    for (;;) {
        json_t *operation = NULL;
        err.code = ERR_NONE;
        if (client_get(order->client, order->member, "/v1/operation", &operation, &err)) {
            int64_t newest = field_number(operation, "id", 0);
            if (newest < id && clock_ms_since(&begun) < PUBLISH_MS) {
                json_decref(operation);
                clock_sleep_ms(ASK_EVERY_MS);
                continue;
            }
            if (newest != id) {
                json_decref(operation);
                err_set(&err, ERR_REFUSED,
                        "%s knows no operation %" PRId64 " any more; pgvigil history has what was done",
                        member_name(order), id);
                return fail(order, &err);
            }
            if (strcmp(field_text(operation, "state", "running"), "running") != 0) {
                int code = print_end(order, operation);
                json_decref(operation);
                return code;
            }
            follow_step(order, operation, &begun, step, sizeof(step));
            json_decref(operation);
        }
        if (clock_ms_since(&begun) >= timeout_ms || operation_interrupted())
            return goes_on(order, id, &err);
        clock_sleep_ms(ASK_EVERY_MS);
    }
}

static int print_answer(const Order *order, const ClientAnswer *answer)
{
    bool refused = strcmp(answer->state, "refused") == 0;
    const char *text = answer->text[0] != '\0' ? answer->text : "Done.";

    if (order->in_line) {
        end_line(order, "%s%s", refused ? "refused: " : "", text);
    } else if (call_has(order->call, FLAG_JSON)) {
        json_t *json = json_pack("{s:s, s:I, s:s, s:s}", "member", member_name(order), "id",
                                 (json_int_t) answer->id, "state", answer->state, "text", answer->text);
        field_print(json, false);
        json_decref(json);
    } else if (refused) {
        fprintf(stderr, "pgvigil: %s refused: %s\n", order_name(order->call), text);
    } else {
        printf("%s\n", text);
    }
    return refused ? EXIT_NO : EXIT_DONE;
}

/* Takes body over. */
static int carry_out(Client *client, const Order *order, json_t *body, int64_t timeout_ms)
{
    Err err = {0};
    ClientAnswer answer = {0};

    if (!call_time_ms(order->call, FLAG_TIMEOUT, timeout_ms, &timeout_ms, &err)) {
        json_decref(body);
        return fail(order, &err);
    }
    if (!client_command(client, order->member, body, &answer, &err))
        return fail(order, &err);
    if (strcmp(answer.state, "started") != 0)
        return print_answer(order, &answer);
    if (!order->in_line && !call_has(order->call, FLAG_JSON) && answer.text[0] != '\0')
        print_step(0, answer.text);
    return watch(order, answer.id, answer.text, timeout_ms);
}

int operation_order(Client *client, const Call *call, int member, json_t *body, int64_t timeout_ms)
{
    Order order = {.client = client, .call = call, .member = member};

    return carry_out(client, &order, body, timeout_ms);
}

int operation_order_line(Client *client, const Call *call, int member, json_t *body, int64_t timeout_ms)
{
    Order order = {.client = client, .call = call, .member = member, .in_line = !call_has(call, FLAG_JSON)};
    int width = 0;

    for (int i = 0; i < client->config->member_count; i++) {
        int len = (int) strlen(client->config->member[i].name);
        width = len > width ? len : width;
    }
    if (order.in_line)
        printf("%-*s  ", width, member_name(&order));
    fflush(stdout);
    return carry_out(client, &order, body, timeout_ms);
}

/* What the members know of an operation's number: each counts its own. */
typedef struct Search {
    int found;    /* the member that ran it, or -1 */
    bool running; /* there */
    bool twice;   /* another one has the same, and neither or both of them run */
    int answered;
    Err first; /* of those that did not answer */
} Search;

/* As the command line has it: "member" ran member_add or member_remove. */
static bool is_of_verb(const Call *call, const json_t *operation)
{
    const char *ran = field_text(operation, "verb", "");
    size_t len = strlen(call->verb->name);

    return strncmp(ran, call->verb->name, len) == 0 && (ran[len] == '\0' || ran[len] == '_');
}

static void search_one(const Client *client, const Call *call, int member, int64_t id, Search *search)
{
    json_t *operation = NULL;
    Err err = {0};

    if (!client_get(client, member, "/v1/operation", &operation, &err)) {
        if (search->first.code == ERR_NONE)
            search->first = err;
        return;
    }
    search->answered++;
    bool running = strcmp(field_text(operation, "state", ""), "running") == 0;
    if (field_number(operation, "id", 0) == id && is_of_verb(call, operation)) {
        search->twice = search->found >= 0 && search->running == running;
        if (search->found < 0 || running) {
            search->found = member;
            search->running = running;
        }
    }
    json_decref(operation);
}

/* The member that ran the verb under that number; -1 with *err. */
static int search(const Client *client, const Call *call, int64_t id, Err *err)
{
    Search search = {.found = -1};
    int members = client->config->member_count;

    for (int i = 0; i < members; i++)
        search_one(client, call, i, id, &search);
    if (search.found >= 0 && !search.twice)
        return search.found;
    if (search.twice)
        err_set(err, ERR_CONFIG,
                "more than one member had a %s with the number %" PRId64 "; name one: --member NAME",
                order_name(call), id);
    else if (search.answered < members)
        err_set(err, ERR_NET,
                "%d of %d members answered, and none of them had a %s with the number %" PRId64 "; %.200s",
                search.answered, members, order_name(call), id, search.first.text);
    else
        err_set(err, ERR_REFUSED,
                "no member knows a %s with the number %" PRId64
                " any more; pgvigil history has what was done",
                order_name(call), id);
    return -1;
}

int operation_again(const Client *client, const Call *call, int member, int64_t timeout_ms)
{
    Err err = {0};
    int64_t id = 0;

    if (!call_time_ms(call, FLAG_TIMEOUT, timeout_ms, &timeout_ms, &err) ||
        !call_number(call, FLAG_OPERATION, 1, UINT32_MAX, 0, &id, &err))
        return call_fail(&err);
    if (member < 0)
        member = search(client, call, id, &err);
    Order order = {.client = client, .call = call, .member = member};
    return member < 0 ? call_fail(&err) : watch(&order, id, "", timeout_ms);
}
