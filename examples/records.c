#define _GNU_SOURCE /* memmem */

#include "examples/records.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS_MAGIC   UINT64_C(0x7364726f63657264)
#define RECORDS_DEFAULT "/var/lib/dpkg/status"
#define LINE_MAX_LEN    (1u << 20)
#define RECORDS_BYTES   (UINT64_C(1) << 30) /* at most, of all values */

struct bytes {
	const unsigned char *at;
	size_t len;
};

/* What is being written. */
struct builder {
	FILE *file;
	const char *path;
	struct records_head head;
	struct record *record;
	size_t room;  /* records that fit */
	uint64_t off; /* where the file ends */
};

/* ---- Writing ------------------------------------------------------------- */

static void
builder_write(struct builder *builder, const void *bytes, size_t len)
{
	if (fwrite(bytes, 1, len, builder->file) != len)
		err(1, "%s", builder->path);
	builder->off += len;
}

static void
builder_add(struct builder *builder, struct bytes key, struct bytes value)
{
	struct records_head *head = &builder->head;

	if (value.len == 0 || head->bytes + value.len > RECORDS_BYTES)
		return;
	if (head->n == builder->room) {
		builder->room = builder->room * 2 + 1024;
		builder->record = reallocarray(
		    builder->record, builder->room, sizeof(struct record));
		if (builder->record == NULL)
			err(1, NULL);
	}
	builder->record[head->n++] = (struct record){ .key = builder->off,
		.key_len = (uint32_t)key.len,
		.value = builder->off + key.len,
		.value_len = value.len };
	builder_write(builder, key.at, key.len);
	builder_write(builder, value.at, value.len);
	head->bytes += value.len;
	if (head->smallest == 0 || value.len < head->smallest)
		head->smallest = value.len;
	if (value.len > head->largest)
		head->largest = value.len;
}

/* Add VALUE under the key "NAME:NUMBER", or "NAME" if NUMBER is 0. */
static void
builder_add_named(struct builder *builder, const char *name, size_t number,
    struct bytes value)
{
	char key[4200];
	int len = number == 0
	    ? snprintf(key, sizeof(key), "%s", name)
	    : snprintf(key, sizeof(key), "%s:%zu", name, number);

	if (len < 0 || (size_t)len >= sizeof(key))
		errx(1, "%s: the name is too long", name);
	builder_add(builder,
	    (struct bytes){ (unsigned char *)key, (size_t)len }, value);
}

/* ---- Reading ------------------------------------------------------------- */

/* Take from *REST up to and with the first END, or all of it. */
static struct bytes
bytes_take(struct bytes *rest, const char *end)
{
	const unsigned char *found =
	    memmem(rest->at, rest->len, end, strlen(end));
	struct bytes taken = *rest;

	if (found != NULL)
		taken.len = (size_t)(found - rest->at) + strlen(end);
	rest->at += taken.len;
	rest->len -= taken.len;
	return taken;
}

/* The value of the field NAME ("Package: ") of STANZA; empty: none. */
static struct bytes
stanza_field(struct bytes stanza, const char *name)
{
	while (stanza.len > 0) {
		struct bytes line = bytes_take(&stanza, "\n");
		size_t skip = strlen(name);

		if (line.len <= skip || memcmp(line.at, name, skip) != 0)
			continue;
		line.at += skip;
		line.len -= skip + (line.at[line.len - skip - 1] == '\n');
		return line;
	}
	return (struct bytes){ NULL, 0 };
}

/* One record a stanza, under the key "PACKAGE:ARCHITECTURE". */
static void
builder_add_stanzas(struct builder *builder, struct bytes all)
{
	while (all.len > 0) {
		struct bytes stanza = bytes_take(&all, "\n\n");
		struct bytes name = stanza_field(stanza, "Package: ");
		struct bytes arch = stanza_field(stanza, "Architecture: ");
		char key[512];
		int len = snprintf(key, sizeof(key), "%.*s:%.*s", (int)name.len,
		    (const char *)name.at, (int)arch.len,
		    (const char *)arch.at);

		if (name.len > 0 && len > 0 && (size_t)len < sizeof(key))
			builder_add(builder,
			    (struct bytes){ (unsigned char *)key, (size_t)len },
			    stanza);
	}
}

static bool
bytes_are_lines(struct bytes all)
{
	if (memchr(all.at, '\0', all.len) != NULL)
		return false;
	while (all.len > 0)
		if (bytes_take(&all, "\n").len > LINE_MAX_LEN)
			return false;
	return true;
}

static void
builder_add_file(struct builder *builder, const char *name, struct bytes all)
{
	size_t number = 0;

	if (!bytes_are_lines(all)) {
		builder_add_named(builder, name, 0, all);
		return;
	}
	while (all.len > 0) {
		struct bytes line = bytes_take(&all, "\n");

		number++;
		if (line.at[line.len - 1] == '\n')
			line.len--;
		builder_add_named(builder, name, number, line);
	}
}

/* Read all of the file PATH; the caller frees the bytes.  -1 with errno. */
static int
file_read(const char *path, struct bytes *ret_bytes, unsigned char **ret_buffer)
{
	FILE *file = fopen(path, "re");
	size_t len = 0, room = 1u << 16, n;
	unsigned char *buffer = malloc(room);

	if (file == NULL || buffer == NULL)
		goto fail;
	while ((n = fread(buffer + len, 1, room - len, file)) > 0) {
		len += n;
		if (len == room) {
			unsigned char *more = realloc(buffer, room *= 2);

			if (more == NULL)
				goto fail;
			buffer = more;
		}
	}
	if (ferror(file))
		goto fail;
	fclose(file);
	*ret_bytes = (struct bytes){ buffer, len };
	*ret_buffer = buffer;
	return 0;
fail:
	n = (size_t)errno;
	free(buffer);
	if (file != NULL)
		fclose(file);
	errno = (int)n;
	return -1;
}

static void
builder_add_folder(struct builder *builder, char *path)
{
	char *const paths[] = { path, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	if (fts == NULL)
		err(1, "%s", path);
	while ((entry = fts_read(fts)) != NULL) {
		struct bytes all;
		unsigned char *buffer;

		if (entry->fts_info != FTS_F ||
		    file_read(entry->fts_path, &all, &buffer) != 0)
			continue;
		builder_add_named(builder, entry->fts_path, 0, all);
		free(buffer);
	}
	fts_close(fts);
}

static void
builder_add_path(struct builder *builder, char *path)
{
	struct stat stat_of;
	struct bytes all;
	unsigned char *buffer;

	if (stat(path, &stat_of) == 0 && S_ISDIR(stat_of.st_mode)) {
		builder_add_folder(builder, path);
		return;
	}
	if (file_read(path, &all, &buffer) != 0)
		err(1, "%s", path);
	builder_add_file(builder, path, all);
	free(buffer);
}

static void
builder_add_packages(struct builder *builder)
{
	struct bytes all;
	unsigned char *buffer;

	if (file_read(RECORDS_DEFAULT, &all, &buffer) != 0)
		err(1, RECORDS_DEFAULT " (name files instead)");
	builder_add_stanzas(builder, all);
	free(buffer);
}

void
records_build(const char *path, int n, char *const files[])
{
	struct builder builder = { .path = path, .file = fopen(path, "wxe") };

	if (builder.file == NULL)
		err(1, "%s", path);
	builder_write(&builder, &builder.head, sizeof(builder.head));
	if (n == 0)
		builder_add_packages(&builder);
	for (int i = 0; i < n; i++)
		builder_add_path(&builder, files[i]);
	while (builder.off % _Alignof(struct record) != 0)
		builder_write(&builder, "", 1);
	builder.head.magic = RECORDS_MAGIC;
	builder.head.index = builder.off;
	builder_write(
	    &builder, builder.record, builder.head.n * sizeof(struct record));
	rewind(builder.file);
	builder_write(&builder, &builder.head, sizeof(builder.head));
	if (fclose(builder.file) != 0)
		err(1, "%s", path);
	free(builder.record);
}

/* ---- Using --------------------------------------------------------------- */

struct records
records_open(const char *path)
{
	struct records records = { .base = MAP_FAILED };
	struct stat stat_of;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &stat_of) != 0)
		err(1, "%s", path);
	records.len = (uint64_t)stat_of.st_size;
	if (records.len >= sizeof(struct records_head))
		records.base =
		    mmap(NULL, records.len, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (records.base == MAP_FAILED)
		errx(1, "%s: cannot be mapped", path);
	records.head = (const void *)records.base;
	if (records.head->magic != RECORDS_MAGIC)
		errx(1, "%s: not a file of records", path);
	records.record = (const void *)(records.base + records.head->index);
	return records;
}

const unsigned char *
records_key(const struct records *records, const struct record *record)
{
	return records->base + record->key;
}

void
records_compose(const struct records *records, const struct record *record,
    uint32_t version, unsigned char *to)
{
	const unsigned char *value = records->base + record->value;
	uint64_t turn = version % record->value_len;

	memcpy(to, value + turn, record->value_len - turn);
	memcpy(to + record->value_len - turn, value, turn);
}

bool
records_equal(const struct records *records, const struct record *record,
    uint32_t version, const unsigned char *from, uint64_t len)
{
	const unsigned char *value = records->base + record->value;
	uint64_t turn = version % record->value_len;

	return len == record->value_len &&
	    memcmp(from, value + turn, len - turn) == 0 &&
	    memcmp(from + len - turn, value, turn) == 0;
}
