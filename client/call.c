/*
 * Is a marked call going on?
 *
 * Whoever finds a cache's mark set is inside the call that set it, in a signal
 * handler that interrupted it, or comes after a jump that left it.  Addresses
 * alone can't tell: what is called after a jump may lie deeper than the call
 * that was left, and a handler may run on a stack of its own.  So walk the
 * stack, from here outwards.  The call goes on if and only if there is a frame
 * of this library's around the mark, other than those of the call that asks.
 *
 * A fast path's mark is the stack pointer in its frame.  That of cache_enter()
 * is in a frame that has returned since, just below its caller's: hence NEAR.
 *
 * The walk ends at that frame; or, when it has passed the mark without leaving
 * the stack on which the mark is, without one.  It changes stacks only where a
 * signal came, and the unwinder says where that is.  If it meets code without
 * unwind information before that, addresses must do: a handler's frames are
 * deeper than the mark by more than NEAR, as the kernel saves more than that
 * (on x86-64: 440 bytes, the 512 of fxsave at least, and 128 of red zone).
 *
 * libgcc's unwinder takes no lock and allocates nothing once it is set up, with
 * _dl_find_object() of glibc 2.35.  It is linked into this library, so that
 * neither another one nor what a program registers for its own code (which has
 * a lock) comes in between.
 */
#include "client/call.h"

#include <dlfcn.h>
#include <signal.h>
#include <unwind.h>

/* Bytes between a mark and the frame that keeps it, at most. */
#define NEAR 512

struct walk {
	uintptr_t mark;
	uintptr_t start, end; /* this library */
	/* Of the frame before: its stack pointer; is it this library's, and not
	 * of the call that asks? */
	uintptr_t sp;
	bool is_other_call;
	bool has_left_us; /* a frame before was not this library's */
	uintptr_t run;    /* the first stack pointer on this stack */
	enum { WALK_UNKNOWN, WALK_FOUND, WALK_PASSED } result;
};

/* What the walk knows when it comes to a frame whose stack pointer is SP, on
 * the same stack as the frame before. */
static void
walk_judge(struct walk *walk, uintptr_t sp)
{
	if (walk->is_other_call && walk->sp <= walk->mark + NEAR &&
	    walk->mark < sp)
		walk->result = WALK_FOUND;
	else if (walk->run <= walk->mark && walk->mark + NEAR < sp)
		walk->result = WALK_PASSED;
}

static _Unwind_Reason_Code
walk_step(struct _Unwind_Context *frame, void *arg)
{
	struct walk *walk = arg;
	int is_interrupted = 0;
	uintptr_t ip = _Unwind_GetIPInfo(frame, &is_interrupted);
	/* What it was when this frame called the one before. */
	uintptr_t sp = _Unwind_GetCFA(frame);
	bool is_ours = ip >= walk->start && ip < walk->end;

	if (walk->sp == 0 || is_interrupted)
		walk->run = sp;
	else
		walk_judge(walk, sp);
	/* Nothing called the outermost frame. */
	if (walk->result == WALK_UNKNOWN && ip == 0)
		walk->result = WALK_PASSED;
	if (walk->result != WALK_UNKNOWN)
		return _URC_NORMAL_STOP;
	walk->is_other_call = is_ours && walk->has_left_us;
	walk->has_left_us |= !is_ours;
	walk->sp = sp;
	return _URC_NO_REASON;
}

/* As far as addresses tell. */
static bool
frame_is_deeper(uintptr_t mark)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	stack_t stack;

	if (sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK))
		return true;
	return here + NEAR < mark;
}

bool
call_goes_on(uintptr_t mark)
{
	static char here;
	struct dl_find_object library;
	struct walk walk = { .mark = mark };

	if (_dl_find_object(&here, &library) != 0)
		return frame_is_deeper(mark);
	walk.start = (uintptr_t)library.dlfo_map_start;
	walk.end = (uintptr_t)library.dlfo_map_end;
	(void)_Unwind_Backtrace(walk_step, &walk);
	return walk.result == WALK_UNKNOWN ? frame_is_deeper(mark)
					   : walk.result == WALK_FOUND;
}

void
call_watch(void)
{
	(void)call_goes_on((uintptr_t)__builtin_frame_address(0));
}
