/*
 * Killing a client at every instruction of an operation.
 *
 * A traced child, linked with the shared library, attaches to a real daemon,
 * prepares a heap state, stops, and then runs one operation one machine
 * instruction at a time.  Whenever an instruction has changed the segment or
 * the readers' pins, both are copied; in the copy the child is dead.  The copy
 * is recovered as the daemon would, and judged:
 *
 *   - the check finds nothing, and every committed page has memory;
 *   - no tag names the dead client or its thread, nothing is lost;
 *   - what is left (published objects, roots) is what recovery leaves of the
 *     state before the operation, or of the state after it;
 *   - what a living reader is on stays as it is;
 *   - another client allocates and frees at once.
 *
 * A copy for each distinct state makes the work linear in the instructions.
 */
#ifndef TESTS_KILL_H
#define TESTS_KILL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmalloc/shmalloc.h>

#include "shm/self.h"

/* ---- Operations; ops.c, scene.c ------------------------------------------ */

#define KILL_OBJECTS 64
#define KILL_PARAMS  3
#define KILL_KEYS    4

/* What processes of one run tell each other; shared memory. */
struct kill_board {
	shmalloc_off off[KILL_OBJECTS]; /* of the other client */
	size_t n;
	/* An object that a reader is on: nobody may touch its bytes. */
	shmalloc_off guarded;
	size_t guarded_len;
	/* Of a pair: the results, and what each would publish. */
	int result[2];
	shmalloc_off mine[2];
	bool is_stepped; /* so is what follows a signal: nothing long */
	/* All that is shared hangs from a cache, which is judged by what it
	 * holds. */
	bool is_cache;
};

extern struct kill_board *kill_board;

/* What an operation works on; the process's own. */
struct kill_scene {
	struct shmalloc *heap;
	shmalloc_slot *slot; /* of the root "kill" */
	shmalloc_off off[KILL_OBJECTS];
	size_t n;
};

typedef bool kill_fn(struct kill_scene *scene);

/* Heap states that an operation begins in. */
enum kill_state {
	KILL_COLD,      /* nobody has allocated */
	KILL_WARM,      /* every class has been used, and some of it freed */
	KILL_CONTENDED, /* warm; every arena is locked, its holder stopped */
	KILL_NEARLY,    /* near limit.hard: a little is free */
	KILL_FULL,      /* nothing is left below limit.hard */
	KILL_STATES,
};

enum kill_flag {
	KILL_MAY_FAIL = 1 << 0, /* for want of memory, at the limit */
	KILL_ASKS = 1 << 1,     /* the daemon runs while it waits for it */
	KILL_ENDS = 1 << 2,     /* its process or thread ends, or its program */
	KILL_FORKS = 1 << 3,    /* run in a child of the process */
	KILL_THREAD = 1 << 4,   /* run in a thread, up to its end */
	KILL_RAW = 1 << 5,      /* not attached yet */
	KILL_HOLD = 1 << 6,     /* arenas are locked while `act` runs */
	KILL_SIGNALS = 1 << 7,  /* signals are sent at its states, too */
	KILL_RECOVER =
	    1 << 8, /* the recovery is killed in the short form, too */
	/* What a cache holds changes more than once: it evicts, or moves. */
	KILL_CACHE_STEPS = 1 << 9,
	KILL_EXTRA = KILL_MAY_FAIL | KILL_SIGNALS | KILL_RECOVER,
};

/* What must have happened in a run: else it isn't the path that it names. */
enum kill_went {
	KILL_WENT_SPLIT = 1 << 0,
	KILL_WENT_EXACT = 1 << 1, /* allocated without a split */
	KILL_WENT_FAST = 1 << 2,  /* fewer chunks in the fastbins */
	KILL_WENT_EXTEND = 1 << 3,
	KILL_WENT_COALESCE = 1 << 4,
	KILL_WENT_DRAIN = 1 << 5,
	KILL_WENT_PUSH = 1 << 6,
	KILL_WENT_PUNCH = 1 << 7,
	KILL_WENT_CONSOLIDATE = 1 << 8,
	KILL_WENT_ARENA = 1 << 9,    /* an arena was made */
	KILL_WENT_REPAIR = 1 << 10,  /* an index was rebuilt by a client */
	KILL_WENT_CHANGE = 1 << 11,  /* what recovery leaves has changed */
	KILL_WENT_EPOCH = 1 << 12,   /* a stamp was taken */
	KILL_WENT_FASTBIN = 1 << 13, /* more chunks in the fastbins */
};

#define KILL_BIT(state) (1u << (state))

/* One operation: prepare() runs freely, run() is stepped.  other() and act()
 * run before, in another client, which lives on. */
struct kill_op {
	const char *name;
	unsigned
	    states;    /* KILL_BIT: begun in these; `went` holds in the first */
	unsigned more; /* and in these when all states are asked for */
	kill_fn *prepare, *run;
	unsigned flags, went;
	kill_fn *other, *act;
	const char *param[KILL_PARAMS]; /* tunables of the daemon's, or NULL */
};

extern const struct kill_op kill_ops[];
extern const size_t kill_n_ops;

/* Make the heap state: before prepare(), and after it. */
bool scene_begin(struct kill_scene *scene, enum kill_state state);
bool scene_fill(struct kill_scene *scene, enum kill_state state);

/* Allocate SIZE bytes, written, and note them in the scene. */
bool scene_take(struct kill_scene *scene, size_t size);

extern const char *const kill_state_names[KILL_STATES];

/* ---- The daemon and the segment under test; rig.c ------------------------ */

struct kill_rig {
	char dir[64];
	pid_t daemon;
	struct shm_seg live; /* the daemon's segment, mapped by the tracer */
};

/* Start a daemon whose segment may have SIZE bytes; tunables that are NULL
 * keep their defaults. */
bool rig_start(struct kill_rig *rig, const char *daemon_path, const char *size,
    const char *const param[KILL_PARAMS]);
void rig_stop(struct kill_rig *rig);

/* Map the segment that process PID has attached to. */
bool rig_map(struct kill_rig *rig, pid_t pid);

/* Stop the daemon, and let it go on. */
bool rig_daemon_hold(struct kill_rig *rig);
void rig_daemon_go(struct kill_rig *rig);

/* Hold every arena's lock as the daemon's thread, which is stopped; or not. */
void rig_arenas_hold(struct kill_rig *rig, bool is_held);

/* The slot of the client that process PID is; 0: none. */
uint32_t rig_slot(const struct shm_seg *seg, pid_t pid);

/* ---- Stepping; decode.c, trace.c ----------------------------------------- */

enum kill_touch {
	KILL_NOTHING, /* neither the segment nor the pins */
	KILL_SEGMENT,
	KILL_PINS,
	KILL_ANYTHING, /* a system call, or an instruction not understood */
};

struct kill_insn {
	uint64_t rip;
	enum {
		INSN_PLAIN,
		INSN_MEMORY,
		INSN_STRING,
		INSN_SYSCALL,
		INSN_VAGUE
	} kind;
	bool is_locked;
	int base, index; /* register numbers, -1: none */
	int scale;
	int64_t disp;
};

/* Decode the instruction in the N bytes at CODE. */
void insn_decode(const uint8_t *code, size_t n, struct kill_insn *ret);

/* A stopped thread that is stepped. */
struct kill_trace {
	pid_t pid;
	const struct shm_seg *seg; /* our view of the memory that it changes */
	uint64_t base, pins;       /* where it has that mapped; 0: not yet */
	/* The instruction that comes next, and what it may touch. */
	struct kill_insn insn;
	enum kill_touch touch;
	uint64_t off; /* in the segment or in the pins */
	struct kill_insn *known;
	uint64_t steps;
};

enum kill_stop {
	KILL_STEPPED,
	KILL_STOPPED, /* by a SIGSTOP of its own: the operation is over */
	KILL_ENDED,   /* it has exited */
	KILL_BROKEN,  /* anything else; printed */
};

bool trace_begin(
    struct kill_trace *trace, pid_t pid, const struct shm_seg *seg);
void trace_end(struct kill_trace *trace);

/* Look for the mappings again; false: there are none. */
bool trace_maps(struct kill_trace *trace);

/* Look at the next instruction. */
bool trace_look(struct kill_trace *trace);

/* Execute it, delivering SIGNAL (0: none) instead of it if there is one. */
enum kill_stop trace_step(struct kill_trace *trace, int signal);

/* Go on freely to the next SIGSTOP. */
enum kill_stop trace_run(struct kill_trace *trace);

/* ---- Copies; copy.c ------------------------------------------------------ */

struct kill_copy {
	struct shm_seg seg;
	char *shadow;    /* the live segment's committed pages, as last seen */
	uint64_t *pages; /* their numbers, rising */
	uint32_t *place; /* by number: 1 + its place in `pages`, 0 none */
	size_t n_pages;
	char *pins; /* the pins in use, as last seen */
	size_t pins_len;
	bool is_torn; /* a page was committed and had no memory; printed */
};

bool copy_open(struct kill_copy *copy, const struct shm_seg *live);
void copy_close(struct kill_copy *copy);

/* Has the live segment changed since the last call?  Then the shadow has its
 * present contents. */
bool copy_notice(struct kill_copy *copy, const struct shm_seg *live);

/* The same, when all that may have changed is what TRACE touched. */
bool copy_notice_touch(struct kill_copy *copy, const struct kill_trace *trace);

/* Make SEG equal to the shadow; pages that aren't committed may have memory. */
void copy_restore(struct kill_copy *copy, struct shm_seg *seg);

/* ---- Judging; judge.c ---------------------------------------------------- */

/* What recovery leaves: compared between states. */
struct kill_summary {
	uint64_t n_shared, shared_bytes, slot;
	/* Of the cache, instead of those, if it is one: a hash of all of it, a
	 * byte of each of the first keys' values. */
	uint64_t contents;
	char value[KILL_KEYS];
};

bool kill_summary_same(
    const struct kill_summary *a, const struct kill_summary *b);

/* Recover the segment as a new daemon would: every client is dead.  */
bool judge_recover(struct shm_seg *seg);

/* The client in SLOT is dead.  1: all came back; SHM_ERETRY: something waits
 * for readers. */
int judge_client_recover(struct shm_seg *seg, uint32_t slot);

/*
 * Recover SEG after the death of the client in SLOT (0: of everybody), judge
 * it, and then the same after the death of all others.  *RET is what is left.
 * On false the reason has been printed.
 */
bool judge(struct shm_seg *seg, uint32_t slot, struct kill_summary *ret);

/* Whether a daemon that goes on, and doesn't start, knows of all that the
 * commit word says too much: it recounts only then.  On false it is printed. */
bool judge_commit(const struct shm_seg *seg);

/* The slot of the root NAME; 0: it is absent, too. */
uint64_t judge_root(const struct shm_seg *seg, const char *name);

/* The root's slot "kill". */
uint64_t judge_slot(const struct shm_seg *seg);

#endif
