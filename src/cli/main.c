/*
 * main.c: the one table of verbs, and calling one.
 *
 * Help, the manual page and the completion are made from this table; a verb is a row here and a function in a
 * file of its family.
 */
#include "cli/call.h"
#include "cli/help.h"
#include "cli/verb.h"
#include "front/front.h"

#include <stdio.h>
#include <string.h>

#define ASKS       (FLAG_BIT(FLAG_CONFIG) | FLAG_BIT(FLAG_MEMBER) | FLAG_BIT(FLAG_JSON))
#define FOLLOWS    (ASKS | FLAG_BIT(FLAG_TIMEOUT) | FLAG_BIT(FLAG_OPERATION))
#define WITH(flag) FLAG_BIT(FLAG_##flag)

/* How long orders are waited for. */
#define MINUTE_MS ((int64_t) 60 * 1000)
#define HOUR_MS   (60 * MINUTE_MS)

/* clang-format off */
const Verb verb_table[] = {
    {"run", "", 0, 0, WITH(CONFIG) | WITH(NODE), false, false, verb_run,
     "run the daemon in the foreground",
     "Runs the agent of a data member, or a witness, as the configuration says of this machine. On a data member it runs "
     "as the user that owns the data directory. It takes over the server that is there as it is: a running one goes on.\n\n"
     "With the file of an observer ([observer] clusters), or with a folder of clusters' files, it is an observer.\n\n"
     "SIGHUP reads the configuration again. SIGTERM ends the daemon and leaves PostgreSQL running; if the daemon is not "
     "back before the lease runs out, another member takes over and the server here is stopped."},
    {"status", "", 0, 0, ASKS | WITH(WATCH) | WITH(WIDE) | WITH(ALL) | WITH(DSN), false, false, verb_status,
     "show the cluster, its members and its alarms",
     "Asks the leader, through the member on this machine or any that answers, and shows one line for each member. With "
     "--member it shows what that member itself knows. With --wide it asks every data member what only it knows: the size of "
     "its databases and of pg_wal, slots, the network check, when its server answered last, and whom it follows. With an observer's "
     "file or folder, on its machine: one line for each cluster, as that observer sees it; --all says that this is what is "
     "meant, and is an error with the file of one cluster.\n\n"
     "With --dsn: a cluster of pg_keeper, without an agent and without a configuration file. The hosts of the connection "
     "string are asked, then every node that they name, as the same user, who needs pg_monitor. What the string does not "
     "say, libpq's environment does (PGHOST, PGUSER and the like); the database is postgres, if nobody says another. The "
     "primary's view is shown; what a node says differently is an alarm, and so is a primary that could not be asked "
     "whether it has its lease. A node that was not asked, and was not heard by the others a moment ago, is not "
     "reachable.\n\n"
     "Ends with 0 if the cluster is healthy: a majority, a primary with a lease, every member reachable, every standby "
     "streaming, no alarm. Ends with 1 if not, and with 3 if nobody answered."},
    {"primary", "", 0, 0, ASKS | WITH(CONNINFO), false, false, verb_primary,
     "print the name of the primary",
     "With --conninfo: a libpq connection string with host and port instead. Ends with 1 if there is no primary now: no "
     "majority, or a primary that has lost its lease."},
    {"switchover", "", 0, 0, FOLLOWS | WITH(TO), false, false, verb_switchover,
     "hand the primary's role over in order",
     "The primary writes a checkpoint, stops, and gives its lease up as soon as the successor has everything; then the "
     "old primary follows the new one. Nothing acknowledged is lost. If the successor does not get there in time, the old "
     "primary goes on. Without --to the standby that is furthest is taken.", MINUTE_MS},
    {"failover", "", 0, 0, FOLLOWS | WITH(TO) | WITH(YES) | WITH(ACCEPT_LOSS), false, false, verb_failover,
     "make a member primary, whatever it may lack",
     "For when no failover happens by itself: the cluster is paused, or no standby is near enough to the lost primary "
     "(maximum_lag). Says what may be lost and asks before it begins. A majority of the members must be up.\n\n"
     "In synchronous mode what was acknowledged is not given up by that: as many of the members that may hold it have to be "
     "up as anybody else would need who takes over. With --accept-loss they need not.", MINUTE_MS},
    {"pause", "", 0, 0, ASKS | WITH(FOR) | WITH(REASON), false, false, verb_pause,
     "stop automatic actions",
     "A pause over a pause replaces its end and its reason. No failover, no start of a stopped server, no rejoin and no clone until resumed, or until the time is over. The lease "
     "goes on: a primary that loses it is ended, paused or not. Orders are carried out and health checks answered as always."},
    {"resume", "", 0, 0, ASKS, false, false, verb_resume,
     "end a pause", "Automatic actions begin again at once."},
    {"restart", "[NAME]", 0, 1, FOLLOWS | WITH(PENDING) | WITH(YES), false, false, verb_restart,
     "restart PostgreSQL on a member",
     "On the member with that name, else on the one on this machine: then it asks before it begins if that is the primary. With --pending and no name: on every member where a "
     "changed setting waits for a restart, standbys first.", 5 * MINUTE_MS},
    {"reload", "[NAME]", 0, 1, FOLLOWS, false, false, verb_reload,
     "read the configuration again, PostgreSQL's and pgvigil's",
     "On the member with that name, else on every member, witnesses too. Of pgvigil's own options those that need a restart, "
     "or are the cluster's since it was made, keep their old values; the log names them.\n\n"
     "With an observer's file or folder, on its machine: that and all of its clusters' files. Prints what was taken over, and "
     "what needs a restart; ends with 1 if anything does, and with 2 if the file is wrong: then the old one stays in force.", MINUTE_MS},
    {"rejoin", "NAME", 1, 1, FOLLOWS, false, false, verb_rejoin,
     "bring a member back now",
     "Looks at its WAL anew and brings it back by a plain start, a rewind or a clone. This happens by itself too; the "
     "verb is for after a cause was removed, and does not wait for the next try.", 24 * HOUR_MS},
    {"clone", "NAME", 1, 1, FOLLOWS | WITH(YES), false, false, verb_clone,
     "replace a standby's data by a copy of the primary's",
     "Empties the data directory of that member and copies the primary's. WAL that only this member has is saved first. "
     "Asks before it begins. Refused for the primary.", 24 * HOUR_MS},
    {"resolve", "", 0, 0, FOLLOWS | WITH(KEEP) | WITH(YES), false, false, verb_resolve,
     "show several primaries, or WAL that only one member has, and decide which side is kept",
     "Without --keep: both sides with timeline, LSN, WAL and transactions behind the fork, and the last transaction's time. Ends "
     "with 1 while something waits for a decision.\n\n"
     "With --keep: that member's side is kept; says what is lost by it and asks before it begins. If it is the primary's, the "
     "others are rewound or cloned. If it is another's, the present primary is stopped, that member takes over with what it "
     "has, and all others are rewound or cloned. Where no primary was chosen yet, that member begins. What is discarded is "
     "saved before (pgvigil lost).", MINUTE_MS},
    {"lost", "[NUMBER]", 0, 1, WITH(CONFIG) | WITH(NODE) | WITH(JSON), false, false, verb_lost,
     "list the WAL that was saved on this machine before it was discarded, or show the transactions in it",
     "Without a number: all copies, newest first. With the number of one: its transactions, with commit time, XID, position, size "
     "and the relations that they touched. Reads files only, so it works without the daemon; run it as the user that pgvigil "
     "runs as."},
    {"member", "add|remove NAME", 2, 2, FOLLOWS | WITH(YES), false, false, verb_membership,
     "change who belongs to the cluster, one member at a time",
     "add: the member of that name, which [members] names by now on all members (copy the file, then pgvigil reload). A data "
     "member is cloned if its data directory is empty, and gets its vote when it streams from the primary; a witness when it "
     "answers.\n\n"
     "remove: the member loses its vote, then its place, whether it is up or not; asks before it begins. The primary is "
     "switched over first. A majority of those that stay must answer.", 24 * HOUR_MS},
    {"history", "", 0, 0, ASKS | WITH(LIMIT), false, false, verb_history,
     "list failovers, switchovers, rejoins, pauses, changes of members and of whom commits wait for",
     "Merged from all members that answer, oldest first. With --member: what that member has recorded.\n\n"
     "Took: of a failover the time without a primary as the member that took over saw it, without the lease that ran out before; "
     "of a switchover from the handing over; of a restart from when the server was down; of a rejoin from its begin."},
    {"explain", "", 0, 0, ASKS | WITH(STATE) | WITH(ALL), false, false, verb_explain,
     "say why a member acts, or does not",
     "Shows why the member is or is not standing for election, the rule that decides about its server, and the facts that "
     "hold. With --all: every rule in its order, with the fact that decided it; the first that matches is the one that "
     "counts."},
    {"check", "", 0, 0, WITH(CONFIG) | WITH(NODE) | WITH(JSON), false, false, verb_check,
     "find out whether this server is fit",
     "Checks the configuration, the data directory, PostgreSQL and its settings, roles, pg_hba.conf of the other members, "
     "clocks, disks and ports. Each line that is not OK says the cure. Run it as the user that pgvigil runs as. Ends with "
     "1 if anything failed."},
    {"notify", "[NAME]", 0, 1, WITH(CONFIG) | WITH(NODE), false, false, verb_notify,
     "send a test notification",
     "By the section [notify NAME], or by all of them, from this machine, past their filters; the daemon has no part in it and "
     "need not run. A hook is run with the action \"test\". Says of each whether it was taken, and ends with 1 if one was not. "
     "By UDP nobody can say more than that it left."},
    {"config", "check|show|explain KEY|reference|convert NAME", 1, CALL_ARGUMENT_MAX, WITH(CONFIG) | WITH(NODE) | WITH(JSON) | WITH(MARKDOWN), false, false,
     verb_config, "check, show or explain the configuration",
     "check reads the file and lists every error and warning with its line. show prints each value with where it comes "
     "from; secrets are masked. explain KEY tells an option's meaning, range and default. reference prints all options.\n\n"
     "convert NAME -- ARGUMENT... prints the native configuration that a command line of one of the programs that pgvigil replaces "
     "means, with where each value comes from."},
    {"simulate", "", 0, 0, WITH(CONFIG) | WITH(HOURS) | WITH(RUNS) | WITH(SEED) | WITH(ONLY) | WITH(TRACE) | WITH(MINIMIZE) | WITH(JSON),
     false, false, verb_simulate, "try a configuration under faults, without any server",
     "Runs the program's own decision core for every member on a clock of its own, with models of network, disks, clocks and "
     "PostgreSQL, under faults that the seed decides: the same seed is the same run. With --config: the members and settings "
     "of that file, 24 hours unless --hours or --runs says otherwise; tells how often writes stopped and for how long, what "
     "was lost, and what the settings expose to. Without: clusters of all kinds, which is how pgvigil itself is tested.\n\n"
     "Nothing is touched, no member is asked. Ends with 1 if anything broke that must always hold; the line that is printed "
     "then brings it about again, with --trace to be read.", 0,
     "the configuration file to try; without it clusters of all kinds are drawn, whatever $PGVIGIL_CONFIG says"},
    {"as", "NAME", 0, 0, 0, false, true, verb_as, "run as one of the programs that pgvigil replaces",
     "A link to pgvigil under that program's name does the same. Without a name: which there are."},
    {"help", "[VERB]", 0, 1, WITH(CONFIG) | WITH(MAN) | WITH(COMPLETION), false, false, verb_help,
     "explain a verb", "Without a verb: the list of verbs. \"help config\" lists the options of the configuration too."},
    {"version", "", 0, 0, 0, true, false, verb_version, "print the version", ""},
    {"guard", "", 0, 0, 0, true, true, verb_guard, "enforce the lease's deadline; started by run", ""},
    {"release", "", 0, 0, WITH(CONFIG) | WITH(NODE), false, false, verb_release,
     "take the virtual addresses from this machine",
     "For the unit's ExecStopPost: after a crash nobody else may be left who removes them. Does nothing while the process that "
     "holds them, which outlives the daemon and watches the lease's deadline, is there."},
    {"porter", "", 0, 0, 0, true, true, verb_porter, "hold gates and virtual addresses; started by run", ""},
    {NULL},
};
/* clang-format on */

static int unknown_verb(const char *name)
{
    const Verb *nearest = call_nearest_verb(name);

    if (nearest != NULL)
        fprintf(stderr, "pgvigil: there is no verb \"%s\"; is \"%s\" meant?\n", name, nearest->name);
    else
        fprintf(stderr, "pgvigil: there is no verb \"%s\"; pgvigil help lists them\n", name);
    return EXIT_WRONG;
}

int main(int argc, char **argv)
{
    Call call;
    Err err = {0};

    const FrontEnd *front = argc > 0 ? front_find(argv[0]) : NULL;
    if (front != NULL)
        return front->run(argc, argv);
    if (argc < 2) {
        help_overview(stderr);
        return EXIT_WRONG;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    const Verb *verb = call_find_verb(name);
    if (verb == NULL)
        return unknown_verb(name);
    if (!call_parse(verb, argc - 1, argv + 1, &call, &err))
        return call_fail(&err);
    if (!verb->raw && call_has(&call, FLAG_HELP)) {
        help_verb(stdout, verb);
        return EXIT_DONE;
    }
    return verb->run(&call);
}
