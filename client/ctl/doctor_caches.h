/* The rules of `doctor` that are about shared caches. */
#ifndef CTL_DOCTOR_CACHES_H
#define CTL_DOCTOR_CACHES_H

#include "client/ctl/doctor.h"

/* Stores find no memory, although they evict. */
enum doctor_level doctor_stores_rule(const struct look *look,
    const struct doctor_facts *facts, struct doctor_finding *finding);

/* A cache without a limit has taken all that the segment had. */
enum doctor_level doctor_greed_rule(const struct look *look,
    const struct doctor_facts *facts, struct doctor_finding *finding);

#endif
