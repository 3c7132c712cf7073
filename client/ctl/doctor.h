/*
 * The rules of `doctor`: what in the figures of a segment asks for a hand.
 *
 * A rule looks at a ratio and at an amount, and speaks only if both are large:
 * half of the free memory in small pieces means nothing while the segment may
 * grow, and 1 % of a terabyte is not nearly full.
 */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include "client/ctl/ctl.h"

/* As Nagios has them. */
enum doctor_level {
	DOCTOR_OK,
	DOCTOR_WARNING,
	DOCTOR_CRITICAL,
	DOCTOR_UNKNOWN,
};

extern const char *const doctor_level_names[];

/* What the rules look at: the replies' records. */
struct doctor_facts {
	const struct shmalloc_record *stats, *clients, *locks, *parameters;
};

struct doctor_finding {
	const char *rule; /* constant */
	enum doctor_level level;
	char evidence[256]; /* the figures */
	const char *why;    /* constant: what they mean */
	char run[128];      /* a command that shows more, or helps */
};

/*
 * What rule I says of FACTS, sizes as LOOK says: *RET_FINDING if it is not
 * DOCTOR_OK.
 */
enum doctor_level doctor_rule(size_t i, const struct look *look,
    const struct doctor_facts *facts, struct doctor_finding *ret_finding);

size_t doctor_rules(void);

#endif
