#include "base/node_anchor.h"

static size_t bucket_of(const char *name)
{
	uint32_t hash = 2166136261u;
	for (const char *p = name; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	return (hash ^ hash >> 16) % ANCHOR_BUCKETS;
}

struct anchor *anchor_find(const struct anchors *anchors, const char *name)
{
	struct anchor *anchor = anchors->buckets[bucket_of(name)];
	while (anchor && strcmp(anchor->name, name))
		anchor = anchor->next;
	return anchor;
}

struct anchor *anchor_add(struct anchors *anchors, const char *name)
{
	struct anchor **bucket = &anchors->buckets[bucket_of(name)];
	struct anchor *anchor = mem_zero(1, sizeof(*anchor));
	anchor->name = mem_dup_str(name);
	anchor->open = true;
	anchor->next = *bucket;
	*bucket = anchor;
	return anchor;
}

void anchor_close(struct anchor *anchor, const struct node *node, size_t expanded, unsigned height)
{
	if (!anchor)
		return;
	anchor->node = node;
	anchor->expanded = expanded;
	anchor->height = height;
	anchor->open = false;
}

void anchors_clear(struct anchors *anchors)
{
	for (size_t i = 0; i < ANCHOR_BUCKETS; i++) {
		for (struct anchor *anchor = anchors->buckets[i], *next; anchor; anchor = next) {
			next = anchor->next;
			free(anchor->name);
			free(anchor);
		}
		anchors->buckets[i] = NULL;
	}
}
