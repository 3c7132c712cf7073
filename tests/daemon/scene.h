/*
 * What the daemon is killed in the middle of: clients at work, clients that
 * die, and operators; and the judgement.
 */
#ifndef TESTS_DAEMON_SCENE_H
#define TESTS_DAEMON_SCENE_H

#include <stdbool.h>

/* Start clients that work all the time, and compare what they read with what
 * they wrote. */
bool scene_open(void);

/* End them; is everything freed, and nobody ever read a wrong byte? */
bool scene_close(void);

/* Before each kill: something to trim, and a client that may die. */
bool scene_prepare(void);

/* While the clients rest: is the segment in order, do its bytes add up? */
bool scene_judge(void);

bool scene_is_served(void);

/* Each makes the daemon do something. */
void scene_create(void);
void scene_destroy(void);
void scene_attach(void);
void scene_grow(void);
void scene_trim(void);
void scene_tune(void);
void scene_die(void);
void scene_die_locked(void);

#endif
