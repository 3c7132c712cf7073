/* A cache that is open: see client/ctl/opened.h. */
#include "client/ctl/opened.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/escape.h"
#include "client/ctl/text.h"

void
opened_close(struct opened *opened)
{
	shmalloc_cache_close(opened->cache);
	shmalloc_detach(opened->heap);
}

static int
segment_attach(struct ctl *ctl, uint32_t flags, struct shmalloc **ret_heap)
{
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	int r;

	/* Where to look is said by the variable alone; and who looks at a
	 * daemon starts none. */
	if ((ctl->opt.socket != NULL &&
		setenv("SHMALLOC_SOCKET", ctl->opt.socket, 1) != 0) ||
	    unsetenv("SHMALLOC_AUTOSTART") != 0) {
		text_error("%s", strerror(errno));
		return EXIT_INTERNAL;
	}
	options.flags = flags;
	options.label = "shmallocctl";
	r = shmalloc_attach(ctl->opt.segment, &options, ret_heap);
	if (r == 0)
		return EXIT_OK;
	if (r == SHMALLOC_EUNREACHABLE || r == SHMALLOC_EINVAL)
		return ctl_connect_fail(ctl, r);
	text_error("segment %s: %s",
	    ctl->opt.segment == NULL ? "default" : ctl->opt.segment,
	    r == SHMALLOC_ESYSTEM ? strerror(errno) : shmalloc_strerror(r));
	return ctl_exit_code(r);
}

int
opened_fail(const char *name, int r)
{
	text_error("cache %s: %s", name, shmalloc_cache_strerror(r));
	return r == SHMALLOC_CACHE_EMISS ? EXIT_FALSE : ctl_exit_code(r);
}

int
opened_see(struct ctl *ctl, const char *name, struct opened *ret)
{
	int r = segment_attach(ctl, SHMALLOC_READ_ONLY, &ret->heap);

	if (r != EXIT_OK)
		return r;
	r = shmalloc_cache_open(ret->heap, name, NULL, &ret->cache);
	if (r == 0)
		return EXIT_OK;
	shmalloc_detach(ret->heap);
	/* Who may only read makes none. */
	if (r != SHMALLOC_EREADONLY)
		return opened_fail(name, r);
	text_error("there is no cache '%s'", name);
	return EXIT_REJECTED;
}

int
opened_change(struct ctl *ctl, const char *name, struct opened *ret)
{
	int r = opened_see(ctl, name, ret);

	if (r != EXIT_OK)
		return r;
	opened_close(ret);
	/* Who may write would make what isn't there, so it was looked for. */
	r = segment_attach(ctl, 0, &ret->heap);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_cache_open(ret->heap, name, NULL, &ret->cache);
	if (r == 0)
		return EXIT_OK;
	shmalloc_detach(ret->heap);
	return opened_fail(name, r);
}

bool
opened_key_parse(const char *text, struct shmalloc_bytes *ret_key)
{
	ret_key->data = escape_parse(text, &ret_key->len);
	if (ret_key->data != NULL)
		return true;
	text_error("'%s' is no key: a backslash is written \\\\, other bytes "
		   "\\n, \\t, \\r or \\xHH",
	    text);
	return false;
}

void
opened_key_free(struct shmalloc_bytes key)
{
	free((void *)(uintptr_t)key.data);
}

void *
opened_memory(void *memory)
{
	if (memory != NULL)
		return memory;
	text_error("out of memory");
	exit(EXIT_INTERNAL);
}

json_t *
opened_ttl_json(int64_t ttl_ms)
{
	return ttl_ms == -1 ? json_null() : json_real((double)ttl_ms / 1e3);
}
