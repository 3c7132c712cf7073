/*
 * Is a marked call going on?
 */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Is the call of this thread that left MARK (see cache_mark()) going on, so
 * that we are in a signal handler that interrupted it, or in something that it
 * called?  False: a jump has left it.  True if that can't be told.  Safe in a
 * handler: no lock, no allocation, some 3 KiB of stack.
 */
bool call_goes_on(uintptr_t mark);

/* Let the unwinder set itself up; before any handler needs it. */
void call_watch(void);

#endif
