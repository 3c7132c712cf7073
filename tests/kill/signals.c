/*
 * Signals at every state of an operation.
 *
 * A handler that leaves the operation by siglongjmp: the next call settles what
 * was left as recovery would, and works.  A handler that calls the library: it
 * gets EDEADLK, or what it asks for, and the operation goes on to its end.
 *
 * The victim is frozen at each distinct state, gets the signal, runs to its end
 * (in the sampled ones stepped, and killed at each state that the settling goes
 * through), is judged, and then goes on from where it was frozen.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "shm/commit.h"
#include "tests/kill/freeze.h"
#include "tests/kill/run.h"

/* ---- In the victim ------------------------------------------------------- */

static sigjmp_buf away;
static struct kill_scene *interrupted;

static void
on_jump(int signal)
{
	(void)signal;
	siglongjmp(away, 1);
}

/* Between two calls it may be served, inside one it may not. */
static void
on_call(int signal)
{
	shmalloc_off off = shmalloc_alloc(interrupted->heap, 64);
	int saved = errno;

	(void)signal;
	if (off)
		shmalloc_free(interrupted->heap, off);
	else if (saved != EDEADLK)
		kill_board->result[0] = saved;
	errno = saved;
}

#define PROBES 120

struct probe {
	shmalloc_off off;
	size_t size;
};

static size_t
probes_take(struct kill_scene *scene, struct probe probe[], size_t n, size_t to,
    size_t size)
{
	for (; n < to; n++) {
		probe[n].off = shmalloc_alloc(scene->heap, size);
		probe[n].size = size;
		if (probe[n].off == 0)
			break;
	}
	return n;
}

/*
 * Nothing is handed out twice.  A cache that still names what an abandoned call
 * had put back would hand out as SECOND bytes what the arena has carved for
 * FIRST bytes since: fill that class, empty the other one, then the first.
 */
static bool
objects_are_apart(struct kill_scene *scene, size_t first, size_t second)
{
	struct probe probe[PROBES];
	size_t n = probes_take(scene, probe, 0, 1, first);

	if (n > 0)
		shmalloc_free(scene->heap, probe[0].off);
	n = probes_take(scene, probe, 0, PROBES / 2, second);
	n = probes_take(scene, probe, n, PROBES, first);
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (probe[i].off < probe[k].off + probe[k].size &&
			    probe[k].off < probe[i].off + probe[i].size)
				return false;
	while (n > 0)
		shmalloc_free(scene->heap, probe[--n].off);
	return true;
}

/* Nobody's claim is in the way of a new name. */
static bool
roots_are_made(struct kill_scene *scene)
{
	shmalloc_slot *slot;

	return shmalloc_root(scene->heap, "after", &slot) == 0 &&
	    shmalloc_root_remove(scene->heap, "after") == 0;
}

bool
signals_run(struct kill_scene *scene, kill_fn *run)
{
	struct sigaction jump = { .sa_handler = on_jump };
	struct sigaction call = { .sa_handler = on_call };
	bool is_good;

	interrupted = scene;
	if (sigaction(SIGUSR1, &jump, NULL) != 0 ||
	    sigaction(SIGUSR2, &call, NULL) != 0)
		return false;
	is_good = sigsetjmp(away, 1) != 0 || run(scene);
	/* Now what was left is settled. */
	return is_good && shmalloc_enter(scene->heap) == 0 &&
	    shmalloc_exit(scene->heap) == 0 &&
	    (kill_board->is_stepped ||
		(objects_are_apart(scene, 850, 900) &&
		    roots_are_made(scene))) &&
	    shmalloc_alloc(scene->heap, 700) != 0 && kill_board->result[0] == 0;
}

/* ---- In the tracer ------------------------------------------------------- */

struct pass {
	struct kill_copy end; /* the segment when the victim came to its end */
	struct kill_points *points;
	/* What recovery leaves after a signal; checked when it is known what it
	 * leaves before and after the operation. */
	struct kill_summary seen[4096];
	bool is_call[4096];
	size_t n;
};

/* No list names what had left it before a jump. */
static bool
nothing_left_twice(const struct shm_seg *seg)
{
	for (uint32_t i = SHM_DAEMON_SLOT + 1; i < 8; i++) {
		const struct shm_client *client = &seg->clients[i];

		if (!shm_client_is_there(seg, i))
			break;
		if (shm_load(&client->retired_bytes) >= 0)
			continue;
		(void)printf("# something was given back twice\n");
		return false;
	}
	return true;
}

/* Judge what the live segment is now. */
static bool
end_judge(struct kill_run *run, struct pass *pass, bool is_call)
{
	struct kill_copy *end = &pass->end;
	struct kill_summary now;

	(void)copy_notice(end, &run->rig.live);
	copy_restore(end, &end->seg);
	if (end->is_torn || !judge_commit(&end->seg) ||
	    !nothing_left_twice(&end->seg) ||
	    !judge(&end->seg, run->slot, &now))
		return false;
	if (pass->n < sizeof(pass->seen) / sizeof(*pass->seen)) {
		pass->is_call[pass->n] = is_call;
		pass->seen[pass->n++] = now;
	}
	return true;
}

/* Step from the signal to the end: the settling is killed at each state. */
static bool
settle_step(struct kill_run *run, struct pass *pass)
{
	enum kill_stop stop = KILL_STEPPED;

	(void)copy_notice(&pass->end, &run->rig.live);
	while (stop == KILL_STEPPED) {
		if (!trace_look(&run->trace))
			return false;
		stop = trace_step(&run->trace, 0);
		pass->points->steps++;
		if (stop == KILL_BROKEN)
			return false;
		if (!copy_notice_touch(&pass->end, &run->trace))
			continue;
		pass->points->states++;
		if (!end_judge(run, pass, false))
			return false;
	}
	return stop == KILL_STOPPED;
}

static bool
signal_try(struct kill_run *run, struct pass *pass, int signal, bool is_stepped)
{
	uint64_t steps = run->trace.steps;
	struct frozen frozen;
	bool is_good = freeze_save(&frozen, run->trace.pid);

	kill_board->is_stepped = is_stepped;
	if (is_good)
		is_good = trace_step(&run->trace, signal) == KILL_STEPPED &&
		    (is_stepped ? settle_step(run, pass)
				: trace_run(&run->trace) == KILL_STOPPED) &&
		    end_judge(run, pass, signal == SIGUSR2);
	if (!is_good)
		(void)printf("# signal %d at step %llu, state %llu\n", signal,
		    (unsigned long long)steps, (unsigned long long)run->states);
	copy_restore(&run->copy, &run->rig.live);
	is_good = is_good && freeze_load(&frozen, run->trace.pid);
	freeze_free(&frozen);
	run->trace.steps = steps;
	kill_board->is_stepped = true;
	pass->points->runs++;
	return is_good;
}

/* The short form jumps from every other state and calls from the others. */
static bool
signals_try(struct kill_run *run, void *arg)
{
	struct pass *pass = arg;
	bool is_long = kill_is_long();
	bool jumps = is_long || run->states % 2 == 0;
	bool calls = is_long || run->states % 2 == 1;
	bool steps = is_long || run->states % 32 == 8;

	return (!jumps || signal_try(run, pass, SIGUSR1, false)) &&
	    (!calls || signal_try(run, pass, SIGUSR2, false)) &&
	    (!steps || signal_try(run, pass, SIGUSR1, true));
}

/* After a call from a handler the operation is done; after a jump it is done or
 * it never was. */
static bool
outcomes_are_right(const struct kill_run *run, const struct pass *pass)
{
	for (size_t i = 0; i < pass->n; i++)
		if (!kill_summary_same(&pass->seen[i], &run->last) &&
		    (pass->is_call[i] ||
			!kill_summary_same(&pass->seen[i], &run->before))) {
			(void)printf("# a signal led to a third outcome\n");
			return false;
		}
	return pass->n > 0;
}

bool
signals_test(struct kill_run *run, struct kill_points *points)
{
	static struct pass pass;
	bool is_good;

	memset(&pass, 0, sizeof(pass));
	pass.points = points;
	kill_board->is_stepped = true;
	is_good = copy_open(&pass.end, &run->rig.live) &&
	    run_all(run, signals_try, &pass) && outcomes_are_right(run, &pass);
	copy_close(&pass.end);
	return is_good;
}
