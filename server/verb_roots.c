/*
 * roots: the named slots of a segment.
 *
 * The table can be written by clients: its pages are read only where they are
 * committed, names are copied and then cleaned.
 */
#include <string.h>

#include "server/control.h"
#include "server/log.h"
#include "server/server.h"
#include "shm/access.h"
#include "shm/commit.h"
#include "shm/heap.h"

struct shm_root *
verb_root_at(const struct shm_seg *seg, uint32_t i)
{
	struct shm_root *root = &seg->roots[i];
	uint64_t off = shm_offset_of(seg, root);
	if (shm_committed_prefix(seg, off, sizeof *root) < sizeof *root)
		return NULL;
	return shm_get(&root->state) == SHM_ROOT_READY ? root : NULL;
}

static Proto__Root *
root_put(struct call *call, struct shm_root *root)
{
	Proto__Root *to = pool_alloc(call->pool, sizeof *to);
	struct shm_seg *seg = &call->segment->seg;
	uint64_t object = shm_load(&root->slot);
	proto__root__init(to);
	to->name = verb_text(call, root->name, sizeof root->name);
	CALL_PUT(to, object, object);
	CALL_PUT(
	    to, size_bytes, object != 0 ? shm_heap_usable(seg, object) : 0);
	CALL_PUT(to, slot, shm_offset_of(seg, &root->slot));
	return to;
}

int
verb_roots(struct call *call)
{
	Proto__RootList *list = pool_alloc(call->pool, sizeof *list);
	proto__root_list__init(list);
	list->roots = pool_array(call->pool, SHM_ROOTS, sizeof(*list->roots));
	for (uint32_t i = 0; i < SHM_ROOTS; i++) {
		struct shm_root *root = verb_root_at(&call->segment->seg, i);
		if (root != NULL)
			list->roots[list->n_roots++] = root_put(call, root);
	}
	call->reply->roots = list;
	call->reply->body_case = PROTO__REPLY__BODY_ROOTS;
	return 0;
}

static struct shm_root *
root_find(const struct shm_seg *seg, const char *name)
{
	for (uint32_t i = 0; i < SHM_ROOTS; i++) {
		struct shm_root *root = verb_root_at(seg, i);
		if (root != NULL &&
		    strncmp(root->name, name, sizeof root->name) == 0)
			return root;
	}
	return NULL;
}

/* As shmalloc_root_remove() does it in a client. */
static int
root_free(struct shm_root *root)
{
	uint64_t ready = SHM_ROOT_READY;
	if (shm_get(&root->slot) != 0)
		return SHM_EBUSY;
	return shm_cas(&root->state, &ready, 0) ? 0 : SHM_EUNKNOWN;
}

int
verb_root_remove(struct call *call)
{
	const Proto__RootRemoveRequest *request = call->request->root_remove;
	const char *name = request->name != NULL ? request->name : "";
	char *shown = verb_text(call, name, SHM_NAME_LEN);
	struct shm_root *root = root_find(&call->segment->seg, name);
	int error = root != NULL ? root_free(root) : SHM_EUNKNOWN;
	if (error == SHM_EUNKNOWN)
		return call_fail(
		    call, error, shown, "there is no root '%s'", shown);
	if (error == SHM_EBUSY)
		return call_fail(call, error, shown,
		    "root '%s' still holds an object; its users must take it "
		    "out first",
		    shown);
	log_info("segment %s: root %s removed by %s", call->segment->name,
	    shown, call->who);
	return call_done(call);
}
