/*
 * Samples are copied, sorted, and those of one stack, client and arena become
 * one, so that their sum is rounded, and not each of them.  The addresses of
 * stacks, sorted too, become locations; modules, mappings.
 *
 * A module gets addresses of its own in the profile, beside those of all
 * others, as it would have in one process that had loaded all of them; one that
 * runs at fixed addresses keeps these.
 */
#include "server/pprof.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "proto/profile.pb-c.h"
#include "server/pool.h"
#include "shm/access.h"

#define GZIP_WINDOW  (15 + 16)
#define GZIP_MEMORY  8
/* A module's addresses in the profile begin here times its number plus one. */
#define MODULE_SHIFT 36
#define VALUES       2u
#define LABELS       3u

typedef Perftools__Profiles__Profile profile_message;
typedef Perftools__Profiles__Sample sample_message;
typedef Perftools__Profiles__Label label_message;
typedef Perftools__Profiles__Mapping mapping_message;
typedef Perftools__Profiles__Location location_message;
typedef Perftools__Profiles__ValueType value_type_message;

/* One stack of one client in one arena. */
struct stack {
	struct shm_sample_copy of;
	double objects, bytes; /* that it stands for */
};

struct making {
	struct shm_seg *seg;
	struct stack *stacks;
	size_t n_stacks;
	uint64_t *frames; /* sorted, each once */
	size_t n_frames;
	uint64_t *mapping_of; /* of a module; 0: none */
	profile_message profile;
	struct pool pool;
};

/* ---- What there is ------------------------------------------------------- */

static int
compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int
stack_compare(const void *left, const void *right)
{
	const struct shm_sample_copy *a = &((const struct stack *)left)->of;
	const struct shm_sample_copy *b = &((const struct stack *)right)->of;
	int r = compare(a->slot, b->slot);
	if (r == 0)
		r = compare(a->generation, b->generation);
	if (r == 0)
		r = compare(a->pid, b->pid);
	if (r == 0)
		r = strcmp(a->command, b->command);
	if (r == 0)
		r = compare(a->arena, b->arena);
	if (r == 0)
		r = compare(a->is_shared, b->is_shared);
	if (r == 0)
		r = compare(a->n_frames, b->n_frames);
	for (uint32_t i = 0; i < a->n_frames && r == 0; i++)
		r = compare(a->frame[i], b->frame[i]);
	return r;
}

/* Take sample INDEX, if it is there and its numbers are possible ones. */
static bool
stack_read(struct making *making, uint32_t index, struct stack *to)
{
	uint64_t most = shm_params[SHM_PARAM_profile_sample_bytes].max;
	if (!shm_sample_read(making->seg, index, &to->of) || to->of.rate == 0 ||
	    to->of.rate > most || to->of.unit == 0)
		return false;
	for (char *c = to->of.command; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	to->objects = -1 / expm1(-(double)to->of.unit / (double)to->of.rate);
	to->bytes = to->objects * (double)to->of.size;
	return true;
}

static void
stacks_merge(struct making *making)
{
	struct stack *stacks = making->stacks;
	size_t n = 0;
	qsort(stacks, making->n_stacks, sizeof *stacks, stack_compare);
	for (size_t i = 0; i < making->n_stacks; i++) {
		if (n > 0 && stack_compare(&stacks[n - 1], &stacks[i]) == 0) {
			stacks[n - 1].objects += stacks[i].objects;
			stacks[n - 1].bytes += stacks[i].bytes;
		} else {
			if (n != i)
				stacks[n] = stacks[i];
			n++;
		}
	}
	making->n_stacks = n;
}

static int
stacks_read(struct making *making)
{
	uint32_t n = shm_samples_used(making->seg);
	making->stacks = malloc((n + 1) * sizeof *making->stacks);
	if (making->stacks == NULL)
		return SHM_ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		making->n_stacks +=
		    stack_read(making, i, &making->stacks[making->n_stacks]);
	return 0;
}

static int
frame_compare(const void *left, const void *right)
{
	return compare(*(const uint64_t *)left, *(const uint64_t *)right);
}

/* All addresses of all stacks, each once. */
static int
frames_collect(struct making *making)
{
	size_t n = 0, all = 0;
	for (size_t i = 0; i < making->n_stacks; i++)
		all += making->stacks[i].of.n_frames;
	uint64_t *frames = malloc((all + 1) * sizeof *frames);
	making->frames = frames;
	if (frames == NULL)
		return SHM_ENOMEM;
	all = 0;
	for (size_t i = 0; i < making->n_stacks; i++) {
		const struct shm_sample_copy *of = &making->stacks[i].of;
		memcpy(frames + all, of->frame, of->n_frames * sizeof *frames);
		all += of->n_frames;
	}
	qsort(frames, all, sizeof *frames, frame_compare);
	for (size_t i = 0; i < all; i++)
		if (n == 0 || frames[n - 1] != frames[i])
			frames[n++] = frames[i];
	making->n_frames = n;
	return 0;
}

/* ---- Strings ------------------------------------------------------------- */

/* Those of all stacks and modules, and a few more. */
static size_t
strings_most(const struct making *making)
{
	return 3 * making->n_stacks + 2 * SHM_MODULES + 64;
}

static int64_t
string_add(struct making *making, const char *text)
{
	profile_message *profile = &making->profile;
	profile->string_table[profile->n_string_table] =
	    pool_strdup(&making->pool, text);
	return (int64_t)profile->n_string_table++;
}

/* TEXT, if it is one of those from FIRST on; else it is added. */
static int64_t
string_again(struct making *making, size_t first, const char *text)
{
	const profile_message *profile = &making->profile;
	for (size_t i = profile->n_string_table; i-- > first;)
		if (strcmp(profile->string_table[i], text) == 0)
			return (int64_t)i;
	return string_add(making, text);
}

/* ---- Mappings and locations ---------------------------------------------- */

static uint64_t
module_base(uint32_t index, const struct shm_module_copy *module)
{
	return module->is_fixed ? 0 : (uint64_t)(index + 1) << MODULE_SHIFT;
}

static void
mapping_add(
    struct making *making, uint32_t index, const struct shm_module_copy *module)
{
	profile_message *profile = &making->profile;
	uint64_t base = module_base(index, module);
	char id[2 * sizeof module->id + 1] = "";
	mapping_message *to = pool_alloc(&making->pool, sizeof *to);
	perftools__profiles__mapping__init(to);
	for (uint32_t i = 0; i < module->id_len; i++)
		snprintf(id + 2 * i, 3, "%02x", module->id[i]);
	to->id = profile->n_mapping + 1;
	to->memory_start = base + module->start;
	to->memory_limit = base + module->end;
	to->file_offset = module->file_off;
	to->filename = string_add(making, module->name);
	to->build_id = *id != '\0' ? string_add(making, id) : 0;
	profile->mapping[profile->n_mapping++] = to;
	making->mapping_of[index] = to->id;
}

/* Where FRAME is in the profile; a module that isn't there, or does not reach
 * so far, gives an address in no mapping. */
static void
location_add(struct making *making, uint64_t frame)
{
	profile_message *profile = &making->profile;
	uint64_t at = frame & ((UINT64_C(1) << SHM_FRAME_BITS) - 1);
	uint32_t index = (uint32_t)(frame >> SHM_FRAME_BITS) - 1;
	struct shm_module_copy module;
	location_message *to = pool_alloc(&making->pool, sizeof *to);
	perftools__profiles__location__init(to);
	to->id = profile->n_location + 1;
	to->address = at;
	if (shm_module_read(making->seg, index, &module) &&
	    at >= module.start && at < module.end) {
		if (making->mapping_of[index] == 0)
			mapping_add(making, index, &module);
		to->mapping_id = making->mapping_of[index];
		to->address = at + module_base(index, &module);
	}
	profile->location[profile->n_location++] = to;
}

static void
locations_add(struct making *making)
{
	profile_message *profile = &making->profile;
	profile->mapping =
	    pool_array(&making->pool, SHM_MODULES, sizeof(*profile->mapping));
	profile->location = pool_array(
	    &making->pool, making->n_frames + 1, sizeof(*profile->location));
	making->mapping_of =
	    pool_array(&making->pool, SHM_MODULES, sizeof(*making->mapping_of));
	for (size_t i = 0; i < making->n_frames; i++)
		location_add(making, making->frames[i]);
}

static uint64_t
location_find(const struct making *making, uint64_t frame)
{
	const uint64_t *found = bsearch(&frame, making->frames,
	    making->n_frames, sizeof frame, frame_compare);
	return (uint64_t)(found - making->frames) + 1;
}

/* ---- Samples ------------------------------------------------------------- */

static void
label_add(struct making *making, sample_message *to, int64_t key, int64_t text)
{
	label_message *label = pool_alloc(&making->pool, sizeof *label);
	perftools__profiles__label__init(label);
	label->key = key;
	label->str = text;
	to->label[to->n_label++] = label;
}

static int64_t
whole(double value)
{
	return value < 0x1p62 ? (int64_t)(value + 0.5) : (int64_t)1 << 62;
}

/* Indices of strings that many samples have. */
struct words {
	int64_t client, arena, ownership, is_private, is_published;
	size_t first; /* of those that labels have */
	int64_t who;  /* the last client's; sorted by that */
	char text[64];
};

static void
labels_add(struct making *making, struct words *words,
    const struct shm_sample_copy *of, sample_message *to)
{
	char text[64];
	snprintf(text, sizeof text, "%u %s", of->pid, of->command);
	if (words->who == 0 || strcmp(text, words->text) != 0) {
		words->who = string_add(making, text);
		memcpy(words->text, text, sizeof text);
		words->first = (size_t)words->who + 1;
	}
	to->label = pool_array(&making->pool, LABELS, sizeof(label_message *));
	label_add(making, to, words->client, words->who);
	snprintf(text, sizeof text, "%u", of->arena);
	label_add(
	    making, to, words->arena, string_again(making, words->first, text));
	label_add(making, to, words->ownership,
	    of->is_shared ? words->is_published : words->is_private);
}

static void
sample_add(
    struct making *making, struct words *words, const struct stack *stack)
{
	profile_message *profile = &making->profile;
	const struct shm_sample_copy *of = &stack->of;
	sample_message *to = pool_alloc(&making->pool, sizeof *to);
	perftools__profiles__sample__init(to);
	to->location_id = pool_array(
	    &making->pool, of->n_frames + 1, sizeof(*to->location_id));
	for (uint32_t i = 0; i < of->n_frames; i++)
		to->location_id[to->n_location_id++] =
		    location_find(making, of->frame[i]);
	to->value = pool_array(&making->pool, VALUES, sizeof(*to->value));
	to->value[to->n_value++] = whole(stack->objects);
	to->value[to->n_value++] = whole(stack->bytes);
	labels_add(making, words, of, to);
	profile->sample[profile->n_sample++] = to;
}

static void
samples_add(struct making *making)
{
	profile_message *profile = &making->profile;
	struct words words = {
		.client = string_add(making, "client"),
		.arena = string_add(making, "arena"),
		.ownership = string_add(making, "ownership"),
		.is_private = string_add(making, "private"),
		.is_published = string_add(making, "published"),
	};
	profile->sample = pool_array(
	    &making->pool, making->n_stacks + 1, sizeof(*profile->sample));
	for (size_t i = 0; i < making->n_stacks; i++)
		sample_add(making, &words, &making->stacks[i]);
}

/* ---- The whole ----------------------------------------------------------- */

static value_type_message *
value_type_make(struct making *making, const char *type, const char *unit)
{
	value_type_message *to = pool_alloc(&making->pool, sizeof *to);
	perftools__profiles__value_type__init(to);
	to->type = string_add(making, type);
	to->unit = string_add(making, unit);
	return to;
}

/* What `pprof -comments` shows. */
static void
comment_add(struct making *making, const char *name, uint64_t rate)
{
	profile_message *profile = &making->profile;
	profile->comment =
	    pool_array(&making->pool, 1, sizeof(*profile->comment));
	profile->comment[profile->n_comment++] = string_add(making,
	    rate != 0 ? pool_printf(&making->pool, "shmalloc segment %s", name)
		      : pool_printf(&making->pool,
			    "shmalloc segment %s: the heap profile is off, as "
			    "profile.sample_bytes is 0",
			    name));
}

static void
profile_make(struct making *making, const char *name)
{
	profile_message *profile = &making->profile;
	uint64_t rate = shm_load(
	    &making->seg->tunables->value[SHM_PARAM_profile_sample_bytes]);
	struct timespec now;
	perftools__profiles__profile__init(profile);
	profile->string_table =
	    pool_array(&making->pool, strings_most(making), sizeof(char *));
	(void)string_add(making, "");
	profile->sample_type =
	    pool_array(&making->pool, VALUES, sizeof(*profile->sample_type));
	profile->sample_type[profile->n_sample_type++] =
	    value_type_make(making, "inuse_objects", "count");
	profile->sample_type[profile->n_sample_type++] =
	    value_type_make(making, "inuse_space", "bytes");
	profile->default_sample_type = profile->sample_type[1]->type;
	profile->period_type = value_type_make(making, "space", "bytes");
	profile->period = (int64_t)rate;
	clock_gettime(CLOCK_REALTIME, &now);
	profile->time_nanos = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	comment_add(making, name, rate);
	locations_add(making);
	samples_add(making);
}

/* Pack LEN bytes at DATA into what RET has. */
static int
data_pack(uint8_t *data, size_t len, struct pprof *ret)
{
	z_stream stream = { .next_in = data, .avail_in = (uInt)len };
	if (len > UINT32_MAX / 2 ||
	    deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
		GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return SHM_ENOMEM;
	size_t room = deflateBound(&stream, (uLong)len);
	ret->data = malloc(room);
	stream.next_out = ret->data;
	stream.avail_out = (uInt)room;
	int r = ret->data != NULL ? deflate(&stream, Z_FINISH) : Z_MEM_ERROR;
	ret->len = stream.total_out;
	deflateEnd(&stream);
	if (r == Z_STREAM_END)
		return 0;
	free(ret->data);
	return SHM_ENOMEM;
}

static int
profile_pack(const profile_message *profile, struct pprof *ret)
{
	size_t len = perftools__profiles__profile__get_packed_size(profile);
	uint8_t *data = malloc(len + 1);
	int error = SHM_ENOMEM;
	if (data != NULL) {
		perftools__profiles__profile__pack(profile, data);
		error = data_pack(data, len, ret);
	}
	free(data);
	return error;
}

int
pprof_make(struct shm_seg *seg, const char *name, struct pprof *ret)
{
	struct making making = { .seg = seg };
	struct pprof made = { 0 };
	int error = stacks_read(&making);
	made.samples = making.n_stacks;
	if (error == 0) {
		stacks_merge(&making);
		error = frames_collect(&making);
	}
	if (error == 0) {
		profile_make(&making, name);
		error = profile_pack(&making.profile, &made);
	}
	for (size_t i = 0; i < making.n_stacks && error == 0; i++) {
		made.objects += (uint64_t)whole(making.stacks[i].objects);
		made.bytes += (uint64_t)whole(making.stacks[i].bytes);
	}
	free(making.stacks);
	free(making.frames);
	pool_release(&making.pool);
	if (error == 0)
		*ret = made;
	return error;
}
