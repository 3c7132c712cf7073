#include "server/recall.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/log.h"

#define NAME "config/%u"

static void
number_name(unsigned number, char ret[KEPT_NAME])
{
	snprintf(ret, KEPT_NAME, NAME, number);
}

/* A file of what CONFIG says, or -1. */
static int
config_file(const struct config *config)
{
	int fd = memfd_create("shmallocd:config", MFD_CLOEXEC);
	FILE *out = fd >= 0 ? fdopen(dup(fd), "w") : NULL;
	if (out != NULL) {
		config_dump(config, out);
		if (fclose(out) == 0)
			return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

void
recall_put(struct server *server)
{
	char name[KEPT_NAME];
	unsigned before = server->config_number++;
	int fd = config_file(&server->config);
	if (fd < 0) {
		log_error(
		    "the configuration cannot be kept: %s", strerror(errno));
		return;
	}
	number_name(server->config_number, name);
	store_put(&server->store, name, &fd, 1);
	close(fd);
	number_name(before, name);
	store_remove(&server->store, name);
}

void
recall_drop(struct server *server)
{
	char name[KEPT_NAME];
	number_name(server->config_number, name);
	store_remove(&server->store, name);
}

static const struct kept *
entry_last(const struct kept_list *kept, unsigned *ret_number)
{
	const struct kept *last = NULL;
	unsigned number;
	*ret_number = 0;
	for (size_t i = 0; i < kept->n; i++)
		if (sscanf(kept->entry[i].name, NAME, &number) == 1 &&
		    number > *ret_number) {
			last = &kept->entry[i];
			*ret_number = number;
		}
	return last;
}

unsigned
recall_number(const struct kept_list *kept)
{
	unsigned number;
	(void)entry_last(kept, &number);
	return number;
}

int
recall_get(const struct kept_list *kept, struct config *config,
    config_report_fn report, void *arg)
{
	char path[64];
	unsigned number;
	const struct kept *entry = entry_last(kept, &number);
	config_init(config);
	if (entry == NULL)
		return SHM_EINVAL;
	snprintf(path, sizeof path, "/proc/self/fd/%d", entry->fd[0]);
	return config_read_file(config, path, report, arg) == 0 ? 0
								: SHM_EINVAL;
}
