/* What values mean, for whoever shows them. */
#ifndef CTL_SCHEMA_H
#define CTL_SCHEMA_H

#include <shmalloc/control.h>

#define SCHEMA_PATH_LEN 128u

struct schema_entry {
	char path[SCHEMA_PATH_LEN]; /* arenas[].lock.busy */
	const char *kind, *unit, *text;
};

struct schema {
	struct schema_entry *entry; /* owned */
	size_t n;
};

/* All of the reply named REPLY, for schema_release().  Memory that can't be
 * had ends the program. */
void schema_make(struct schema *schema, const char *reply);
void schema_release(struct schema *schema);

/* The entry of PATH, or NULL. */
const struct schema_entry *schema_find(
    const struct schema *schema, const char *path);

#endif
