/* reconcile/inventory_groups.c - memberships that nobody writes, depth and order of groups
 *
 * Ansible: InventoryData.reconcile_inventory(), Group.depth, sort_groups().
 */
#include "reconcile/inventory_build.h"

/* Groups without a parent are children of `all`. */
static void adopt_groups(struct inventory_build *build)
{
	for (size_t i = GROUP_ALL + 1; i < build->group_count; i++) {
		const struct group_build *group = &build->groups[i];
		if (!group->parents.count)
			(void)build_add_child(
				build, GROUP_ALL, group->name, group->place); /* known */
	}
}

/* A host of `ungrouped` that is in another group leaves it. */
static void leave_ungrouped(struct host_build *host)
{
	struct links *groups = &host->groups;
	size_t others = 0, kept = 0;

	for (size_t i = 0; i < groups->count; i++)
		others += groups->items[i].position > GROUP_UNGROUPED;
	if (!others || !links_have(groups, GROUP_UNGROUPED))
		return;
	for (size_t i = 0; i < groups->count; i++) {
		if (groups->items[i].position != GROUP_UNGROUPED)
			groups->items[kept++] = groups->items[i];
	}
	groups->count = kept;
	host->left_ungrouped = true;
}

static void adopt_hosts(struct inventory_build *build)
{
	struct links *ungrouped = &build->groups[GROUP_UNGROUPED].hosts;
	size_t kept = 0;

	for (size_t i = 0; i < build->host_count; i++) {
		struct host_build *host = &build->hosts[i];
		const struct links *groups = &host->groups;
		leave_ungrouped(host);
		/* by name, as Ansible: a group of the host's name goes there in its place */
		if (groups->count == 1 && groups->items[0].position == GROUP_ALL)
			(void)build_add_child(
				build, GROUP_UNGROUPED, host->name, host->place); /* known */
	}
	for (size_t i = 0; i < ungrouped->count; i++) {
		if (!build->hosts[ungrouped->items[i].position].left_ungrouped)
			ungrouped->items[kept++] = ungrouped->items[i];
	}
	ungrouped->count = kept;
}

/* Some parent that is on a cycle too, or leads to one. */
static const struct link *waiting_parent(
	const struct inventory_build *build, size_t group, const size_t *waiting)
{
	const struct links *parents = &build->groups[group].parents;

	for (size_t i = 0; i < parents->count; i++) {
		if (waiting[parents->items[i].position])
			return &parents->items[i];
	}
	return NULL;
}

/* Says one cycle, "a in b in a", at the line of one of its links. */
static void report_cycle(struct inventory_build *build, const size_t *waiting)
{
	auto_free bool *seen = mem_zero(build->group_count, sizeof(*seen));
	auto_buf struct buf text = BUF_INIT(400);
	const struct link *link = NULL;
	const struct node *place = NULL;
	size_t at = 0, start;

	while (at < build->group_count && !waiting[at])
		at++;
	for (; !seen[at]; at = link->position) {
		seen[at] = true;
		link = waiting_parent(build, at, waiting);
		if (!link)
			return;
	}
	start = at;
	do {
		link = waiting_parent(build, at, waiting);
		place = link->place ? link->place : place;
		buf_addf(&text, "%s in ", build->groups[at].name);
		at = link->position;
	} while (at != start);
	buf_add_str(&text, build->groups[start].name);
	/* `ungrouped` in `all` is written nowhere, but what closes the cycle is */
	problems_add(build->problems, place->file, place->line,
		"take one of them out of the children of the other",
		"groups contain each other: %s", text.text);
}

/* Depth is the longest way from `all`: each group after all of its parents. */
static bool set_depths(struct inventory_build *build)
{
	auto_free size_t *waiting = mem_zero(build->group_count, sizeof(*waiting));
	auto_free size_t *ready = mem_zero(build->group_count, sizeof(*ready));
	size_t ready_count = 0;

	for (size_t i = 0; i < build->group_count; i++) {
		waiting[i] = build->groups[i].parents.count;
		if (!waiting[i])
			ready[ready_count++] = i;
	}
	for (size_t i = 0; i < ready_count; i++) {
		const struct group_build *group = &build->groups[ready[i]];
		for (size_t c = 0; c < group->children.count; c++) {
			size_t position = group->children.items[c].position;
			struct group_build *child = &build->groups[position];
			if (child->depth < group->depth + 1)
				child->depth = group->depth + 1;
			if (!--waiting[position])
				ready[ready_count++] = position;
		}
	}
	if (ready_count == build->group_count)
		return true;
	report_cycle(build, waiting);
	return false;
}

static int by_precedence(const void *left, const void *right)
{
	const struct group_build *a = *(struct group_build *const *)left;
	const struct group_build *b = *(struct group_build *const *)right;

	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return strcmp(a->name, b->name);
}

void build_order_groups(struct inventory_build *build)
{
	adopt_groups(build);
	adopt_hosts(build);
	if (!set_depths(build))
		return;
	struct group_build **sorted = mem_zero(build->group_count, sizeof(struct group_build *));
	for (size_t i = 0; i < build->group_count; i++)
		sorted[i] = &build->groups[i];
	qsort(sorted, build->group_count, sizeof(struct group_build *), by_precedence);
	for (size_t i = 0; i < build->group_count; i++)
		sorted[i]->rank = (uint32_t)i;
	free(sorted);
}
