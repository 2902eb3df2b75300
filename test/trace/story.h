/*
 * story.h: the stories whose traces are kept; each says what happens and asserts how it must end.
 */
#ifndef TEST_TRACE_STORY_H
#define TEST_TRACE_STORY_H

#include "sim/cluster.h"

typedef struct Story {
    const char *name;
    int data;
    bool witness;
    void (*run)(Cluster *c);
} Story;

extern const Story stories_failover[];
extern const Story stories_operator[];
extern const Story stories_late[];
extern const Story stories_members[];
extern const Story stories_change[];
extern const Story stories_fence[];
extern const Story stories_primaries[];
extern const Story stories_prefer[];

/* Ends the run unless the condition holds. */
#define EXPECT(c, condition)                                                                                 \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            cluster_fail(c, "%s:%d: expected %s", __FILE__, __LINE__, #condition);                           \
    } while (0)

#define EXPECT_WHOLE(c, limit_ms)                                                                            \
    do {                                                                                                     \
        if (!cluster_heals(c, limit_ms))                                                                     \
            cluster_fail(c, "%s:%d: not whole: %s", __FILE__, __LINE__, cluster_lacks(c));                   \
    } while (0)

#endif
