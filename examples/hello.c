/* Run it twice: the second run finds what the first one left. */
#include <shmalloc/shmalloc.h>
#include <stdio.h>
#include <unistd.h>

int
main(void)
{
	struct shmalloc *heap;
	shmalloc_slot *root;

	if (shmalloc_attach(NULL, NULL, &heap) != 0 ||
	    shmalloc_root(heap, "hello", &root) != 0)
		return 1;
	char *text = shmalloc_ptr(heap, shmalloc_slot_load(root));
	if (text == NULL) {
		shmalloc_off off = shmalloc_alloc(heap, 64);
		if ((text = shmalloc_ptr(heap, off)) == NULL)
			return 1;
		snprintf(text, 64, "hello from process %d", (int)getpid());
		shmalloc_publish(heap, root, 0, off);
	}
	puts(text);
	shmalloc_detach(heap);
	return 0;
}
