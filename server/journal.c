#include "server/journal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/log.h"
#include "server/server.h"
#include "server/slot.h"

const char *const journal_kind_names[JOURNAL_KINDS] = {
	[JOURNAL_START] = "start",
	[JOURNAL_SEGMENT] = "segment",
	[JOURNAL_ATTACH] = "attach",
	[JOURNAL_ORPHAN] = "orphan",
	[JOURNAL_DEATH] = "death",
	[JOURNAL_RECLAIM] = "reclaim",
	[JOURNAL_EVICT] = "evict",
	[JOURNAL_REPAIR] = "repair",
	[JOURNAL_QUARANTINE] = "quarantine",
	[JOURNAL_FAILURE] = "failure",
	[JOURNAL_LIMIT] = "limit",
	[JOURNAL_MISUSE] = "misuse",
	[JOURNAL_TUNE] = "tune",
	[JOURNAL_OPERATOR] = "operator",
};

/* What outlives a daemon that is killed.  Entry N is at N % JOURNAL_LEN. */
struct journal {
	uint64_t size; /* of this: another daemon's may differ */
	uint64_t unused;
	double began;
	struct journal_entry ring[JOURNAL_LEN];
};

/* Until there is a file, and if there can't be one. */
static struct journal alone;
static struct journal *journal = &alone;
static int journal_file = -1;
/* Those of 1 to `last` that fit are there. */
static uint64_t last;

/* ---- Keeping it ---------------------------------------------------------- */

static struct journal *
file_map(int fd)
{
	struct stat st;
	void *at;
	if (fd < 0 || fstat(fd, &st) != 0 ||
	    st.st_size != (off_t)sizeof(struct journal))
		return NULL;
	at = mmap(NULL, sizeof(struct journal), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	return at != MAP_FAILED ? at : NULL;
}

static int
file_make(void)
{
	int fd = memfd_create("shmallocd:events", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, sizeof(struct journal)) == 0)
		return fd;
	log_error("events end with this daemon, for there is no memory to keep "
		  "them in: %s",
	    strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* An entry that a daemon was killed in has number 0. */
static bool
is_entry(const struct journal *at, uint64_t i)
{
	const struct journal_entry *entry = &at->ring[i];
	return entry->number > 0 && entry->number % JOURNAL_LEN == i &&
	    entry->kind < JOURNAL_KINDS &&
	    memchr(entry->text, '\0', sizeof entry->text) != NULL &&
	    memchr(entry->segment, '\0', sizeof entry->segment) != NULL &&
	    memchr(entry->command, '\0', sizeof entry->command) != NULL;
}

static uint64_t
entries_last(struct journal *at)
{
	uint64_t most = 0;
	for (uint64_t i = 0; i < JOURNAL_LEN; i++)
		if (!is_entry(at, i))
			at->ring[i].number = 0;
		else if (at->ring[i].number > most)
			most = at->ring[i].number;
	return most;
}

bool
journal_open(int fd)
{
	struct journal *at = file_map(fd);
	bool is_adopted = at != NULL && at->size == sizeof *at;
	if (!is_adopted) {
		if (at != NULL)
			munmap(at, sizeof *at);
		if (fd >= 0)
			close(fd);
		fd = file_make();
		at = file_map(fd);
		if (at == NULL && fd >= 0) {
			log_error(
			    "events end with this daemon: %s", strerror(errno));
			close(fd);
		}
		if (at == NULL)
			return false;
		at->size = sizeof *at;
	}
	journal = at;
	journal_file = fd;
	last = entries_last(at);
	return is_adopted;
}

int
journal_fd(void)
{
	return journal_file;
}

/* ---- Events -------------------------------------------------------------- */

static void
entry_fill(struct journal_entry *entry, const struct segment *segment,
    const struct slot *slot)
{
	if (segment != NULL)
		snprintf(
		    entry->segment, sizeof entry->segment, "%s", segment->name);
	if (slot == NULL)
		return;
	entry->has_client = true;
	entry->pid = slot->pid;
	entry->uid = slot->uid;
	snprintf(entry->command, sizeof entry->command, "%s", slot->command);
}

/* The number comes last: what has none was never written. */
void
journal_note(enum journal_kind kind, const struct segment *segment,
    const struct slot *slot, const char *format, ...)
{
	struct journal_entry *entry = &journal->ring[++last % JOURNAL_LEN];
	va_list args;
	entry->number = 0;
	atomic_signal_fence(memory_order_seq_cst);
	*entry = (struct journal_entry){ .time = server_time(), .kind = kind };
	entry_fill(entry, segment, slot);
	if (last == 1)
		journal->began = entry->time;
	va_start(args, format);
	vsnprintf(entry->text, sizeof entry->text, format, args);
	va_end(args);
	atomic_signal_fence(memory_order_seq_cst);
	entry->number = last;
}

uint64_t
journal_last(void)
{
	return last;
}

double
journal_began(void)
{
	return journal->began;
}

const struct journal_entry *
journal_get(uint64_t number)
{
	const struct journal_entry *entry =
	    &journal->ring[number % JOURNAL_LEN];
	return number > 0 && entry->number == number ? entry : NULL;
}
