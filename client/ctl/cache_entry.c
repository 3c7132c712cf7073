/* `cache get`, `delete`, `clear` and `limit`: an entry of a cache, or all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/escape.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/opened.h"
#include "client/ctl/text.h"

/* ---- get ----------------------------------------------------------------- */

static void
value_json(const char *name, struct shmalloc_bytes key,
    const struct shmalloc_cache_view *view)
{
	char safe[128];
	json_t *object = opened_memory(json_pack("{s:s, s:I, s:I, s:o, s:b}",
	    "cache", text_safe(safe, sizeof(safe), name), "bytes",
	    (json_int_t)view->len, "flags", (json_int_t)view->flags,
	    "ttl_seconds", opened_ttl_json(view->ttl_ms), "stale",
	    (int)view->is_stale));

	escape_json(object, "key", key.data, key.len);
	escape_json(object, "value", view->value, view->len);
	json_print(object, false);
}

/* For people what no terminal obeys, for programs the bytes. */
static void
value_print(const struct ctl *ctl, const struct shmalloc_cache_view *view)
{
	char *text;

	if (!ctl->look.is_terminal) {
		(void)fwrite(view->value, 1, view->len, stdout);
		return;
	}
	text = escape_make(view->value, view->len);
	puts(text);
	free(text);
}

/* A copy of KEY's value: who prints may wait. */
static int
value_copy(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_cache_view *ret_view)
{
	void *copy;
	int r = shmalloc_cache_pin(cache, key, ret_view);

	if (r != 0)
		return r;
	copy = malloc(ret_view->len + 1);
	if (copy != NULL)
		memcpy(copy, ret_view->value, ret_view->len);
	shmalloc_cache_release(cache, ret_view);
	ret_view->value = opened_memory(copy);
	return 0;
}

static int
value_get(struct ctl *ctl, const char *name, struct shmalloc_bytes key)
{
	struct shmalloc_cache_view view;
	struct opened opened;
	int r = opened_see(ctl, name, &opened);

	if (r != EXIT_OK)
		return r;
	r = value_copy(opened.cache, key, &view);
	opened_close(&opened);
	if (r != 0)
		return opened_fail(name, r);
	if (ctl->opt.json)
		value_json(name, key, &view);
	else
		value_print(ctl, &view);
	free((void *)(uintptr_t)view.value);
	return EXIT_OK;
}

int
cache_get_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_bytes key;
	int r;

	(void)argc;
	if (!opened_key_parse(argv[1], &key))
		return EXIT_USAGE;
	r = value_get(ctl, argv[0], key);
	opened_key_free(key);
	return r;
}

/* ---- delete, clear ------------------------------------------------------- */

static int
key_delete(struct ctl *ctl, const char *name, struct shmalloc_bytes key)
{
	struct opened opened;
	int r = opened_change(ctl, name, &opened);
	json_t *object;
	char safe[128];

	if (r != EXIT_OK)
		return r;
	r = shmalloc_cache_delete(opened.cache, key);
	opened_close(&opened);
	if (r != 0)
		return opened_fail(name, r);
	if (!ctl->opt.json) {
		printf("1 entry deleted\n");
		return EXIT_OK;
	}
	object = opened_memory(
	    json_pack("{s:s}", "cache", text_safe(safe, sizeof(safe), name)));
	escape_json(object, "deleted", key.data, key.len);
	json_print(object, false);
	return EXIT_OK;
}

int
cache_delete_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_bytes key;
	int r;

	(void)argc;
	if (!opened_key_parse(argv[1], &key))
		return EXIT_USAGE;
	r = key_delete(ctl, argv[0], key);
	opened_key_free(key);
	return r;
}

/* Clear it; *RET_N entries were deleted meanwhile, by whomever. */
static int
cache_clear(struct shmalloc_cache *cache, uint64_t *ret_n)
{
	struct shmalloc_cache_stats before, after;
	int r = shmalloc_cache_stats(cache, &before);

	if (r == 0)
		r = shmalloc_cache_clear(cache);
	if (r == 0)
		r = shmalloc_cache_stats(cache, &after);
	if (r == 0)
		*ret_n = after.count[SHMALLOC_CACHE_DELETES] -
		    before.count[SHMALLOC_CACHE_DELETES];
	return r;
}

int
cache_clear_run(struct ctl *ctl, int argc, char **argv)
{
	struct opened opened;
	char name[128];
	uint64_t n;
	int r = ctl_confirm(ctl,
	    "Delete all entries of the cache %s?  Its users compute them "
	    "again.",
	    argv[0]);

	(void)argc;
	if (r == EXIT_OK)
		r = opened_change(ctl, argv[0], &opened);
	if (r != EXIT_OK)
		return r;
	r = cache_clear(opened.cache, &n);
	opened_close(&opened);
	if (r != 0)
		return opened_fail(argv[0], r);
	text_safe(name, sizeof(name), argv[0]);
	if (ctl->opt.json)
		json_print(opened_memory(json_pack("{s:s, s:I}", "cleared",
			       name, "entries", (json_int_t)n)),
		    false);
	else
		printf("cache %s cleared, %llu %s deleted\n", name,
		    (unsigned long long)n, n == 1 ? "entry" : "entries");
	return EXIT_OK;
}

/* ---- limit --------------------------------------------------------------- */

static const char *
limit_text(const struct look *look, char buf[QUANTITY_LEN], uint64_t limit)
{
	return limit == 0 ? "none" : look_bytes(look, buf, limit);
}

static void
limit_say(
    const struct ctl *ctl, const char *cache, uint64_t before, uint64_t limit)
{
	char name[128], old[QUANTITY_LEN], new[QUANTITY_LEN];

	text_safe(name, sizeof(name), cache);
	if (ctl->opt.json)
		json_print(opened_memory(json_pack("{s:s, s:I, s:I}", "cache",
			       name, "limit_bytes", (json_int_t)limit,
			       "before_bytes", (json_int_t)before)),
		    false);
	else
		printf("limit of cache %s  %s -> %s\n", name,
		    limit_text(&ctl->look, old, before),
		    limit_text(&ctl->look, new, limit));
}

/* Change it, unless its tables alone are larger: then it could store nothing.
 */
static int
limit_set(struct ctl *ctl, const char *name, struct shmalloc_cache *cache,
    uint64_t limit)
{
	char is[QUANTITY_LEN], least[QUANTITY_LEN];
	struct shmalloc_cache_stats stats;
	int r = shmalloc_cache_stats(cache, &stats);

	if (r == 0 && limit != 0 && limit <= stats.table_bytes) {
		text_error("cache %s: %s is no more than its table alone has, "
			   "%s (unchanged)",
		    name, look_bytes(&ctl->look, is, limit),
		    look_bytes(&ctl->look, least, stats.table_bytes));
		return EXIT_REJECTED;
	}
	if (r == 0)
		r = shmalloc_cache_limit(cache, limit);
	if (r != 0)
		return opened_fail(name, r);
	limit_say(ctl, name, stats.limit, limit);
	return EXIT_OK;
}

int
cache_limit_run(struct ctl *ctl, int argc, char **argv)
{
	struct opened opened;
	uint64_t limit;
	int r;

	(void)argc;
	if (!quantity_parse_bytes(argv[1], &limit) || limit > INT64_MAX) {
		text_error("cache limit: '%s' is no size", argv[1]);
		return EXIT_USAGE;
	}
	r = opened_change(ctl, argv[0], &opened);
	if (r != EXIT_OK)
		return r;
	r = limit_set(ctl, argv[0], opened.cache, limit);
	opened_close(&opened);
	return r;
}
